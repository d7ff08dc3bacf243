/** Takes a run's log from its node into the store: whole frames, in grouped commits, with back-pressure. */
import type { Readable } from 'node:stream';
import { encodeFrame, FRAME_TYPE, type Frame, FrameDecoder } from '../../protocol/frames.ts';
import { type RunOutcome, runGapSchema, runOutcomeSchema, runStartedSchema } from '../../protocol/run-spec.ts';
import { FleetError } from '../../shared/errors.ts';
import { discardRest } from '../../shared/http/request.ts';
import type { BusStore, RunRecord } from './runs-table.ts';

/** Log bytes that may wait for the next commit; beyond it the channel's window closes. */
const MAX_WAITING_BYTES = 1024 * 1024;
/** While so little is being stored, the next is taken already: it may be the end. */
const SMALL_BYTES = 16 * 1024;

/** Most frames of one log that carry no output, such as empty ones: a start, an end, and a gap for each restart of the node. */
const MAX_NOTES = 1_000;

interface LogReceiverOptions {
  store: BusStore;
  run: RunRecord;
  /** Longest log that is taken, bytes. */
  maxLogBytes: number;
  /** Called after each commit. */
  onStored(): void;
  /** Called when the command has exited and the run goes on, because something holds its output. */
  onExited?(): void;
}

/** A node has sent more for one run than it may, or what no log holds; nothing that came after that is stored. */
export class LogTooLong extends Error {
  override readonly name = 'LogTooLong';
}

/**
 * Stores what `stream` brings until the run's end frame, and the run's new state with it, in one transaction each time. Only the last
 * one is durable when it is told: before that a power cut may take some, and the node must send them again.
 * Resolves with the outcome; @throws FleetError `connection_lost` when the stream ends before the end frame,
 * `protocol_unsupported` when it is no log, `storage_failed`; LogTooLong.
 */
export async function receiveLog(stream: Readable, options: LogReceiverOptions): Promise<RunOutcome> {
  const decoder = new FrameDecoder();
  let offset = options.run.logBytes;
  let notes = 0;
  /** A write that may still wait for company. */
  let former: Promise<unknown> = Promise.resolve();
  try {
    for await (const chunk of batches(stream)) {
      const frames = decodeFrames(decoder, chunk);
      if (frames.length === 0) continue;
      notes += frames.filter((frame) => !isOutput(frame)).length;
      if (notes > MAX_NOTES) {
        stream.destroy();
        throw new LogTooLong(`the log of run ${options.run.id} has more than ${MAX_NOTES} frames without output`);
      }
      const bytes = Buffer.concat(frames.map((frame) => encodeFrame(frame.type, frame.payload)));
      if (offset + bytes.length > options.maxLogBytes) {
        stream.destroy();
        throw new LogTooLong(`the log of run ${options.run.id} is longer than ${options.maxLogBytes} bytes`);
      }
      const at = offset;
      const work = (): RunOutcome | undefined => storeFrames(options, at, bytes, frames);
      offset += bytes.length;
      // The end has a row in the audit log, and followers take it for good. Its commit takes along what came before.
      if (frames.some(({ type }) => type === FRAME_TYPE.end)) {
        const [outcome] = await Promise.all([options.store.write(work), former]);
        options.onStored();
        if (outcome !== undefined) return outcome;
      } else {
        await former;
        former = options.store.writeSoon(work).then(options.onStored);
        // Whoever awaits it hears of it.
        former.catch(() => {});
        if (bytes.length > SMALL_BYTES) await former;
      }
    }
  } finally {
    // Whoever goes on from what is stored must know all of it.
    await former;
  }
  throw new FleetError('connection_lost', 'the log of the run ended before its end frame');
}

/** What arrived since the last step, as one buffer. Pauses the stream while too much waits. */
async function* batches(stream: Readable): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let ended = false;
  let failure: Error | undefined;
  let wake = (): void => {};
  stream.on('data', (chunk: Buffer) => {
    waiting.push(chunk);
    waitingBytes += chunk.length;
    if (waitingBytes >= MAX_WAITING_BYTES) stream.pause();
    wake();
  });
  const finish = (error?: Error): void => {
    ended = true;
    failure ??= error;
    wake();
  };
  stream.once('end', () => finish());
  stream.once('close', () => finish());
  stream.once('error', finish);
  try {
    for (;;) {
      if (waiting.length === 0) {
        if (failure !== undefined)
          throw new FleetError('connection_lost', `the log stream broke: ${failure.message}`, { cause: failure });
        if (ended) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      const batch = Buffer.concat(waiting);
      waiting = [];
      waitingBytes = 0;
      if (!ended) stream.resume();
      yield batch;
    }
  } finally {
    // The end frame has come, or the reader gave up: what may still follow on this stream is of no use.
    stream.removeAllListeners('data');
    discardRest(stream);
  }
}

function decodeFrames(decoder: FrameDecoder, chunk: Buffer): Frame[] {
  try {
    return decoder.push(chunk);
  } catch (error) {
    throw new FleetError('protocol_unsupported', 'the node sent something that is not a log', { cause: error });
  }
}

function isOutput({ type, payload }: Frame): boolean {
  return (type === FRAME_TYPE.stdout || type === FRAME_TYPE.stderr) && payload.length > 0;
}

function storeFrames(
  options: LogReceiverOptions,
  offset: number,
  bytes: Buffer,
  frames: Frame[],
): RunOutcome | undefined {
  const { store, run } = options;
  const count = (type: number): number =>
    frames.reduce((sum, frame) => (frame.type === type ? sum + frame.payload.length : sum), 0);
  if (!store.runs.appendLog(run, offset, bytes, count(FRAME_TYPE.stdout), count(FRAME_TYPE.stderr))) {
    throw new FleetError('internal', `the log of run ${run.id} does not end at ${offset}`);
  }
  let outcome: RunOutcome | undefined;
  for (const frame of frames) {
    if (frame.type === FRAME_TYPE.started) {
      const { startedAt, exited } = parsePayload(frame, runStartedSchema.safeParse);
      if (exited !== undefined) {
        store.runs.setExited(run.seq, exited);
        options.onExited?.();
      }
      if (store.runs.byId(run.id)?.state === 'delivered') store.runs.move(run.id, 'running', { startedAt });
    } else if (frame.type === FRAME_TYPE.gap) {
      // Followers rely on it that whatever is stored can be read.
      parsePayload(frame, runGapSchema.safeParse);
    } else if (frame.type === FRAME_TYPE.end) {
      outcome = parsePayload(frame, runOutcomeSchema.safeParse);
      const { state, droppedBytes, ...ended } = outcome;
      store.runs.move(run.id, state, { ...ended, droppedBytes });
    }
  }
  return outcome;
}

function parsePayload<T>(frame: Frame, parse: (value: unknown) => { success: true; data: T } | { success: false }): T {
  let value: unknown;
  try {
    value = JSON.parse(frame.payload.toString('utf8'));
  } catch {
    value = undefined;
  }
  const parsed = parse(value);
  if (!parsed.success) throw new FleetError('protocol_unsupported', 'the node sent a frame that cannot be read');
  return parsed.data;
}
