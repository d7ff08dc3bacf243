/** How a process that is being attacked feels, told by itself: how long its event loop stood still, and what it holds. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

export interface Vitals {
  rssBytes: number;
  /** After a full collection. */
  heapBytes: number;
  /** Longest time that the event loop was late, ms; also for what other processes did to this one. */
  maxLagMs: number;
  /** Most CPU time of the main thread between two turns that should be 10 ms apart, ms: a stall that is its own. */
  maxOwnStallMs: number;
}

const TURN_MS = 10;

/** Begins to watch, and answers each message `vitals` of the parent process; `facts` are told along with them. */
export function watchSelf(facts: () => object): void {
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  let maxOwnStallMs = 0;
  let last = threadCpuMs();
  const turns = setInterval(() => {
    const now = threadCpuMs();
    maxOwnStallMs = Math.max(maxOwnStallMs, now - last);
    last = now;
  }, TURN_MS);
  turns.unref();
  process.on('message', (message) => {
    if (message !== 'vitals') return;
    const { max } = delay;
    const stall = maxOwnStallMs;
    // The collection is the attacker's doing only in part, and it is only made for this answer.
    globalThis.gc?.();
    const { rss, heapUsed } = process.memoryUsage();
    const vitals: Vitals = { rssBytes: rss, heapBytes: heapUsed, maxLagMs: max / 1e6, maxOwnStallMs: stall };
    process.send?.({ vitals, ...facts() });
    delay.reset();
    maxOwnStallMs = 0;
    last = threadCpuMs();
  });
  process.once('disconnect', () => process.exit(0));
}

function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
