/** Reads the figures of a heartbeat from the machine: cheap ones each time, slow ones rarely, and none at the price of the rest. */
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

/** The first sample stands between a person and "usable": what is not there by then comes with the second, ms. */
const FIRST_DEADLINE_MS = 250;

const DEADLINE_MS = 2_000;

const CPU_LIMIT_MAX_AGE_MS = 60_000;

// Below a heartbeat's interval: a disk can be full within a minute.
const DISKS_MAX_AGE_MS = 5_000;

const BATTERY_MAX_AGE_MS = 60_000;

const TEMPERATURE_MAX_AGE_MS = 60_000;

interface MetricsDependencies {
  clock: Clock;
  logger: Logger;
  /** Where figures come from; this system's own by default. */
  source?: MetricsSource;
}

export interface Metrics {
  /** Takes the readings that the first sample's rates start from. Optional: the first sample does it too, and has no rates then. */
  start(): Promise<void>;
  /** All figures now, each null when it could not be had in 2 s (250 ms the first time). Never rejects. */
  sample(): Promise<MetricsSample>;
  close(): void;
}

/** Files on Linux, where they say it all; systeminformation elsewhere. */
export function defaultMetricsSource(platform: NodeJS.Platform = process.platform): MetricsSource {
  return platform === 'linux' ? createLinuxSource() : createSysteminformationSource();
}

export function createMetrics({ clock, logger, source = defaultMetricsSource() }: MetricsDependencies): Metrics {
  const probe = <T>(name: string, read: () => Promise<T>, maxAgeMs: number): Probe<T> =>
    new Probe({ name, read, maxAgeMs, clock, logger });
  const cpuTimes = probe('cpu', () => source.readCpuTimes(), 0);
  const cpuLimit = probe('cpu limit', async () => (await source.readCpuLimitCores?.()) ?? null, CPU_LIMIT_MAX_AGE_MS);
  const memory = probe('memory', () => source.readMemory(), 0);
  const network = probe('network', () => source.readNetwork(), 0);
  const disks = probe('disks', () => source.readDisks(), DISKS_MAX_AGE_MS);
  const temperature = probe('temperature', () => source.readTemperatureC(), TEMPERATURE_MAX_AGE_MS);
  const battery = probe('battery', () => source.readBattery(), BATTERY_MAX_AGE_MS);
  const cpuPct = new DifferenceOf(cpuPctBetween);
  const networkRates = new DifferenceOf(networkRatesBetween);
  let lag: EventLoopLag | undefined;
  let closed = false;
  let sampled = false;

  const readCpuPct = async (deadlineMs: number) => cpuPct.next(await cpuTimes.get(deadlineMs), clock.monotonic());
  const readNetworkRates = async (deadlineMs: number) =>
    networkRates.next(await network.get(deadlineMs), clock.monotonic());
  const watchEventLoop = (): void => {
    if (!closed) lag ??= startEventLoopLag();
  };

  return {
    async start() {
      watchEventLoop();
      await Promise.all([readCpuPct(FIRST_DEADLINE_MS), readNetworkRates(FIRST_DEADLINE_MS)]);
    },
    async sample() {
      watchEventLoop();
      const deadlineMs = sampled ? DEADLINE_MS : FIRST_DEADLINE_MS;
      sampled = true;
      const [cpu, limitCores, mem, rates, diskUsages, temperatureC, charge] = await Promise.all([
        readCpuPct(deadlineMs),
        cpuLimit.get(deadlineMs),
        memory.get(deadlineMs),
        readNetworkRates(deadlineMs),
        disks.get(deadlineMs),
        temperature.get(deadlineMs),
        battery.get(deadlineMs),
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
        agent: {
          version: FLEET_VERSION,
          rssBytes: process.memoryUsage.rss(),
          eventLoopLagMs: lag?.take() ?? null,
          uptimeS: process.uptime(),
        },
      };
    },
    close() {
      closed = true;
      lag?.close();
    },
  };
}

/** Whole cores: part of one counts as one. */
function coresWithin(limitCores: number | null): number {
  const cores = os.availableParallelism();
  return limitCores === null ? cores : Math.min(cores, Math.max(1, Math.ceil(limitCores)));
}

/** Windows has none, and Node.js answers zeros there (nodejs.org/api/os.html#osloadavg). */
function loadAverages(): Pick<MetricsSample, 'load1' | 'load5' | 'load15'> {
  if (process.platform === 'win32') return { load1: null, load5: null, load15: null };
  const [load1 = null, load5 = null, load15 = null] = os.loadavg();
  return { load1, load5, load15 };
}

/** Between two looks, ms. At 20 ms the looking alone took 0.5 % of a core; at 100 ms it takes 0.1 %. */
const RESOLUTION_MS = 100;

interface EventLoopLag {
  /** 99th percentile of the lag since the call before, ms; null when nothing was measured yet. */
  take(): number | null;
  close(): void;
}

/** Measures from now until `close`. */
function startEventLoopLag(): EventLoopLag {
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
