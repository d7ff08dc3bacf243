/** Turns a terminal session on stdin, with its colors, into an SVG on stdout. */
import { text } from 'node:stream/consumers';

const FONT_SIZE = 14;
/** Advance of most monospaced fonts, as a share of their size; `textLength` makes the others fit. */
const CHARACTER = 0.6 * FONT_SIZE;
const LINE = 20;
const PADDING = 20;
const TITLE_BAR = 30;

/** SGR parameters that fleet writes: ECMA-48, 8.3.117. Each is undone by one of RESETS. */
const STYLES: Readonly<Record<string, string>> = {
  '1': 'font-weight="bold"',
  '2': 'fill="#8b949e"',
  '31': 'fill="#ff7b72"',
  '32': 'fill="#7ee787"',
  '33': 'fill="#f2cc60"',
  '36': 'fill="#79c0ff"',
};
const RESETS: readonly string[] = ['0', '22', '39'];

function escapeXml(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** Spans of one line; a line that begins with `$ ` was typed. */
function spans(line: string): { length: number; svg: string } {
  if (line.startsWith('$ ')) {
    const typed = escapeXml(line.slice(2));
    return { length: line.length, svg: `<tspan fill="#7ee787">$ </tspan><tspan font-weight="bold">${typed}</tspan>` };
  }
  let style = '';
  let length = 0;
  let svg = '';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: terminals speak in control characters
  for (const [index, part] of line.split(/\x1b\[(\d*)m/).entries()) {
    if (index % 2 === 1) {
      if (part !== '' && !RESETS.includes(part) && !(part in STYLES)) throw new Error(`no style for SGR ${part}`);
      style = STYLES[part] ?? '';
    } else if (part !== '') {
      length += part.length;
      svg += style === '' ? escapeXml(part) : `<tspan ${style}>${escapeXml(part)}</tspan>`;
    }
  }
  return { length, svg };
}

const lines = (await text(process.stdin)).trimEnd().split('\n').map(spans);
const width = Math.ceil(Math.max(...lines.map(({ length }) => length)) * CHARACTER) + 2 * PADDING;
const height = TITLE_BAR + lines.length * LINE + PADDING;
const rows = lines.flatMap(({ length, svg }, index) => {
  if (length === 0) return [];
  const fit = `textLength="${(length * CHARACTER).toFixed(1)}" lengthAdjust="spacingAndGlyphs"`;
  return [`<text x="${PADDING}" y="${TITLE_BAR + (index + 1) * LINE - 4}" ${fit} xml:space="preserve">${svg}</text>`];
});

process.stdout.write(`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<title>fleet in a terminal: nodes, run, broadcast and health</title>
<style>text { font: ${FONT_SIZE}px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #e6edf3; white-space: pre }</style>
<rect width="${width}" height="${height}" rx="8" fill="#0d1117"/>
<circle cx="20" cy="16" r="6" fill="#ff5f57"/><circle cx="40" cy="16" r="6" fill="#febc2e"/><circle cx="60" cy="16" r="6" fill="#28c840"/>
${rows.join('\n')}
</svg>
`);
