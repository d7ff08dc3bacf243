/** `--diff`: how the output of the odd ones differs from what most nodes said. */
import { foldNodeNames } from '../../protocol/node-set.ts';
import { stripControl } from '../../shared/strip-control.ts';
import { isBinary, type OutputGroup } from './gather.ts';
import { plainStyle, type TerminalStyle } from './terminal-style.ts';

/** Lines that may differ between two outputs before the search is given up; it takes time in the square of this. */
const MAX_EDITS = 4_000;
const CONTEXT_LINES = 3;

/**
 * Unified diffs of every other group against the first one, which is the largest; empty when there is one group or none.
 * Binary outputs, and those that differ too much, get one line that says so.
 */
export async function diffOutputs(
  groups: readonly OutputGroup[],
  style: Pick<TerminalStyle, 'red' | 'green' | 'cyan' | 'bold'> = plainStyle,
): Promise<string> {
  const [reference, ...others] = groups;
  if (reference === undefined || others.length === 0) return '';
  // Loaded late: it takes longer than the whole start of the CLI may.
  const { structuredPatch, formatPatch, FILE_HEADERS_ONLY } = await import('diff');
  const referenceName = labelOf(reference);
  const patches = others.map((other) => {
    const otherName = labelOf(other);
    if (isBinary(reference.content) || isBinary(other.content)) {
      return `Binary outputs of ${referenceName} and ${otherName} differ\n`;
    }
    const [before, after] = [reference.content.toString('utf8'), other.content.toString('utf8')];
    const options = { context: CONTEXT_LINES, maxEditLength: MAX_EDITS };
    const patch = structuredPatch(referenceName, otherName, before, after, undefined, undefined, options);
    if (patch === undefined) {
      return `Outputs of ${referenceName} and ${otherName} differ in more than ${MAX_EDITS} lines\n`;
    }
    return formatPatch(patch, FILE_HEADERS_ONLY);
  });
  return patches.map((patch) => paintPatch(patch, style)).join('');
}

function labelOf(group: OutputGroup): string {
  return stripControl(foldNodeNames(group.nodes));
}

function paintPatch(patch: string, style: Pick<TerminalStyle, 'red' | 'green' | 'cyan' | 'bold'>): string {
  if (style === plainStyle) return patch;
  return patch
    .split('\n')
    .map((line, index) => {
      // The two lines of the file header come first; later ones that look like them are content.
      if (index < 2) return style.bold(line);
      if (line.startsWith('@@')) return style.cyan(line);
      if (line.startsWith('-')) return style.red(line);
      return line.startsWith('+') ? style.green(line) : line;
    })
    .join('\n');
}
