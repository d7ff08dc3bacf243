/**
 * Puts the whole output of a run together from what the gateway keeps of it and what it passes on live: every byte comes once, and what
 * cannot be had any more is named by a gap.
 *
 * The log has the beginning, then (kept or not) a gap, and the end. Behind the beginning the live stream takes over. Should that break off
 * for good, the log goes on where it can.
 */
import type { JobEvent } from '../protocol/job-messages.ts';
import { decodeData } from '../protocol/text-data.ts';

type DataEvent = Extract<JobEvent, { type: 'stdout' | 'stderr' }>;
type EndEvent = Extract<JobEvent, { type: 'end' }>;
type GapEvent = Extract<JobEvent, { type: 'gap' }>;

const STREAMS = ['stdout', 'stderr'] as const;

export class WholeOutput {
  /** What has been given out of each stream, or named as missing, bytes. */
  readonly #given = { stdout: 0, stderr: 0 };
  /** How far of each stream the log was read. */
  readonly #logged = { stdout: 0, stderr: 0 };
  /** Offset in the log behind which the live stream takes over; while it does. */
  #liveFrom: number | undefined;
  #wasLive = false;
  #isMissing = false;

  /** Where the live stream shall go on, in bytes of output; undefined when the log is to be read. */
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

  /** Of what the log does not have, that which did not come live either. */
  gap(event: GapEvent): GapEvent[] {
    for (const stream of STREAMS) this.#logged[stream] += event[`${stream}Bytes`];
    const missing = this.#missing(event, this.#logged);
    // Where the log goes on behind it nobody knows, but it is behind all that ever came live.
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
