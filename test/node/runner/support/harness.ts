/** Makes runners on folders of their own, and reads whole runs; what every test of the runner needs. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { Runner, type RunnerOptions } from '../../../../src/node/runner/runner.ts';
import { FRAME_TYPE, FrameDecoder } from '../../../../src/protocol/frames.ts';
import { type RunOutcome, type RunSpec, runOutcomeSchema, type ShellSpec } from '../../../../src/protocol/run-spec.ts';
import { systemClock } from '../../../../src/shared/clock.ts';
import { silentLogger } from '../../../../src/shared/logger.ts';

/** Deadline of everything that is waited for, ms. */
export const DEADLINE_MS = 20_000;

const SHIM_ENTRY = join(import.meta.dirname, '../../../../src/node/shim/main.ts');

const cleanups = new WeakMap<TestContext, (() => unknown)[]>();

/** Undoes things after the test in the reverse order; `t.after` alone would remove a folder before what works in it is ended. */
export function cleanUp(t: TestContext, action: () => unknown): void {
  const known = cleanups.get(t);
  if (known !== undefined) return void known.push(action);
  const actions = [action];
  cleanups.set(t, actions);
  t.after(async () => {
    for (const next of actions.reverse()) await next();
  });
}

export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fleet-runner-'));
  cleanUp(t, () => rm(folder, { recursive: true, force: true }));
  return folder;
}

export function runnerOptions(folder: string, changes: Partial<RunnerOptions> = {}): RunnerOptions {
  return {
    folder,
    shell: '/bin/sh',
    killGraceMs: 300,
    now: () => Date.now(),
    clock: systemClock,
    logger: silentLogger,
    baseEnv: { PATH: process.env.PATH, HOME: '/', BASE: 'base' },
    homeFolder: '/',
    maxSpoolBytes: 1024 ** 3,
    maxOutputBytes: 1024 ** 3,
    retentionMs: 30 * 86_400_000,
    shim: { entry: SHIM_ENTRY, socket: join(folder, 'shim.sock'), logFile: join(folder, 'shim.log') },
    ...changes,
  };
}

/** A started runner in a folder that is removed after the test, as are all of its commands. */
export async function startRunner(t: TestContext, changes: Partial<RunnerOptions> = {}): Promise<Runner> {
  const runner = new Runner(runnerOptions(changes.folder ?? (await temporaryFolder(t)), changes));
  await runner.start();
  cleanUp(t, () => endRunner(runner));
  return runner;
}

export async function endRunner(runner: Runner): Promise<void> {
  try {
    await runner.stopAll();
  } catch {
    // Closed by the test itself.
  }
  await runner.close();
}

let runs = 0;

export function makeSpec(command: string, changes: Partial<ShellSpec> = {}): ShellSpec {
  runs += 1;
  // Unlike those of other test files, which run at the same time: what belongs to a run is found by its id, and ended.
  const job = `j${process.pid.toString(36).padStart(5, '0')}${String(runs).padStart(6, '0')}`;
  return {
    run: `${job}.0`,
    job,
    nodeId: 'n1',
    node: 'node-1',
    kind: 'shell',
    command,
    env: {},
    stdin: false,
    maxOutputBytes: 64 * 1024 * 1024,
    ...changes,
  };
}

export interface WholeRun {
  stdout: Buffer;
  stderr: Buffer;
  outcome: RunOutcome;
  log: Buffer;
  /** Types of the frames, in order. */
  types: number[];
}

export async function collect(log: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of log) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Reads the log to its end. Fails if it has no end frame. */
export async function readWhole(runner: Runner, run: string): Promise<WholeRun> {
  return parseLog(await collect(runner.readLog(run, 0, AbortSignal.timeout(DEADLINE_MS))));
}

export function parseLog(log: Buffer): WholeRun {
  const decoder = new FrameDecoder();
  const frames = decoder.push(log);
  if (decoder.pendingBytes > 0) throw new Error(`${decoder.pendingBytes} bytes after the last frame`);
  const of = (type: number): Buffer =>
    Buffer.concat(frames.filter((frame) => frame.type === type).map((frame) => frame.payload));
  const end = frames.at(-1);
  if (end?.type !== FRAME_TYPE.end) throw new Error('the log has no end frame');
  return {
    stdout: of(FRAME_TYPE.stdout),
    stderr: of(FRAME_TYPE.stderr),
    outcome: runOutcomeSchema.parse(JSON.parse(end.payload.toString())),
    log,
    types: frames.map((frame) => frame.type),
  };
}

/** Accepts the spec and reads its log to the end. */
export async function runWhole(runner: Runner, spec: RunSpec): Promise<WholeRun> {
  runner.accept(spec);
  return await readWhole(runner, spec.run);
}

/** Resolves once the run has said `text` on either stream. */
export async function untilSaid(runner: Runner, run: string, text: string): Promise<void> {
  let log = '';
  for await (const piece of runner.readLog(run, 0, AbortSignal.timeout(DEADLINE_MS))) {
    log += piece.toString('latin1');
    if (log.includes(text)) return;
  }
  throw new Error(`never said: ${text}`);
}

/** Looks again and again until `condition` holds. @throws when it does not within the deadline. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** One letter of proc_pid_stat(5), such as S, T or Z; undefined if there is no such process. */
export async function processState(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2)[0];
  } catch {
    return undefined;
  }
}

/** Whether a process exists and is not a zombie. */
export async function isAlive(pid: number): Promise<boolean> {
  return !['Z', 'X', undefined].includes(await processState(pid));
}
