/** Shares and rates out of counters that only grow: what happened between two heartbeats. */
import type { CpuTimes, NetworkCounters } from './source.ts';

interface NetworkRates {
  rxBytesPerS: number;
  txBytesPerS: number;
  /** Null where the system does not count them. */
  errorsPerS: number | null;
  dropsPerS: number | null;
}

/** Percent of all cores that was busy between two readings; null when the counters did not advance or went back. */
export function cpuPctBetween(before: CpuTimes, after: CpuTimes): number | null {
  if (after.basis !== before.basis) return null;
  const total = after.total - before.total;
  const busy = after.busy - before.busy;
  // iowait, which counts as idle, may run backwards (proc(5)), so the busy part can pass the whole by a little.
  return total > 0 && busy >= 0 ? Math.min(100, (busy / total) * 100) : null;
}

/**
 * Bytes a second between two readings that are `elapsedMs` apart. An interface that is new, or whose counter went back
 * because it was made anew, counts from the next reading on; null when none is in both.
 */
export function networkRatesBetween(
  before: NetworkCounters,
  after: NetworkCounters,
  elapsedMs: number,
): NetworkRates | null {
  let rxBytes = 0;
  let txBytes = 0;
  let errors: number | null = null;
  let drops: number | null = null;
  let interfaces = 0;
  for (const [name, now] of after) {
    const then = before.get(name);
    if (then === undefined || now.rxBytes < then.rxBytes || now.txBytes < then.txBytes) continue;
    rxBytes += now.rxBytes - then.rxBytes;
    txBytes += now.txBytes - then.txBytes;
    errors = grown(errors, then.errors, now.errors);
    drops = grown(drops, then.drops, now.drops);
    interfaces += 1;
  }
  if (interfaces === 0 || !(elapsedMs > 0)) return null;
  const perS = (amount: number): number => (amount / elapsedMs) * 1000;
  return {
    rxBytesPerS: perS(rxBytes),
    txBytesPerS: perS(txBytes),
    errorsPerS: errors === null ? null : perS(errors),
    dropsPerS: drops === null ? null : perS(drops),
  };
}

function grown(sum: number | null, before: number | undefined, after: number | undefined): number | null {
  if (before === undefined || after === undefined) return sum;
  return (sum ?? 0) + Math.max(0, after - before);
}

/** Shorter spans give noise: the kernel counts CPU time in ticks of 10 ms. */
const MIN_SPAN_MS = 100;

/** Keeps the last reading of one counter and tells what happened since, on the monotonic clock. */
export class DifferenceOf<Reading, Rate> {
  readonly #between: (before: Reading, after: Reading, elapsedMs: number) => Rate | null;
  #last: { reading: Reading; at: number } | undefined;
  #rate: Rate | null = null;

  constructor(between: (before: Reading, after: Reading, elapsedMs: number) => Rate | null) {
    this.#between = between;
  }

  /** The rate since the reading before; null at first, and after a reading that failed (null). `at` is monotonic ms. */
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
