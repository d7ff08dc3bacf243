/** A legal node name out of a hostname. */

/** Lower case, foreign characters to dashes, the domain cut off; `node` when nothing is left. */
export function sanitizeName(hostname: string): string {
  const short = hostname.split('.')[0] ?? '';
  const name = short
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^-+/, '')
    .slice(0, 63)
    .replace(/-+$/, '');
  return name === '' ? 'node' : name;
}
