/**
 * Passes on the output of a run that is not kept, to the one who takes it whole: as it comes from the node, at that reader's pace, and
 * across cuts of the tunnel. Nothing of it is stored here.
 */
import type { Readable } from 'node:stream';
import { isTerminal } from '../../domain/states.ts';
import { FRAME_TYPE, type Frame, FrameDecoder } from '../../protocol/frames.ts';
import type { JobEvent } from '../../protocol/job-messages.ts';
import { Backoff, type Clock, sleep, type Timer } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import { connectionError } from '../../shared/http/request.ts';
import type { Link } from '../nodes/links.ts';
import type { Sessions } from '../nodes/sessions.ts';
import type { NodeClient } from './node-client.ts';
import type { RunFeed } from './run-facts.ts';
import type { BusStore, RunRecord } from './runs-table.ts';

/** Pauses between attempts while the tunnel stands, ms. */
const RETRY = { initialMs: 100, maxMs: 2_000 } as const;
/** How often a node hears that a follower is there, ms. */
const ATTEND_INTERVAL_MS = 20_000;
/** A node that does not hear it for so long lets the command run on, ms: longer than a command line looks for a gateway that is gone. */
const LEASE_MS = 90_000;
/** A follower whose connection broke is back within this time, or the command runs on, ms. */
const GRACE_MS = 20_000;

/** Output that is not kept, of a run that has ended, is given up after a silence of its node of so long, ms. */
const LAST_SILENCE_MS = 15_000;

interface LiveOutputOptions {
  feed: RunFeed;
  clock: Clock;
  random: () => number;
  store: BusStore;
  sessions: Sessions;
  /** Resolves once the node is online, with its session; undefined when `signal` aborts first. */
  whenOnline(nodeId: string, signal: AbortSignal): Promise<Link | undefined>;
  clientOf(session: Link): NodeClient;
}

export class LiveOutput {
  readonly #options: LiveOutputOptions;
  /** Followers that take a job's output whole, by job. */
  readonly #followers = new Map<string, number>();

  constructor(options: LiveOutputOptions) {
    this.#options = options;
  }

  /**
   * Output from `from` on, in bytes of output; `next` of an event is the position behind it. Ends with `live-end`, which says whether that
   * was all, or the rest is in the log.
   */
  async *follow(run: RunRecord, from: number, signal: AbortSignal): AsyncGenerator<JobEvent> {
    const { feed, clock, random, store, whenOnline, clientOf } = this.#options;
    const ended = new AbortController();
    const look = (): void => {
      if (isTerminal(store.runs.byId(run.id)?.state ?? 'unknown')) ended.abort();
    };
    const unsubscribe = feed.subscribe(run.jobId, look);
    look();
    const waiting = AbortSignal.any([signal, ended.signal]);
    const backoff = new Backoff({ ...RETRY, random });
    let position = from;
    try {
      for (;;) {
        // Of a run that has ended nothing is waited for: what did not come is in the log, as far as it is kept.
        const session = waiting.aborted ? undefined : await whenOnline(run.nodeId, waiting);
        if (session === undefined) return yield { type: 'live-end', complete: false };
        try {
          const stream = await clientOf(session).openLive(run.id, position, signal);
          let complete = false;
          for await (const { type, payload } of readFrames(stream, clock, ended.signal)) {
            complete = type === FRAME_TYPE.live;
            if (type !== FRAME_TYPE.stdout && type !== FRAME_TYPE.stderr) break;
            position += payload.length;
            backoff.reset();
            yield dataEvent(run, type === FRAME_TYPE.stdout ? 'stdout' : 'stderr', payload, position);
          }
          return yield { type: 'live-end', complete };
        } catch (error) {
          if (signal.aborted) return;
          const { code, retryable } = connectionError(error);
          if (!retryable && code !== 'not_running') return yield { type: 'live-end', complete: false };
          await sleep(clock, backoff.next(), waiting);
        }
      }
    } finally {
      unsubscribe();
    }
  }

  /** A follower is there until the returned function is called: the node hears of it now and then. */
  attend(run: RunRecord): () => void {
    let timer: Timer | undefined;
    const tell = (): void => {
      this.#tell(run.id, LEASE_MS);
      timer = this.#options.clock.after(ATTEND_INTERVAL_MS, tell, { unref: true });
    };
    this.#count(run.jobId, 1);
    tell();
    return () => {
      timer?.cancel();
      if (this.#count(run.jobId, -1) === 0) this.#tell(run.id, GRACE_MS);
    };
  }

  #count(job: string, change: 1 | -1): number {
    const count = (this.#followers.get(job) ?? 0) + change;
    if (count === 0) this.#followers.delete(job);
    else this.#followers.set(job, count);
    return count;
  }

  #tell(id: string, forMs: number): void {
    const { store, sessions, clientOf } = this.#options;
    const run = store.runs.byId(id);
    const session = run?.state === 'running' ? sessions.online(run.nodeId) : undefined;
    // A node that does not hear it hears it the next time, or lets the command run on.
    if (session !== undefined)
      clientOf(session)
        .attend(id, forMs)
        .catch(() => {});
  }
}

/** Output, and at most one other frame behind it. What is after that is not read. */
async function* readFrames(stream: Readable, clock: Clock, ended: AbortSignal): AsyncGenerator<Frame> {
  const decoder = new FrameDecoder();
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  try {
    for (;;) {
      const next = await untilSilent(chunks.next(), stream, clock, ended);
      if (next.done) return;
      let frames: Frame[];
      try {
        frames = decoder.push(next.value);
      } catch (error) {
        throw new FleetError('protocol_unsupported', 'the node sent something that is no output', { cause: error });
      }
      // Those without bytes are free for the node, and an event each for the follower.
      yield* frames.filter(({ type, payload }) => payload.length > 0 || type === FRAME_TYPE.live);
    }
  } finally {
    stream.destroy();
  }
}

/** Of a run that has ended, what its node still has comes at once; a silence is the end of it. */
async function untilSilent<T>(next: Promise<T>, stream: Readable, clock: Clock, ended: AbortSignal): Promise<T> {
  let timer: Timer | undefined;
  const arm = (): void => {
    const silent = new FleetError('timeout', 'the node did not end the output of a run that has ended');
    timer = clock.after(LAST_SILENCE_MS, () => void stream.destroy(silent), { unref: true });
  };
  if (ended.aborted) arm();
  else ended.addEventListener('abort', arm, { once: true });
  try {
    return await next;
  } finally {
    timer?.cancel();
    ended.removeEventListener('abort', arm);
  }
}

/** Always as base64: bytes that are not kept are bulk, and a NUL as text in JSON takes six bytes. */
function dataEvent(run: RunRecord, type: 'stdout' | 'stderr', payload: Buffer, next: number): JobEvent {
  const data = payload.toString('base64');
  return { type, run: run.id, index: run.index, node: run.nodeName, next, data, encoding: 'base64' };
}
