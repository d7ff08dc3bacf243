/** Passes on output that is not kept to the follower that takes all of it: at its pace, across lost connections, without storing it. */
import type { Readable } from 'node:stream';
import { isTerminal } from '../../domain/states.ts';
import { FRAME_TYPE, type Frame, FrameDecoder } from '../../protocol/frames.ts';
import type { JobEvent } from '../../protocol/job-messages.ts';
import { Backoff, type Clock, sleep, type Timer } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import { connectionError } from '../../shared/http/request.ts';
import type { BusContext } from './bus-context.ts';
import type { RunRecord } from './runs-table.ts';

/** Pauses between attempts while the node is online, ms. */
const RETRY = { initialMs: 100, maxMs: 2_000 } as const;
/** Interval between renewals of a follower's lease at the node, ms. */
const RENEW_INTERVAL_MS = 20_000;
/** Without a renewal, the node lets the command continue after this time, ms: longer than a CLI looks for a lost gateway. */
const LEASE_MS = 90_000;
/** Time for a follower to reconnect before the node lets the command continue, ms. */
const GRACE_MS = 20_000;
/** Longest silence of a node after the end of the run before the rest of its live output is given up, ms. */
const LAST_SILENCE_MS = 15_000;

export class LiveOutput {
  readonly #context: BusContext;
  /** Number of followers that take a job's whole output, by job. */
  readonly #followers = new Map<string, number>();

  constructor(context: BusContext) {
    this.#context = context;
  }

  /**
   * Output from position `from` on, in bytes of output; `next` of an event is the position after it. Ends with `live-end`, which says
   * whether that was all or the rest is in the log.
   */
  async *follow(run: RunRecord, from: number, signal: AbortSignal): AsyncGenerator<JobEvent> {
    const { feed, clock, random, store, nodes } = this.#context;
    const ended = new AbortController();
    const check = (): void => {
      if (isTerminal(store.runs.byId(run.id)?.state ?? 'unknown')) ended.abort();
    };
    const unsubscribe = feed.subscribe(run.jobId, check);
    check();
    const waiting = AbortSignal.any([signal, ended.signal]);
    const backoff = new Backoff({ ...RETRY, random });
    let position = from;
    try {
      for (;;) {
        // After the end of the run, the log has the rest, as far as it is kept.
        const client = waiting.aborted ? undefined : await nodes.whenOnline(run.nodeId, waiting);
        if (client === undefined) return yield { type: 'live-end', complete: false };
        try {
          const stream = await client.openLive(run.id, position, signal);
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

  /** Holds a lease at the run's node for a follower until the returned function is called. */
  attend(run: RunRecord): () => void {
    let timer: Timer | undefined;
    const renew = (): void => {
      this.#renew(run.id, LEASE_MS);
      timer = this.#context.clock.after(RENEW_INTERVAL_MS, renew, { unref: true });
    };
    this.#count(run.jobId, 1);
    renew();
    return () => {
      timer?.cancel();
      if (this.#count(run.jobId, -1) === 0) this.#renew(run.id, GRACE_MS);
    };
  }

  #count(job: string, change: 1 | -1): number {
    const count = (this.#followers.get(job) ?? 0) + change;
    if (count === 0) this.#followers.delete(job);
    else this.#followers.set(job, count);
    return count;
  }

  #renew(id: string, forMs: number): void {
    const { store, nodes } = this.#context;
    const run = store.runs.byId(id);
    if (run?.state !== 'running') return;
    // A lost renewal is made up for by the next one, or the node lets the command continue.
    nodes
      .online(run.nodeId)
      ?.attend(id, forMs)
      .catch(() => {});
  }
}

/** Frames of output, and at most one other frame after them, where the stream ends. */
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
        throw new FleetError('protocol_unsupported', 'the node sent invalid live output', { cause: error });
      }
      // Empty frames cost the node nothing, but would be an event each for the follower.
      yield* frames.filter(({ type, payload }) => payload.length > 0 || type === FRAME_TYPE.live);
    }
  } finally {
    stream.destroy();
  }
}

/** After the end of the run, the node sends what it still has at once; silence means that there is no more. */
async function untilSilent<T>(next: Promise<T>, stream: Readable, clock: Clock, ended: AbortSignal): Promise<T> {
  let timer: Timer | undefined;
  const arm = (): void => {
    const silent = new FleetError('timeout', 'the node did not end the live output of a run that has ended');
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

/** Always base64: this output comes in bulk, and a NUL takes six bytes as text in JSON. */
function dataEvent(run: RunRecord, type: 'stdout' | 'stderr', payload: Buffer, next: number): JobEvent {
  const data = payload.toString('base64');
  return { type, run: run.id, index: run.index, node: run.nodeName, next, data, encoding: 'base64' };
}
