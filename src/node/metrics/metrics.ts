/** Reads the figures of a heartbeat: cheap ones every time, expensive ones less often, and none at the cost of the others. */
import os from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { MetricsSample } from '../../protocol/heartbeat.ts';
import { FLEET_VERSION } from '../../protocol/version.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import { createLinuxSource } from './linux-source.ts';
import { Probe } from './probe.ts';
import { cpuPctBetween, DifferenceOf, networkRatesBetween } from './rates.ts';
import type { MetricsSource } from './source.ts';
import { createSysteminformationSource } from './systeminformation-source.ts';

/** The first sample delays "online": what isn't available by then comes with the second, ms. */
const FIRST_DEADLINE_MS = 250;
const DEADLINE_MS = 2_000;
/** Less than the interval between heartbeats: a disk can fill up within a minute. */
const DISKS_MAX_AGE_MS = 5_000;
const MINUTE_MS = 60_000;
/** Resolution of the event loop lag, ms. Measuring took 0.5 % of a core at 20 ms, and takes 0.1 % at 100 ms. */
const LAG_RESOLUTION_MS = 100;

interface MetricsDependencies {
  clock: Clock;
  logger: Logger;
  /** By default the platform's. */
  source?: MetricsSource;
}

interface Metrics {
  /** All figures now, each null when it isn't available within 2 s (250 ms the first time). The first sample has no rates. Never rejects. */
  sample(): Promise<MetricsSample>;
  close(): void;
}

export function defaultMetricsSource(platform: NodeJS.Platform = process.platform): MetricsSource {
  return platform === 'linux' ? createLinuxSource() : createSysteminformationSource();
}

export function createMetrics({ clock, logger, source = defaultMetricsSource() }: MetricsDependencies): Metrics {
  const probe = <T>(name: string, read: () => Promise<T>, maxAgeMs = 0): Probe<T> =>
    new Probe({ name, read, maxAgeMs, clock, logger });
  const cpuTimes = probe('cpu', () => source.readCpuTimes());
  const cpuLimit = probe('cpu limit', async () => (await source.readCpuLimitCores?.()) ?? null, MINUTE_MS);
  const memory = probe('memory', () => source.readMemory());
  const network = probe('network', () => source.readNetwork());
  const disks = probe('disks', () => source.readDisks(), DISKS_MAX_AGE_MS);
  const temperature = probe('temperature', () => source.readTemperatureC(), MINUTE_MS);
  const battery = probe('battery', () => source.readBattery(), MINUTE_MS);
  const cpuPct = new DifferenceOf(cpuPctBetween);
  const networkRates = new DifferenceOf(networkRatesBetween);
  const lag = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
  let deadlineMs = FIRST_DEADLINE_MS;
  let closed = false;

  return {
    async sample() {
      if (!closed) lag.enable();
      const waitMs = deadlineMs;
      deadlineMs = DEADLINE_MS;
      const [cpu, limitCores, mem, rates, diskUsages, temperatureC, charge] = await Promise.all([
        cpuTimes.get(waitMs).then((times) => cpuPct.next(times, clock.monotonic())),
        cpuLimit.get(waitMs),
        memory.get(waitMs),
        network.get(waitMs).then((counters) => networkRates.next(counters, clock.monotonic())),
        disks.get(waitMs),
        temperature.get(waitMs),
        battery.get(waitMs),
      ]);
      const at = clock.now();
      const uptimeS = os.uptime();
      return {
        at,
        bootedAt: Math.max(0, Math.round(at - uptimeS * 1000)),
        uptimeS,
        cpuPct: cpu,
        ...loadAverages(),
        cores: coresWithin(limitCores),
        memTotalBytes: mem?.memTotalBytes ?? null,
        memUsedBytes: mem?.memUsedBytes ?? null,
        swapTotalBytes: mem?.swapTotalBytes ?? null,
        swapUsedBytes: mem?.swapUsedBytes ?? null,
        disks: diskUsages,
        network: rates,
        temperatureC,
        battery: charge,
        node: {
          version: FLEET_VERSION,
          rssBytes: process.memoryUsage.rss(),
          eventLoopLagMs: takeLagMs(),
          uptimeS: process.uptime(),
        },
      };
    },
    close() {
      closed = true;
      lag.disable();
    },
  };

  /** 99th percentile since the previous call, ms; null when nothing was measured yet. */
  function takeLagMs(): number | null {
    if (lag.count === 0) return null;
    // The histogram has whole intervals, ns; what exceeds the resolution is lag.
    const lagMs = Math.max(0, lag.percentile(99) / 1e6 - LAG_RESOLUTION_MS);
    lag.reset();
    return lagMs;
  }
}

/** Whole cores; a fraction of one counts as one. */
function coresWithin(limitCores: number | null): number {
  const cores = os.availableParallelism();
  return limitCores === null ? cores : Math.min(cores, Math.max(1, Math.ceil(limitCores)));
}

/** Windows has none, and Node.js reports zeros there (nodejs.org/api/os.html#osloadavg). */
function loadAverages(): Pick<MetricsSample, 'load1' | 'load5' | 'load15'> {
  if (process.platform === 'win32') return { load1: null, load5: null, load15: null };
  const [load1 = null, load5 = null, load15 = null] = os.loadavg();
  return { load1, load5, load15 };
}
