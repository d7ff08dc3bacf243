/** Prometheus' own tool, from Debian's package `prometheus`, as the judge of what we write. */
import { spawnSync } from 'node:child_process';

/** Its exit code, and everything that it said. */
export function promtool(args: readonly string[], input = ''): { code: number | null; said: string } {
  const { status, stdout, stderr, error } = spawnSync('promtool', args, { input, encoding: 'utf8', timeout: 60_000 });
  if (error !== undefined) throw error;
  return { code: status, said: stdout + stderr };
}

/** Names of all samples of an exposition. */
export function sampleNames(text: string): Set<string> {
  return new Set([...text.matchAll(/^([a-z_][a-z0-9_]*)[{ ]/gm)].map(([, name = '']) => name));
}
