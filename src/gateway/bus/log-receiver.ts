/** Stores a run's log as it arrives from its node: whole frames, in grouped commits, with back-pressure. */
import type { Readable } from 'node:stream';
import { encodeFrame, FRAME_TYPE, type Frame, FrameDecoder } from '../../protocol/frames.ts';
import { type RunOutcome, runGapSchema, runOutcomeSchema, runStartedSchema } from '../../protocol/run-spec.ts';
import { FleetError } from '../../shared/errors.ts';
import { discardRest } from '../../shared/http/request.ts';
import type { BusStore, RunRecord } from './runs-table.ts';

/** Log bytes that may wait for the next commit; beyond this, the channel's window closes. */
const MAX_WAITING_BYTES = 1024 * 1024;
/** While no more than this is being stored, the next chunk is taken already: it may be the end. */
const SMALL_BYTES = 16 * 1024;
/** Most frames of one log without output: a start, an end, and a gap for each restart of the node. */
const MAX_NOTES = 1_000;

interface LogReceiverOptions {
  store: BusStore;
  run: RunRecord;
  /** Longest accepted log, bytes. */
  maxLogBytes: number;
  /** Called after each commit. */
  onStored(): void;
  /** Called once it is stored that the command has exited, but the run continues because something holds its output. */
  onExited?(): void;
}

/** The node sent more for one run than it may, or what no log contains; nothing after that is stored. */
export class LogTooLong extends Error {
  override readonly name = 'LogTooLong';
}

/**
 * Stores `stream` up to the run's end frame, each time together with the run's new state. Only the last commit is durable: a power cut
 * may lose earlier ones, and the node must send those bytes again.
 * Resolves with the outcome; @throws FleetError `connection_lost` if the stream ends before the end frame, `protocol_unsupported` if it
 * is not a log, `storage_failed`; LogTooLong.
 */
export async function receiveLog(stream: Readable, options: LogReceiverOptions): Promise<RunOutcome> {
  const { store, run, maxLogBytes, onStored, onExited } = options;
  const decoder = new FrameDecoder();
  let offset = run.logBytes;
  let notes = 0;
  /** A write that may still be waiting for others. */
  let previous: Promise<unknown> = Promise.resolve();
  const tooLong = (what: string): LogTooLong => {
    stream.destroy();
    return new LogTooLong(`the log of run ${run.id} ${what}`);
  };
  try {
    for await (const chunk of batches(stream)) {
      const frames = decodeFrames(decoder, chunk);
      if (frames.length === 0) continue;
      notes += frames.filter((frame) => !isOutput(frame)).length;
      if (notes > MAX_NOTES) throw tooLong(`has more than ${MAX_NOTES} frames without output`);
      const bytes = Buffer.concat(frames.map((frame) => encodeFrame(frame.type, frame.payload)));
      if (offset + bytes.length > maxLogBytes) throw tooLong(`is longer than ${maxLogBytes} bytes`);
      const at = offset;
      const work = () => storeFrames(options, at, bytes, frames);
      offset += bytes.length;
      // The end has an audit row, and followers treat it as final. Its commit includes everything before it.
      if (frames.some(({ type }) => type === FRAME_TYPE.end)) {
        const [{ outcome }] = await Promise.all([store.write(work), previous]);
        onStored();
        if (outcome !== undefined) return outcome;
      } else {
        await previous;
        previous = store.writeSoon(work).then(({ hasExited }) => {
          onStored();
          if (hasExited) onExited?.();
        });
        // Breaks the log off at once, so that it is read again from what is stored.
        previous.catch((error: Error) => stream.destroy(error));
        if (bytes.length > SMALL_BYTES) await previous;
      }
    }
  } finally {
    // The next attempt continues from what is stored, so all of it must be.
    await previous;
  }
  throw new FleetError('connection_lost', 'the log of the run ended before its end frame');
}

/** What has arrived since the last step, as one buffer. Pauses the stream while too much is waiting. */
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
    // After the end frame, or once the reader has given up, the rest of the stream is of no use.
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
  { store, run }: LogReceiverOptions,
  offset: number,
  bytes: Buffer,
  frames: Frame[],
): { outcome: RunOutcome | undefined; hasExited: boolean } {
  const count = (type: number): number =>
    frames.reduce((sum, frame) => (frame.type === type ? sum + frame.payload.length : sum), 0);
  if (!store.runs.appendLog(run, offset, bytes, count(FRAME_TYPE.stdout), count(FRAME_TYPE.stderr))) {
    throw new FleetError('internal', `the log of run ${run.id} does not end at ${offset}`);
  }
  let outcome: RunOutcome | undefined;
  let hasExited = false;
  for (const frame of frames) {
    if (frame.type === FRAME_TYPE.started) {
      const { startedAt, exited } = parsePayload(frame, runStartedSchema.safeParse);
      if (exited !== undefined) {
        store.runs.setExited(run.seq, exited);
        hasExited = true;
      }
      if (store.runs.byId(run.id)?.state === 'delivered') store.runs.move(run.id, 'running', { startedAt });
    } else if (frame.type === FRAME_TYPE.gap) {
      // Followers rely on everything stored being valid.
      parsePayload(frame, runGapSchema.safeParse);
    } else if (frame.type === FRAME_TYPE.end) {
      outcome = parsePayload(frame, runOutcomeSchema.safeParse);
      const { state, ...ended } = outcome;
      store.runs.move(run.id, state, ended);
    }
  }
  return { outcome, hasExited };
}

function parsePayload<T>(frame: Frame, parse: (value: unknown) => { success: true; data: T } | { success: false }): T {
  let value: unknown;
  try {
    value = JSON.parse(frame.payload.toString('utf8'));
  } catch {
    value = undefined;
  }
  const parsed = parse(value);
  if (!parsed.success) throw new FleetError('protocol_unsupported', 'the node sent an invalid frame');
  return parsed.data;
}
