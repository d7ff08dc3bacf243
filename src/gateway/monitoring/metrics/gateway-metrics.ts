/** What the gateway tells Prometheus about itself: the bus, its SSH port, its process. Counted as it happens, by prom-client. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge, Histogram, Registry, type RegistryContentType } from 'prom-client';
import { FIRING_OUTCOMES, type FiringOutcome } from '../../../protocol/schedule-words.ts';
import type { RunRecord } from '../../bus/runs-table.ts';
import type { SshServerStats } from '../../ssh/ssh-server.ts';

/** Of a command, from its start to its end. */
const DURATION_BUCKETS_S = [0.05, 0.25, 1, 5, 15, 60, 300, 1_800, 7_200, 43_200];
/** From being accepted to being handed over. */
const WAIT_BUCKETS_S = [0.005, 0.025, 0.1, 0.5, 2, 10, 60, 600, 3_600, 86_400];
/** At 20 ms the looking alone takes 0.5 % of a core; at 100 ms 0.1 %. */
const LAG_RESOLUTION_MS = 100;

const OUTCOMES = [
  'succeeded',
  'exited_nonzero',
  'signaled',
  'timed_out',
  'canceled',
  'failed_to_start',
  'rejected',
  'expired',
  'unknown',
] as const;

/** What is read at the moment of a scrape. */
export interface GatewayFigures {
  runs: { queued: number; delivered: number; running: number };
  /** Names of all that there are. */
  schedules: readonly string[];
  sessions: number;
  ssh: SshServerStats;
  version: string;
  /** ms since the epoch. */
  startedAt: number;
}

export type MetricsFormat = 'text' | 'openmetrics';

export const CONTENT_TYPES: Readonly<Record<MetricsFormat, RegistryContentType>> = {
  text: Registry.PROMETHEUS_CONTENT_TYPE,
  openmetrics: Registry.OPENMETRICS_CONTENT_TYPE,
};

export class GatewayMetrics {
  /** One set a format: writing OpenMetrics renames prom-client's counters for good. */
  readonly #sets: Readonly<Record<MetricsFormat, MetricSet>> = {
    text: createSet(CONTENT_TYPES.text),
    openmetrics: createSet(CONTENT_TYPES.openmetrics),
  };
  #lag: ReturnType<typeof monitorEventLoopDelay> | undefined;

  start(): void {
    this.#lag = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
    this.#lag.enable();
  }

  close(): void {
    this.#lag?.disable();
    this.#lag = undefined;
  }

  /** Counts a run that has ended. One that could not be stored is counted again when it can be. */
  runEnded(run: RunRecord): void {
    const outcome = outcomeOf(run);
    for (const set of Object.values(this.#sets)) {
      set.runs.inc({ outcome });
      if (run.deliveredAt !== null) set.wait.observe(secondsBetween(run.queuedAt, run.deliveredAt));
      if (run.startedAt !== null && run.endedAt !== null) {
        set.duration.observe(secondsBetween(run.startedAt, run.endedAt));
      }
    }
  }

  /** Counts times of a schedule that were done, or are left out. */
  scheduleOutcome(schedule: string, outcome: FiringOutcome, count: number): void {
    for (const set of Object.values(this.#sets)) set.firings.inc({ schedule, outcome }, count);
  }

  /** In OpenMetrics without the `# EOF` at its end, because there is more to come. */
  async write(format: MetricsFormat, figures: GatewayFigures): Promise<string> {
    const set = this.#sets[format];
    this.#fill(set, figures);
    const text = await set.registry.metrics();
    return text.replace(/# EOF\n$/, '');
  }

  #fill(set: MetricSet, { runs, schedules, sessions, ssh, version, startedAt }: GatewayFigures): void {
    fillSchedules(set, schedules);
    for (const [state, count] of Object.entries(runs)) set.open.set({ state }, count);
    set.sessions.set(sessions);
    set.connections.set(ssh.connections);
    set.unauthenticated.set(ssh.unauthenticated);
    setCounter(set.refused, ssh.refused);
    set.killed.reset();
    for (const [reason, count] of Object.entries(ssh.killed)) set.killed.inc({ reason }, count);
    set.info.set({ version }, 1);
    set.startTime.set(startedAt / 1_000);
    set.residentMemory.set(process.memoryUsage.rss());
    const { user, system } = process.cpuUsage();
    setCounter(set.cpu, (user + system) / 1e6);
    this.#fillLag(set);
  }

  /** Of the time since the last scrape, whoever asked. */
  #fillLag(set: MetricSet): void {
    const lag = this.#lag;
    if (lag === undefined || lag.count === 0) return;
    // The histogram holds the time from one tick to the next, the tick itself included.
    const late = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e9 - LAG_RESOLUTION_MS / 1_000);
    set.lag99.set(late(lag.percentile(99)));
    set.lagMax.set(late(lag.max));
    lag.reset();
  }
}

type MetricSet = ReturnType<typeof createSet>;

function createSet(contentType: RegistryContentType) {
  const registry = new Registry<RegistryContentType>();
  registry.setContentType(contentType);
  const registers = [registry] as unknown as [Registry];
  const gauge = <T extends string = never>(name: string, help: string, labelNames: T[] = []): Gauge<T> =>
    new Gauge({ name, help, labelNames, registers });
  const counter = <T extends string = never>(name: string, help: string, labelNames: T[] = []): Counter<T> =>
    new Counter({ name, help, labelNames, registers });
  const runs = counter('fleet_runs_total', 'Runs that have ended, by outcome.', ['outcome']);
  for (const outcome of OUTCOMES) runs.inc({ outcome }, 0);
  return {
    registry,
    runs,
    open: gauge('fleet_runs_open', 'Runs without an end, by state.', ['state']),
    duration: new Histogram({
      name: 'fleet_run_duration_seconds',
      help: 'From the start of a command to its end.',
      buckets: DURATION_BUCKETS_S,
      registers,
    }),
    wait: new Histogram({
      name: 'fleet_run_wait_seconds',
      help: 'From being accepted to being handed to the node.',
      buckets: WAIT_BUCKETS_S,
      registers,
    }),
    firings: counter('fleet_schedule_firings_total', 'Times of schedules, by what became of them.', [
      'schedule',
      'outcome',
    ]),
    knownSchedules: new Set<string>(),
    sessions: gauge('fleet_gateway_sessions', 'Live tunnels.'),
    connections: gauge('fleet_gateway_ssh_connections', 'Open connections to the SSH port.'),
    unauthenticated: gauge('fleet_gateway_ssh_unauthenticated_connections', 'Of these, who has not said who it is.'),
    refused: counter('fleet_gateway_ssh_refused_total', 'Connections that were refused over a limit.'),
    killed: counter('fleet_gateway_ssh_killed_total', 'Connections that were cut for what the peer did.', ['reason']),
    info: gauge('fleet_gateway_info', 'The version of the gateway, in its label.', ['version']),
    startTime: gauge('process_start_time_seconds', 'When the gateway was started.'),
    residentMemory: gauge('process_resident_memory_bytes', 'Memory of the gateway.'),
    cpu: counter('process_cpu_seconds_total', 'Processor time of the gateway.'),
    lag99: gauge('fleet_gateway_event_loop_lag_p99_seconds', 'How late the event loop was since the last scrape.'),
    lagMax: gauge(
      'fleet_gateway_event_loop_lag_max_seconds',
      'How late the event loop was at most since the last scrape.',
    ),
  };
}

/** Zeroes for all there are, so that Prometheus sees the first one as an increase; nothing of those that were removed. */
function fillSchedules(set: MetricSet, schedules: readonly string[]): void {
  for (const schedule of set.knownSchedules) {
    if (schedules.includes(schedule)) continue;
    for (const outcome of FIRING_OUTCOMES) set.firings.remove({ schedule, outcome });
  }
  for (const schedule of schedules) for (const outcome of FIRING_OUTCOMES) set.firings.inc({ schedule, outcome }, 0);
  set.knownSchedules = new Set(schedules);
}

function setCounter(counter: Counter<never>, value: number): void {
  counter.reset();
  counter.inc(value);
}

function outcomeOf({ state, exitCode }: RunRecord): string {
  if (state !== 'exited') return state;
  return exitCode === 0 ? 'succeeded' : 'exited_nonzero';
}

/** Both ms; a clock that was set back gives 0. */
function secondsBetween(from: number, to: number): number {
  return Math.max(0, to - from) / 1_000;
}
