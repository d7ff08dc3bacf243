/** Follows a job to its end across lost connections: each event arrives once, and output resumes at its byte. */
import type { RunState } from '../domain/states.ts';
import { decodeData } from '../protocol/frames.ts';
import type { JobEvent, SubmitJobRequest } from '../protocol/job-messages.ts';
import { Backoff, type Clock, sleep } from '../shared/clock.ts';
import { FleetError, systemErrorCode, toFleetError } from '../shared/errors.ts';
import { connectionError } from '../shared/http/request.ts';
import type { GatewayClient } from './gateway-client.ts';
import { readEvents } from './read-events.ts';

/** Without a gateway for so long, following is given up, ms. */
export const GIVE_UP_AFTER_MS = 60_000;
/** Pauses between attempts, ms: on the same machine, a gateway that restarts is back within a second. */
export const RECONNECT_BACKOFF = { initialMs: 100, maxMs: 2_000 } as const;

/** A job to submit, which needs an idempotency key, or an existing one, with log offsets by index of the run. */
export type FollowTarget =
  | {
      request: SubmitJobRequest & { idempotencyKey: string };
      /** Take all of the output of its one run, also what is not kept: the command waits for a consumer that is slow. */
      whole?: boolean;
    }
  | { job: string; from?: Readonly<Record<string, number>> };

interface FollowOptions {
  clock: Clock;
  random: () => number;
  /** Ends the stream of events without an error. The job continues. */
  signal?: AbortSignal | undefined;
  /** Called once for each time without a gateway, when the connection was lost and another is tried. */
  onLost?: ((failure: FleetError) => void) | undefined;
}

/** All events but those that say how to read on; the last is `done`, unless the signal aborted. */
type VisibleEvent = Exclude<JobEvent, { type: 'ping' | 'live' | 'live-end' }>;

/**
 * The events of a job, the repeated ones that a reconnect brings left out. An event counts as handled when the next is asked for.
 * @throws FleetError `gateway_unreachable` at once when nothing listens at first, or after {@link GIVE_UP_AFTER_MS} without a
 * gateway, with the job in its facts; what the gateway answered when that cannot pass by itself.
 */
export async function* followJob(
  client: GatewayClient,
  target: FollowTarget,
  options: FollowOptions,
): AsyncGenerator<VisibleEvent> {
  const { clock, random, signal } = options;
  const progress = new Progress(target);
  const backoff = new Backoff({ ...RECONNECT_BACKOFF, random });
  let lostAt: number | undefined;
  let everConnected = false;
  attempts: while (!signal?.aborted) {
    try {
      const stream = await progress.open(client, signal);
      everConnected = true;
      for await (const event of readEvents(stream, clock)) {
        const isNew = event.type !== 'ping' && progress.isNew(event);
        // Repetition is no progress: a stream that breaks at the same place every time must end.
        if (isNew || event.type === 'ping') {
          lostAt = undefined;
          backoff.reset();
        }
        if (!isNew) continue;
        yield* progress.visible(event);
        progress.handled(event);
        if (event.type === 'done') return;
        if (progress.needsNewStream(event)) continue attempts;
      }
      throw new FleetError('connection_lost', 'the gateway ended the stream before the job had ended');
    } catch (error) {
      if (signal?.aborted) return;
      // What is no system error is a defect, and would not get better by trying again.
      const failure = systemErrorCode(error) === undefined ? toFleetError(error) : connectionError(error);
      everConnected ||= failure.code !== 'gateway_unreachable';
      if (!everConnected || !PASSING.has(failure.code)) throw failure;
      if (lostAt === undefined) options.onLost?.(failure);
      lostAt ??= clock.monotonic();
      if (clock.monotonic() - lostAt >= GIVE_UP_AFTER_MS) throw progress.givenUp(failure);
      await sleep(clock, backoff.next(), signal);
    }
  }
}

const PASSING: ReadonlySet<string> = new Set(['connection_lost', 'gateway_unreachable', 'timeout']);

type NewsEvent = Exclude<JobEvent, { type: 'ping' }>;

/** Index of the run of a job that is followed whole. */
const ONLY_RUN = 0;

/** What has been handled so far. */
class Progress {
  readonly #target: FollowTarget;
  readonly #offsets: Record<string, number>;
  readonly #states = new Map<number, RunState>();
  readonly #ended = new Set<number>();
  readonly #whole: WholeOutput | undefined;
  #job: string | undefined;
  #sawJob = false;

  constructor(target: FollowTarget) {
    this.#target = target;
    this.#whole = 'request' in target && target.whole ? new WholeOutput() : undefined;
    this.#job = 'job' in target ? target.job : undefined;
    this.#offsets = { ...('job' in target ? target.from : {}) };
  }

  /** Goes on where it was; a submission that was never answered is made again, under the same key. */
  async open(client: GatewayClient, signal: AbortSignal | undefined): ReturnType<GatewayClient['openFollow']> {
    const whole = this.#whole !== undefined;
    if (this.#job === undefined && 'request' in this.#target)
      return await client.openSubmit(this.#target.request, signal, whole);
    const position = this.#whole?.livePosition;
    if (position !== undefined) return await client.openLive(this.#job ?? '', position, signal);
    return await client.openFollow(this.#job ?? '', this.#offsets, signal, whole);
  }

  isNew(event: NewsEvent): boolean {
    if (event.type === 'job') return !this.#sawJob;
    if (event.type === 'done' || event.type === 'live-end') return true;
    if (this.#ended.has(event.index)) return false;
    return event.type !== 'state' || this.#states.get(event.index) !== event.state;
  }

  /** What the caller gets. */
  visible(event: NewsEvent): VisibleEvent[] {
    if (event.type === 'live' || event.type === 'live-end') return [];
    const whole = this.#whole;
    if (whole === undefined) return [event];
    if (event.type === 'stdout' || event.type === 'stderr') return whole.data(event);
    if (event.type === 'gap') return whole.gap(event);
    return event.type === 'end' ? whole.end(event) : [event];
  }

  /** Whether another stream is to be opened now. */
  needsNewStream(event: NewsEvent): boolean {
    return event.type === 'live-end' || (event.type === 'live' && this.#whole !== undefined);
  }

  handled(event: NewsEvent): void {
    if (event.type === 'job') {
      this.#sawJob = true;
      this.#job = event.job;
    } else if (event.type === 'state') {
      this.#states.set(event.index, event.state);
    } else if (event.type === 'live-end') {
      this.#whole?.endLive();
      // Nothing but the end is missing then.
      if (event.complete) this.#offsets[ONLY_RUN] = Number.MAX_SAFE_INTEGER;
    } else if (event.type !== 'done' && this.#whole?.livePosition === undefined) {
      this.#offsets[event.index] = event.next;
      if (event.type === 'live') this.#whole?.beginLive(event.next);
      if (event.type === 'end') this.#ended.add(event.index);
    }
  }

  givenUp(cause: FleetError): FleetError {
    const job = this.#job;
    const message = `the gateway has been gone for ${GIVE_UP_AFTER_MS / 1000} s`;
    if (job === undefined) {
      return new FleetError('gateway_unreachable', `${message}; whether it took the job is not known`, {
        hint: 'Once it is back, look: fleet jobs',
        cause,
      });
    }
    return new FleetError('gateway_unreachable', `${message}; job ${job} may still run`, {
      hint: `Once it is back, go on with: fleet jobs logs -f ${job}`,
      cause,
      facts: { job },
    });
  }
}

/**
 * Puts the whole output of a run together from what the gateway keeps of it and what it passes on live: every byte comes once, and what
 * cannot be had any more is named by a gap.
 *
 * The log has the beginning, then (kept or not) a gap, and the end. Behind the beginning the live stream takes over. Should that break off
 * for good, the log goes on where it can.
 */
type DataEvent = Extract<JobEvent, { type: 'stdout' | 'stderr' }>;
type EndEvent = Extract<JobEvent, { type: 'end' }>;
type GapEvent = Extract<JobEvent, { type: 'gap' }>;

const STREAMS = ['stdout', 'stderr'] as const;

class WholeOutput {
  /** Delivered or reported as missing, bytes per stream. */
  readonly #given = { stdout: 0, stderr: 0 };
  /** How far of each stream the log was read. */
  readonly #logged = { stdout: 0, stderr: 0 };
  /** Offset in the log after which the live stream takes over, while it does. */
  #liveFrom: number | undefined;
  #wasLive = false;
  #isMissing = false;

  /** Where to resume the live stream, in bytes of output; undefined when the log is to be read. */
  get livePosition(): number | undefined {
    return this.#liveFrom === undefined ? undefined : this.#given.stdout + this.#given.stderr;
  }

  beginLive(offset: number): void {
    this.#liveFrom = offset;
    this.#wasLive = true;
  }

  endLive(): void {
    this.#liveFrom = undefined;
  }

  data(event: DataEvent): DataEvent[] {
    const { type } = event;
    const bytes = decodeData(event);
    if (this.#liveFrom !== undefined) {
      this.#given[type] += bytes.length;
      // `next` of an event is always an offset in the log.
      return [{ ...event, next: this.#liveFrom }];
    }
    const known = Math.min(bytes.length, this.#given[type] - this.#logged[type]);
    this.#logged[type] += bytes.length;
    this.#given[type] += bytes.length - known;
    if (known === 0) return [event];
    if (known === bytes.length) return [];
    return [{ ...event, data: bytes.subarray(known).toString('base64'), encoding: 'base64' }];
  }

  /** The part of the log's gap that did not arrive live either. */
  gap(event: GapEvent): GapEvent[] {
    for (const stream of STREAMS) this.#logged[stream] += event[`${stream}Bytes`];
    const missing = this.#missing(event, this.#logged);
    // Where the log resumes is unknown, but it is after everything that arrived live.
    if (event.atLeast) Object.assign(this.#logged, this.#given);
    return missing;
  }

  /** Before it, of all that the run wrote, what neither came nor was named. */
  end(event: EndEvent): (GapEvent | EndEvent)[] {
    const { run, index, node, next, stdoutBytes, stderrBytes } = event;
    const gap = { type: 'gap', run, index, node, next, stdoutBytes, stderrBytes } as const;
    const gaps = this.#missing(gap, { stdout: stdoutBytes, stderr: stderrBytes });
    return [...gaps, this.#wasLive && !this.#isMissing ? { ...event, whole: true } : event];
  }

  #missing(gap: GapEvent, reached: Readonly<Record<'stdout' | 'stderr', number>>): GapEvent[] {
    const missing = { ...gap };
    for (const stream of STREAMS) {
      missing[`${stream}Bytes`] = Math.max(0, reached[stream] - this.#given[stream]);
      this.#given[stream] = Math.max(this.#given[stream], reached[stream]);
    }
    if (missing.stdoutBytes + missing.stderrBytes === 0) return [];
    this.#isMissing = true;
    return [missing];
  }
}
