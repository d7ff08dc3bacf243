/** Streams a job's events from the store: a slow reader delays only itself, and one that returns resumes where it was. */
import type { FastifyReply } from 'fastify';
import { isTerminal, type RunState } from '../../domain/states.ts';
import { encodeData, FRAME_HEADER_BYTES, FRAME_TYPE } from '../../protocol/frames.ts';
import type { JobEvent } from '../../protocol/job-messages.ts';
import { runGapSchema, runStartedSchema } from '../../protocol/run-spec.ts';
import { isoTime } from '../../shared/duration.ts';
import { FleetError } from '../../shared/errors.ts';
import { sendStream, type WhenBlocked } from '../../shared/http/send-stream.ts';
import type { RunFeed } from '../bus/bus-context.ts';
import type { RunRecord } from '../bus/runs-table.ts';
import type { ApiStore } from './find.ts';
import { runView } from './views.ts';

interface JobStreamOptions {
  store: ApiStore;
  feed: RunFeed;
  jobId: string;
  /** Log offset to start at, by index of the run. */
  from: Record<string, number>;
  /** Offline nodes that the job leaves out. */
  notTried?: string[];
  signal: AbortSignal;
  /** Registers a callback for when the reader stops reading. */
  whenBlocked?: WhenBlocked;
}

/** Most pieces of one run's log in a row, while other runs of the job wait. */
const MOST_PIECES = 8;

interface Cursor {
  log: LogCursor;
  state: RunState | undefined;
  ended: boolean;
}

/** All events of the job, live until its last run has ended (then `done`) or `signal` aborts. */
export async function* followJob(options: JobStreamOptions): AsyncGenerator<JobEvent> {
  const { store, feed, jobId, notTried = [], signal } = options;
  const dirty = new Set<string>();
  let wake = (): void => {};
  const unsubscribe = feed.subscribe(jobId, (runId) => {
    dirty.add(runId);
    wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const runs = store.runs.ofJob(jobId);
    const cursors = new Map<string, Cursor>();
    for (const run of runs) {
      const log = new LogCursor(store.runs, run, options.from[run.index] ?? 0);
      cursors.set(run.id, { log, state: undefined, ended: false });
      dirty.add(run.id);
    }
    options.whenBlocked?.(() => {
      for (const { log } of cursors.values()) log.release();
    });
    yield {
      type: 'job',
      job: jobId,
      runs: runs.map((run) => ({ ...placeOf(run), state: run.state })),
      ...(notTried.length === 0 ? {} : { notTried }),
    };
    let open = runs.length;
    while (open > 0 && !signal.aborted) {
      const [runId] = dirty;
      if (runId === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      dirty.delete(runId);
      const cursor = cursors.get(runId);
      if (cursor === undefined || cursor.ended) continue;
      const hasMore = yield* step(store, runId, cursor);
      if (cursor.ended) open -= 1;
      // To the end of the queue, so that a run with much output does not starve the others.
      else if (hasMore) dirty.add(runId);
    }
    if (!signal.aborted) yield { type: 'done', job: jobId };
  } finally {
    unsubscribe();
    signal.removeEventListener('abort', onAbort);
  }
}

/** News of one run, with at most {@link MOST_PIECES} of its log; returns whether there may be more. */
async function* step(store: ApiStore, runId: string, cursor: Cursor): AsyncGenerator<JobEvent, boolean> {
  const run = store.runs.byId(runId);
  if (run === undefined) {
    cursor.ended = true;
    return false;
  }
  if (run.state !== cursor.state && !isTerminal(run.state)) yield stateEvent(run);
  cursor.state = run.state;
  for (let count = 0; count < MOST_PIECES; count += 1) {
    const piece = cursor.log.read(run.logBytes);
    if (piece === undefined) break;
    yield* logEvent(run, piece);
    if (count === MOST_PIECES - 1) return true;
  }
  if (isTerminal(run.state)) {
    cursor.ended = true;
    yield { type: 'end', next: Math.min(cursor.log.offset, run.logBytes), ...runView(run) };
  }
  return false;
}

/** @throws FleetError `bad_request` if no event begins at an offset */
export function checkOffsets(store: ApiStore, runs: readonly RunRecord[], from: Record<string, number>): void {
  for (const run of runs) new LogCursor(store.runs, run, from[run.index] ?? 0).read(run.logBytes);
}

function* logEvent(run: RunRecord, { type, payload, next }: LogPiece): Generator<JobEvent> {
  const where = { ...placeOf(run), next };
  switch (type) {
    case FRAME_TYPE.started: {
      // Only an agent's run, or one whose command has exited, has more to report than its state.
      const { agent, exited } = runStartedSchema.safeParse(JSON.parse(payload.toString())).data ?? {};
      if (agent !== undefined) yield { type: 'agent', job: run.jobId, ...where, agent };
      if (exited !== undefined) yield { type: 'exited', ...where, ...exited };
      return;
    }
    case FRAME_TYPE.live:
      yield { type: 'live', ...where };
      return;
    case FRAME_TYPE.gap:
      yield { type: 'gap', ...where, ...runGapSchema.parse(JSON.parse(payload.toString())) };
      return;
    case FRAME_TYPE.stdout:
    case FRAME_TYPE.stderr:
      yield { type: type === FRAME_TYPE.stdout ? 'stdout' : 'stderr', ...where, ...encodeData(payload) };
  }
}

function stateEvent(run: RunRecord): JobEvent {
  const at = isoTime(run.startedAt ?? run.deliveredAt ?? run.queuedAt);
  return { type: 'state', job: run.jobId, ...placeOf(run), state: run.state, at };
}

function placeOf({ id, index, nodeName }: RunRecord) {
  return { run: id, index, node: nodeName };
}

/** Most output in one event, bytes; up to six times that as JSON, and each follower may have one in flight. */
export const PIECE_BYTES = 32 * 1024;

/** A frame, or a part of a long output frame that ends, if possible, with a whole character. */
export interface LogPiece {
  type: number;
  payload: Buffer;
  /** Offset to continue from. */
  next: number;
}

interface Frame {
  /** Offset of its header in the log. */
  at: number;
  type: number;
  payload: Buffer;
}

export class LogCursor {
  readonly #runs: ApiStore['runs'];
  readonly #run: Pick<RunRecord, 'seq' | 'id'>;
  #offset: number;
  /** Where the frame of the offset begins; undefined until that has been looked up. */
  #frameAt: number | undefined;
  /** Stored bytes from that offset on. */
  #stored: { at: number; bytes: Buffer } | undefined;

  constructor(runs: ApiStore['runs'], run: Pick<RunRecord, 'seq' | 'id'>, offset: number) {
    this.#runs = runs;
    this.#run = run;
    this.#offset = offset;
    if (offset === 0) this.#frameAt = 0;
  }

  get offset(): number {
    return this.#offset;
  }

  /** The next piece of a log of `logBytes`; undefined at its end. @throws FleetError `bad_request`. */
  read(logBytes: number): LogPiece | undefined {
    if (this.#offset >= logBytes) return undefined;
    this.#frameAt ??= this.#locate();
    const frame = this.#frameFrom(this.#frameAt);
    if (frame === undefined) return undefined;
    const from = Math.max(0, this.#offset - frame.at - FRAME_HEADER_BYTES);
    const to = pieceEnd(frame, from);
    const isLast = to === frame.payload.length;
    const next = frame.at + FRAME_HEADER_BYTES + to;
    this.#offset = next;
    if (isLast) this.#frameAt = next;
    return { type: frame.type, payload: frame.payload.subarray(from, to), next };
  }

  /** Frees what can be read again. */
  release(): void {
    this.#stored = undefined;
  }

  /** Stored chunks are whole frames, so the search starts at the beginning of a chunk. @throws FleetError `bad_request`. */
  #locate(): number {
    let at = this.#runs.chunkStart(this.#run.seq, this.#offset) ?? 0;
    for (let frame = this.#frameFrom(at); frame !== undefined && at < this.#offset; frame = this.#frameFrom(at)) {
      const end = at + FRAME_HEADER_BYTES + frame.payload.length;
      if (this.#offset < end) return this.#assertPiece(frame);
      at = end;
    }
    return at;
  }

  /** @throws FleetError `bad_request` if no piece of the frame begins at the offset */
  #assertPiece(frame: Frame): number {
    const wanted = this.#offset - frame.at - FRAME_HEADER_BYTES;
    for (let to = 0; to < wanted; ) {
      to = pieceEnd(frame, to);
      if (to === wanted) return frame.at;
    }
    throw new FleetError('bad_request', `${this.#offset} is not an offset of an event of ${this.#run.id}`, {
      hint: 'Use `next` of a line of: fleet jobs logs --jsonl',
    });
  }

  #frameFrom(at: number): Frame | undefined {
    const { bytes, start } = this.#bytesFrom(at);
    if (bytes.length < start + FRAME_HEADER_BYTES) return undefined;
    const begin = start + FRAME_HEADER_BYTES;
    const length = bytes.readUInt32BE(start + 1);
    return { at, type: bytes.readUInt8(start), payload: bytes.subarray(begin, begin + length) };
  }

  #bytesFrom(at: number): { bytes: Buffer; start: number } {
    const present = this.#stored;
    if (present !== undefined && at >= present.at && at < present.at + present.bytes.length) {
      return { bytes: present.bytes, start: at - present.at };
    }
    const bytes = this.#runs.readLog(this.#run.seq, at);
    this.#stored = { at, bytes };
    return { bytes, start: 0 };
  }
}

/** End of the piece that begins at `from` in the payload; the same for all readers. */
function pieceEnd({ type, payload }: Frame, from: number): number {
  const isOutput = type === FRAME_TYPE.stdout || type === FRAME_TYPE.stderr;
  const to = from + PIECE_BYTES;
  if (!isOutput || to >= payload.length) return payload.length;
  // A UTF-8 character has at most three continuation bytes.
  for (let cut = to; cut > to - 4; cut -= 1) if (((payload[cut] ?? 0) & 0xc0) !== 0x80) return cut;
  return to;
}

/** Interval of `ping` events, ms, by which a reader can tell a quiet job from a hung gateway. */
const PING_INTERVAL_MS = 10_000;

/** Takes over the reply; resolves when the events have ended or the reader has gone, which aborts the signal of `open`. */
export function sendEvents(
  reply: FastifyReply,
  open: (signal: AbortSignal, whenBlocked: WhenBlocked) => AsyncIterable<JobEvent>,
): Promise<void> {
  return sendStream(reply, {
    contentType: 'application/x-ndjson',
    open: (signal, whenBlocked) => lines(open(signal, whenBlocked)),
    ping: { text: '{"type":"ping"}\n', intervalMs: PING_INTERVAL_MS },
  });
}

async function* lines(events: AsyncIterable<JobEvent>): AsyncGenerator<string> {
  for await (const event of events) yield `${JSON.stringify(event)}\n`;
}
