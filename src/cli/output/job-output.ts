/** The outputs of jobs that `run`, `broadcast`, `agent run` and `jobs` share: raw bytes, JSON lines, one JSON document; and what is missing. */
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeData, encodeData } from '../../protocol/frames.ts';
import type { JobEvent, RunView } from '../../protocol/job-messages.ts';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import { harmlessJson } from '../../shared/text.ts';
import { EXIT_FLEET_FAILED } from './exit-code.ts';
import { type ByteSink, formatBytes, formatError, type OutputSinks, type Printer, type StreamName } from './print.ts';

export interface JobOutput {
  /** Called with each event in turn; the caller then waits for the ports, so that a slow reader slows the stream. */
  handle(event: JobEvent): void;
}

/** The command's bytes, unchanged. */
export class RawOutput implements JobOutput {
  readonly #sinks: OutputSinks;

  constructor(sinks: OutputSinks) {
    this.#sinks = sinks;
  }

  handle(event: JobEvent): void {
    if (event.type === 'stdout' || event.type === 'stderr') this.#sinks[event.type].write(decodeData(event));
  }
}

type DataEvent = Extract<JobEvent, { type: 'stdout' | 'stderr' }>;

/** `--jsonl`: one event a line, text kept whole across chunks. `next` is the offset for `fleet jobs logs --from`. */
export class JsonlOutput implements JobOutput {
  readonly #sink: ByteSink;
  /** By run and stream. */
  readonly #carried = new Map<string, { carry: Utf8Carry; last: DataEvent }>();

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  handle(event: JobEvent): void {
    if (event.type === 'stdout' || event.type === 'stderr') {
      this.#data(event);
    } else if (event.type === 'state' || event.type === 'gap' || event.type === 'exited' || event.type === 'end') {
      if (event.type === 'gap' || event.type === 'end') this.#flush(event.run);
      const { index: _index, ...line } = event;
      this.#print(line);
    }
  }

  #data(event: DataEvent): void {
    const key = `${event.run} ${event.type}`;
    const carried = this.#carried.get(key) ?? { carry: new Utf8Carry(), last: event };
    carried.last = event;
    this.#carried.set(key, carried);
    this.#printData(event, carried.carry.push(decodeData(event)));
  }

  #flush(run: string): void {
    for (const stream of ['stdout', 'stderr']) {
      const carried = this.#carried.get(`${run} ${stream}`);
      if (carried !== undefined) this.#printData(carried.last, carried.carry.flush());
      this.#carried.delete(`${run} ${stream}`);
    }
  }

  #printData({ type, run, node, next }: DataEvent, bytes: Buffer): void {
    if (bytes.length > 0) this.#print({ type, run, node, ...encodeData(bytes), next });
  }

  #print(line: object): void {
    this.#sink.write(Buffer.from(`${harmlessJson(line)}\n`));
  }
}

interface RunResult extends Omit<RunView, 'index' | 'stdoutBytes' | 'stderrBytes'> {
  stdout: string;
  stderr: string;
  /** Only if the output is not UTF-8. */
  stdoutEncoding?: 'base64';
  stderrEncoding?: 'base64';
}

/** Reason of a run that has no other. */
const OUTPUT_TRUNCATED = 'output_truncated: some of the output was not kept';

/** `--json`: keeps all output of a job, for one document at the end. */
export class ResultCollector implements JobOutput {
  readonly #chunks = new Map<number, { stdout: Buffer[]; stderr: Buffer[] }>();

  handle(event: JobEvent): void {
    if (event.type !== 'stdout' && event.type !== 'stderr') return;
    const chunks = this.#chunks.get(event.index) ?? { stdout: [], stderr: [] };
    chunks[event.type].push(decodeData(event));
    this.#chunks.set(event.index, chunks);
  }

  resultOf({ index, stdoutBytes: _stdoutBytes, stderrBytes: _stderrBytes, ...run }: RunView): RunResult {
    const chunks = this.#chunks.get(index) ?? { stdout: [], stderr: [] };
    const stdout = encodeData(Buffer.concat(chunks.stdout));
    const stderr = encodeData(Buffer.concat(chunks.stderr));
    const { job, node, run: id, state, exitCode, signal, reason, truncated, ...times } = run;
    return {
      job,
      node,
      run: id,
      state,
      exitCode,
      signal,
      reason: reason ?? (truncated ? OUTPUT_TRUNCATED : null),
      stdout: stdout.data,
      stderr: stderr.data,
      ...('encoding' in stdout ? { stdoutEncoding: stdout.encoding } : {}),
      ...('encoding' in stderr ? { stderrEncoding: stderr.encoding } : {}),
      truncated,
      ...times,
    };
  }
}

interface MissingOutputOptions {
  /** Incomplete output is not a failure. */
  'allow-truncation': boolean;
  jsonl?: boolean;
  /** Output also goes to files, where a person at the terminal does not see what is missing. */
  outdir?: string | undefined;
}

/** Notices output that the command wrote but that does not arrive: reports each gap, and fails unless a person watches. */
export class MissingOutput implements JobOutput {
  readonly #printer: Printer;
  readonly #options: MissingOutputOptions;
  /** --json and --jsonl show themselves what is missing. */
  readonly #forPeople: boolean;
  /** Runs whose gaps have all been reported. */
  readonly #reported = new Set<string>();
  #isMissing = false;

  constructor(printer: Printer, options: MissingOutputOptions) {
    this.#printer = printer;
    this.#options = options;
    this.#forPeople = !printer.json && !options.jsonl;
  }

  handle(event: JobEvent): void {
    if (event.type === 'end') {
      const isInDoubt = event.reason !== null && /\boutput_gap\b/.test(event.reason);
      this.#isMissing ||= isInDoubt || (event.truncated && !event.whole);
      if (event.whole) this.#reported.add(event.run);
    }
    if (event.type !== 'gap') return;
    this.#isMissing = true;
    this.#reported.add(event.run);
    if (!this.#forPeople) return;
    const amounts = `${formatBytes(event.stdoutBytes)} of stdout and ${formatBytes(event.stderrBytes)} of stderr`;
    this.#printer.err.write(formatError({ message: `${event.node}: ${amounts} were not kept` }));
  }

  /** Whether the run's gaps have already been reported. */
  isReported(run: string): boolean {
    return this.#reported.has(run);
  }

  /** `exitCode`; or 255, with a note, if output is missing and no person watches. */
  exitCode(exitCode: number): number {
    const { out, err } = this.#printer;
    const { 'allow-truncation': allowed, outdir } = this.#options;
    if (!this.#isMissing || allowed || (out.isTerminal && outdir === undefined)) return exitCode;
    const instead = exitCode === EXIT_FLEET_FAILED ? '' : ` instead of ${exitCode}`;
    const message = `output is missing; the exit code is ${EXIT_FLEET_FAILED}${instead}`;
    if (this.#forPeople) err.write(formatError({ message, hint: 'To accept incomplete output: --allow-truncation' }));
    return EXIT_FLEET_FAILED;
  }
}

/** Longest unfinished character, bytes (RFC 3629: a character has at most 4). */
const MAX_TAIL_BYTES = 3;

/** Keeps UTF-8 characters whole across the chunks of a stream. */
export class Utf8Carry {
  #tail: Buffer = Buffer.alloc(0);

  /** What was held back and `chunk`, up to an unfinished character at the end. May be empty. */
  push(chunk: Uint8Array): Buffer {
    const bytes = Buffer.concat([this.#tail, chunk]);
    const whole = bytes.length - unfinishedTailBytes(bytes);
    this.#tail = Buffer.from(bytes.subarray(whole));
    return bytes.subarray(0, whole);
  }

  /** The held-back bytes, at the end of the stream. */
  flush(): Buffer {
    const tail = this.#tail;
    this.#tail = Buffer.alloc(0);
    return tail;
  }
}

/** Length of an unfinished UTF-8 character at the end: 0 to 3 bytes. */
export function unfinishedTailBytes(bytes: Uint8Array): number {
  for (let length = 1; length <= Math.min(MAX_TAIL_BYTES, bytes.length); length += 1) {
    const byte = bytes[bytes.length - length] ?? 0;
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) return characterBytes(byte) > length ? length : 0;
  }
  return 0;
}

function characterBytes(leadByte: number): number {
  if (leadByte >= 0xf8) return 1;
  if (leadByte >= 0xf0) return 4;
  return leadByte >= 0xe0 ? 3 : 2;
}

/** `--outdir DIR`: the exact bytes of each node in DIR/NODE.out and DIR/NODE.err. */
const EXTENSION: Readonly<Record<StreamName, string>> = { stdout: '.out', stderr: '.err' };

/**
 * Files are opened for each write: a broadcast can go to more nodes than a process can have open files.
 * Every method throws FleetError `storage_failed` if writing fails.
 */
export class FolderOutput implements JobOutput {
  readonly #path: string;
  readonly #started = new Set<string>();

  constructor(path: string) {
    this.#path = path;
  }

  /** Creates the folder, so that an invalid one is noticed before any command runs. */
  open(): void {
    attempt(this.#path, () => mkdirSync(this.#path, { recursive: true }));
  }

  handle(event: JobEvent): void {
    if (event.type !== 'stdout' && event.type !== 'stderr' && event.type !== 'end') return;
    // Also at the end: a node that wrote nothing has an empty .out.
    this.#begin(event.node);
    if (event.type === 'end') return;
    const path = this.#pathOf(event.node, event.type);
    attempt(path, () => appendFileSync(path, decodeData(event)));
  }

  /** Replaces the files of an earlier broadcast. */
  #begin(node: string): void {
    if (this.#started.has(node)) return;
    const path = this.#pathOf(node, 'stdout');
    attempt(path, () => {
      writeFileSync(path, '');
      rmSync(this.#pathOf(node, 'stderr'), { force: true });
    });
    this.#started.add(node);
  }

  #pathOf(node: string, stream: StreamName): string {
    return join(this.#path, safeFileName(node) + EXTENSION[stream]);
  }
}

/** The node's name, with %XX for every unusual byte: it cannot leave the folder or collide with another name. */
export function safeFileName(node: string): string {
  // Also no hidden file, no `..`, nothing that looks like an option, no empty name.
  return encodeURIComponent(node.toWellFormed()).replace(/[!~*'()]|^[.-]/g, escapeCharacter) || '%';
}

function escapeCharacter(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}

function attempt(path: string, act: () => void): void {
  try {
    act();
  } catch (error) {
    throw new FleetError('storage_failed', `cannot write ${path}: ${systemErrorCode(error) ?? String(error)}`, {
      cause: error,
      hint: 'Free some space, or choose another folder with --outdir.',
      facts: { path },
    });
  }
}
