/** `-b` and `--diff`: identical output of many nodes is shown once at the end, as clush(1) does, or compared. */
import { isUtf8 } from 'node:buffer';
import { compareNatural, foldNodeNames } from '../../domain/node-set.ts';
import { decodeData } from '../../protocol/frames.ts';
import type { JobEvent } from '../../protocol/job-messages.ts';
import { stripControl } from '../../shared/text.ts';
import type { JobOutput } from './job-output.ts';
import { type OutputSinks, type Printer, plainStyle, type StreamName, type TerminalStyle } from './print.ts';

const RULE = '---------------';
const LINE_FEED = 10;

/** Nodes with the same bytes in one stream. */
export interface OutputGroup {
  /** In natural order. */
  nodes: string[];
  content: Buffer;
}

type Chunks = Record<StreamName, Uint8Array[]>;

/** Collects both streams of every node. Of finished nodes, equal content is kept once. */
export class GatheredOutput implements JobOutput {
  readonly #open = new Map<string, Chunks>();
  /** By digest of the content. */
  readonly #finished: Record<StreamName, Map<string, OutputGroup>> = { stdout: new Map(), stderr: new Map() };

  handle(event: JobEvent): void {
    if (event.type === 'stdout' || event.type === 'stderr') this.write(event.node, event.type, decodeData(event));
    // A command that never ran is not the same as one that was silent.
    else if (event.type === 'end' && event.startedAt !== null) this.finish(event.node);
  }

  write(node: string, stream: StreamName, bytes: Uint8Array): void {
    const streams = this.#open.get(node) ?? { stdout: [], stderr: [] };
    streams[stream].push(Buffer.from(bytes));
    this.#open.set(node, streams);
  }

  /** The node has finished. Also needed for a node without output, to count it in {@link groups}. */
  finish(node: string): void {
    const streams = this.#open.get(node) ?? { stdout: [], stderr: [] };
    this.#open.delete(node);
    for (const stream of ['stdout', 'stderr'] as const) {
      const content = Buffer.concat(streams[stream]);
      const digest = digestOf(content);
      const group = this.#finished[stream].get(digest);
      if (group === undefined) this.#finished[stream].set(digest, { nodes: [node], content });
      else group.nodes.push(node);
    }
  }

  /** Takes what unfinished runs have written so far as their whole output. */
  close(): void {
    for (const node of [...this.#open.keys()]) this.finish(node);
  }

  /** Groups of the finished nodes, largest first, then by name. Nodes that wrote nothing form a group with empty content. */
  groups(stream: StreamName): OutputGroup[] {
    return [...this.#finished[stream].values()]
      .map(({ nodes, content }) => ({ nodes: nodes.toSorted(compareNatural), content }))
      .sort((a, b) => b.nodes.length - a.nodes.length || compareNatural(a.nodes[0] ?? '', b.nodes[0] ?? ''));
  }
}

/** Prints the groups that have content: those of stdout to stdout, those of stderr to stderr. */
export function printGroups(
  gathered: GatheredOutput,
  sinks: OutputSinks,
  paint: (header: string) => string = (header) => header,
): void {
  for (const stream of ['stdout', 'stderr'] as const) {
    for (const group of gathered.groups(stream)) {
      if (group.content.length === 0) continue;
      const header = [RULE, describeGroup(group, stream), RULE].map((line) => `${paint(line)}\n`).join('');
      sinks[stream].write(Buffer.from(header));
      const content = isBinary(group.content) ? describeBinary(group.content) : group.content;
      sinks[stream].write(content);
      if (content.at(-1) !== LINE_FEED) sinks[stream].write(Buffer.from('\n'));
    }
  }
}

/** Whether lines cannot be compared, and a terminal may misbehave. As with git, a NUL makes content binary. */
function isBinary(content: Buffer): boolean {
  return !isUtf8(content) || content.includes(0);
}

function describeBinary(content: Buffer): Buffer {
  return Buffer.from(`binary output, ${content.length} bytes, sha256 ${digestOf(content)}\n`);
}

function digestOf(content: Buffer): string {
  // Loaded on demand: it takes 5 ms.
  return process.getBuiltinModule('node:crypto').createHash('sha256').update(content).digest('hex');
}

/** `node-[1-3,7] (4)`, `node-1`, `node-1: stderr`. */
function describeGroup(group: OutputGroup, stream: StreamName): string {
  const count = group.nodes.length > 1 ? ` (${group.nodes.length})` : '';
  return `${labelOf(group)}${count}${stream === 'stderr' ? ': stderr' : ''}`;
}

/** Maximum number of differing lines; the search takes time quadratic in it. */
const MAX_EDITS = 4_000;
const CONTEXT_LINES = 3;

/** How each group's stdout differs from that of the largest one. */
export async function printDiff(gathered: GatheredOutput, { out, err }: Pick<Printer, 'out' | 'err'>): Promise<void> {
  const groups = gathered.groups('stdout');
  const diff = await diffOutputs(groups, out.style);
  out.write(diff);
  if (diff === '' && groups.length === 1) err.write('fleet: all outputs are equal\n');
}

/**
 * Unified diffs of every other group against the first, largest one; empty for one group or none.
 * Binary outputs, and those that differ too much, get one line that says so.
 */
export async function diffOutputs(
  groups: readonly OutputGroup[],
  style: Pick<TerminalStyle, 'red' | 'green' | 'cyan' | 'bold'> = plainStyle,
): Promise<string> {
  const [reference, ...others] = groups;
  if (reference === undefined || others.length === 0) return '';
  // Loaded on demand: it takes longer than the CLI may take to start.
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
      // Only the first two lines are the file header; later ones that look like it are content.
      if (index < 2) return style.bold(line);
      if (line.startsWith('@@')) return style.cyan(line);
      if (line.startsWith('-')) return style.red(line);
      return line.startsWith('+') ? style.green(line) : line;
    })
    .join('\n');
}
