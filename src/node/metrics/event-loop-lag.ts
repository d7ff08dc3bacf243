/** How late the agent's event loop runs: a node that is alive but too slow to answer shows it here first. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Between two looks, ms. At 20 ms the looking alone took 0.5 % of a core; at 100 ms it takes 0.1 %. */
const RESOLUTION_MS = 100;

export interface EventLoopLag {
  /** 99th percentile of the lag since the call before, ms; null when nothing was measured yet. */
  take(): number | null;
  close(): void;
}

/** Measures from now until `close`. */
export function startEventLoopLag(): EventLoopLag {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  return {
    take() {
      if (histogram.count === 0) return null;
      // The histogram holds whole intervals, ns: what is over the interval that was asked for is lag.
      const lagMs = Math.max(0, histogram.percentile(99) / 1e6 - RESOLUTION_MS);
      histogram.reset();
      return lagMs;
    },
    close: () => void histogram.disable(),
  };
}
