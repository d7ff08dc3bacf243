/** Shares and rates from counters that only grow: what happened between two heartbeats. */
import type { CpuTimes, NetworkCounters } from './source.ts';

interface NetworkRates {
  rxBytesPerS: number;
  txBytesPerS: number;
  /** Null where the system doesn't count them. */
  errorsPerS: number | null;
  dropsPerS: number | null;
}

/** Busy percentage of all cores between two readings; null when the counters didn't advance or went back. */
export function cpuPctBetween(before: CpuTimes, after: CpuTimes): number | null {
  if (after.basis !== before.basis) return null;
  const total = after.total - before.total;
  const busy = after.busy - before.busy;
  // iowait, part of idle, may decrease (proc(5)), so busy can slightly exceed the total.
  return total > 0 && busy >= 0 ? Math.min(100, (busy / total) * 100) : null;
}

/**
 * Rates between two readings `elapsedMs` apart. An interface that is new or was recreated, so that its counters went back, counts from the
 * next reading on; null when no interface is in both readings.
 */
export function networkRatesBetween(
  before: NetworkCounters,
  after: NetworkCounters,
  elapsedMs: number,
): NetworkRates | null {
  if (!(elapsedMs > 0)) return null;
  let rates = null as NetworkRates | null;
  const perS = (then: number, now: number): number => (Math.max(0, now - then) / elapsedMs) * 1000;
  const add = (sum: number | null = null, then?: number, now?: number): number | null =>
    then === undefined || now === undefined ? sum : (sum ?? 0) + perS(then, now);
  for (const [name, now] of after) {
    const then = before.get(name);
    if (then === undefined || now.rxBytes < then.rxBytes || now.txBytes < then.txBytes) continue;
    rates = {
      rxBytesPerS: (rates?.rxBytesPerS ?? 0) + perS(then.rxBytes, now.rxBytes),
      txBytesPerS: (rates?.txBytesPerS ?? 0) + perS(then.txBytes, now.txBytes),
      errorsPerS: add(rates?.errorsPerS, then.errors, now.errors),
      dropsPerS: add(rates?.dropsPerS, then.drops, now.drops),
    };
  }
  return rates;
}

/** Shorter spans are noise: the kernel counts CPU time in ticks of 10 ms. */
const MIN_SPAN_MS = 100;

/** Keeps the last reading of one counter to derive a rate from the next. */
export class DifferenceOf<Reading, Rate> {
  readonly #between: (before: Reading, after: Reading, elapsedMs: number) => Rate | null;
  #last: { reading: Reading; at: number } | undefined;
  #rate: Rate | null = null;

  constructor(between: (before: Reading, after: Reading, elapsedMs: number) => Rate | null) {
    this.#between = between;
  }

  /** The rate since the previous reading; null for the first one, and after a failed one (null). `at` is monotonic ms. */
  next(reading: Reading | null, at: number): Rate | null {
    if (reading === null) {
      this.#last = undefined;
      return null;
    }
    if (this.#last !== undefined && at - this.#last.at < MIN_SPAN_MS) return this.#rate;
    this.#rate = this.#last === undefined ? null : this.#between(this.#last.reading, reading, at - this.#last.at);
    this.#last = { reading, at };
    return this.#rate;
  }
}
