/** Metrics of the gateway itself (bus, SSH port, process), kept by prom-client. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge, Histogram, Registry, type RegistryContentType } from 'prom-client';
import { isTerminal, RUN_STATES } from '../../../domain/states.ts';
import { FIRING_OUTCOMES, type FiringOutcome } from '../../../domain/vocabulary.ts';
import type { RunRecord } from '../../bus/runs-table.ts';

/** Sampling interval of the event loop's delay: sampling costs 0.1 % of a core at 100 ms, 0.5 % at 20 ms. */
const LAG_RESOLUTION_MS = 100;

/** The final states of a run, with `exited` split by exit code. */
const OUTCOMES = ['succeeded', 'exited_nonzero', ...RUN_STATES.filter((it) => isTerminal(it) && it !== 'exited')];

/** Read at the time of a scrape. */
export interface GatewayFigures {
  runs: { queued: number; delivered: number; running: number };
  /** Names of all schedules. */
  schedules: readonly string[];
  sessions: number;
  ssh: { connections: number; unauthenticated: number; refused: number; killed: Record<string, number> };
  version: string;
  /** ms since the epoch. */
  startedAt: number;
}

/** Seconds; null if nothing was measured since the last scrape. */
type Lag = Record<'lagP99' | 'lagMax', number | null>;

type Read = (figures: GatewayFigures & Lag) => number | Readonly<Record<string, number>> | null;

/** Gauges, and counters (`…_total`). With a label, the values are by its value. */
const READINGS: readonly [name: string, help: string, read: Read, label?: string][] = [
  ['fleet_runs_open', 'Unfinished runs by state.', ({ runs }) => runs, 'state'],
  ['fleet_gateway_sessions', 'Connected nodes.', ({ sessions }) => sessions],
  ['fleet_gateway_ssh_connections', 'Open SSH connections.', ({ ssh }) => ssh.connections],
  [
    'fleet_gateway_ssh_unauthenticated_connections',
    'Unauthenticated SSH connections.',
    ({ ssh }) => ssh.unauthenticated,
  ],
  ['fleet_gateway_ssh_refused_total', 'SSH connections refused because of a limit.', ({ ssh }) => ssh.refused],
  ['fleet_gateway_ssh_killed_total', 'SSH connections closed because of the peer.', ({ ssh }) => ssh.killed, 'reason'],
  ['fleet_gateway_info', 'Version of the gateway, as a label.', ({ version }) => ({ [version]: 1 }), 'version'],
  ['process_start_time_seconds', 'Start time of the gateway process.', ({ startedAt }) => startedAt / 1_000],
  ['process_resident_memory_bytes', 'Resident memory of the gateway process.', () => process.memoryUsage.rss()],
  ['process_cpu_seconds_total', 'User and system CPU time of the gateway process.', cpuSeconds],
  ['fleet_gateway_event_loop_lag_p99_seconds', 'Event loop lag since the last scrape, p99.', ({ lagP99 }) => lagP99],
  ['fleet_gateway_event_loop_lag_max_seconds', 'Event loop lag since the last scrape, max.', ({ lagMax }) => lagMax],
];

export type MetricsFormat = 'text' | 'openmetrics';

export const CONTENT_TYPES: Readonly<Record<MetricsFormat, RegistryContentType>> = {
  text: Registry.PROMETHEUS_CONTENT_TYPE,
  openmetrics: Registry.OPENMETRICS_CONTENT_TYPE,
};

export class GatewayMetrics {
  /** One set per format, because writing OpenMetrics permanently renames prom-client's counters. */
  readonly #sets = { text: createSet(CONTENT_TYPES.text), openmetrics: createSet(CONTENT_TYPES.openmetrics) };
  #delay: ReturnType<typeof monitorEventLoopDelay> | undefined;

  start(): void {
    this.#delay = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
    this.#delay.enable();
  }

  close(): void {
    this.#delay?.disable();
    this.#delay = undefined;
  }

  /** Counts a finished run. One whose end could not be stored is counted again once it can. */
  runEnded(run: RunRecord): void {
    const outcome = outcomeOf(run);
    for (const { runs, wait, duration } of Object.values(this.#sets)) {
      runs.inc({ outcome });
      if (run.deliveredAt !== null) wait.observe(secondsBetween(run.queuedAt, run.deliveredAt));
      if (run.startedAt !== null && run.endedAt !== null) duration.observe(secondsBetween(run.startedAt, run.endedAt));
    }
  }

  /** Counts firings of a schedule, whether executed or skipped. */
  scheduleOutcome(schedule: string, outcome: FiringOutcome, count: number): void {
    for (const { firings } of Object.values(this.#sets)) firings.inc({ schedule, outcome }, count);
  }

  /** Without OpenMetrics' final `# EOF`, because more follows. */
  async write(format: MetricsFormat, figures: GatewayFigures): Promise<string> {
    const set = this.#sets[format];
    fillSchedules(set, figures.schedules);
    const read = { ...figures, ...this.#lag() };
    for (const fill of set.fillers) fill(read);
    const text = await set.registry.metrics();
    return text.replace(/# EOF\n$/, '');
  }

  /** Since the previous scrape, by whichever client. */
  #lag(): Lag {
    const delay = this.#delay;
    if (delay === undefined || delay.count === 0) return { lagP99: null, lagMax: null };
    // The histogram records the time between two ticks, including the sampling interval.
    const late = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e9 - LAG_RESOLUTION_MS / 1_000);
    const lag = { lagP99: late(delay.percentile(99)), lagMax: late(delay.max) };
    delay.reset();
    return lag;
  }
}

type MetricSet = ReturnType<typeof createSet>;

function createSet(contentType: RegistryContentType) {
  const registry = new Registry<RegistryContentType>();
  registry.setContentType(contentType);
  const registers = [registry] as unknown as [Registry];
  const runs = new Counter({
    name: 'fleet_runs_total',
    help: 'Finished runs by outcome.',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of OUTCOMES) runs.inc({ outcome }, 0);
  return {
    registry,
    runs,
    duration: new Histogram({
      name: 'fleet_run_duration_seconds',
      help: 'Time from the start of a command to its end.',
      buckets: [0.05, 0.25, 1, 5, 15, 60, 300, 1_800, 7_200, 43_200],
      registers,
    }),
    wait: new Histogram({
      name: 'fleet_run_wait_seconds',
      help: 'Time from accepting a run to handing it to its node.',
      buckets: [0.005, 0.025, 0.1, 0.5, 2, 10, 60, 600, 3_600, 86_400],
      registers,
    }),
    firings: new Counter({
      name: 'fleet_schedule_firings_total',
      help: 'Firings of schedules by outcome.',
      labelNames: ['schedule', 'outcome'],
      registers,
    }),
    knownSchedules: new Set<string>(),
    fillers: READINGS.map((reading) => createFiller(reading, registers)),
  };
}

/** Creates the metric of a reading; returns what sets it. */
function createFiller([name, help, read, label]: (typeof READINGS)[number], registers: [Registry]) {
  const options = { name, help, labelNames: label === undefined ? [] : [label], registers };
  const metric = name.endsWith('_total') ? new Counter(options) : new Gauge(options);
  return (figures: GatewayFigures & Lag): void => {
    const value = read(figures);
    if (value === null) return;
    metric.reset();
    if (typeof value === 'number') metric.inc(value);
    else for (const [key, one] of Object.entries(value)) metric.inc({ [label ?? '']: key }, one);
  };
}

/** Starts every schedule at 0, so that Prometheus sees its first firing as an increase, and drops removed schedules. */
function fillSchedules(set: MetricSet, schedules: readonly string[]): void {
  for (const schedule of set.knownSchedules) {
    if (schedules.includes(schedule)) continue;
    for (const outcome of FIRING_OUTCOMES) set.firings.remove({ schedule, outcome });
  }
  for (const schedule of schedules) for (const outcome of FIRING_OUTCOMES) set.firings.inc({ schedule, outcome }, 0);
  set.knownSchedules = new Set(schedules);
}

function outcomeOf({ state, exitCode }: RunRecord): string {
  if (state !== 'exited') return state;
  return exitCode === 0 ? 'succeeded' : 'exited_nonzero';
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Both ms; 0 if the clock was set back. */
function secondsBetween(from: number, to: number): number {
  return Math.max(0, to - from) / 1_000;
}
