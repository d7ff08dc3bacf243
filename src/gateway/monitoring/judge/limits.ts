/** The limits of a node's figures: where each is, how far back from it a figure is clear, and what exceeding it costs; docs/health.md. */
import { DEFAULT_HEARTBEAT_INTERVAL_MS, HEARTBEATS_UNTIL_OFFLINE } from '../../../domain/limits.ts';
import { fillableDisks, type Heartbeat, memUsedPct } from '../../../protocol/heartbeat.ts';

/** Where `limited` and `offline` begin; a limit that is off is infinite. {@link LIMITS} says where each limit is left again. */
export interface HealthThresholds {
  /** At or above, percent of all cores. */
  cpuPct: number;
  /** At or above, percent of memory without caches. */
  memUsedPct: number;
  /** At or above on any disk, percent. */
  diskUsedPct: number;
  /** Above, either way, ms. */
  skewMs: number;
  /** At or above, degrees Celsius. */
  temperatureC: number;
  /** At or below while not charging, percent. */
  batteryPct: number;
  /** At or above, lag of the event loop of the node's process, ms. */
  eventLoopLagMs: number;
  /** Time without a heartbeat that means offline, ms. */
  offlineAfterMs: number;
  /** How long a restless figure must stay over its limit, or any figure clear of it, before the status changes, ms. */
  settleMs: number;
}

/** Heartbeat intervals: always shorter than the time to the third heartbeat in a row, and longer than to the second. */
export const SETTLE_HEARTBEATS = 1.5;

export const DEFAULT_HEALTH_THRESHOLDS: Readonly<HealthThresholds> = Object.freeze({
  cpuPct: 95,
  memUsedPct: 90,
  diskUsedPct: 90,
  skewMs: 60_000,
  temperatureC: 90,
  batteryPct: 10,
  eventLoopLagMs: 1_000,
  offlineAfterMs: DEFAULT_HEARTBEAT_INTERVAL_MS * HEARTBEATS_UNTIL_OFFLINE,
  settleMs: DEFAULT_HEARTBEAT_INTERVAL_MS * SETTLE_HEARTBEATS,
});

type LimitKey = Exclude<keyof HealthThresholds, 'offlineAfterMs' | 'settleMs'>;

export interface HeartbeatFacts {
  beat: Heartbeat;
  /** Node's clock minus gateway's, ms; null if unknown. */
  skewMs: number | null;
}

/**
 * A figure is over at its limit (a clock only above it), and clear once it is back by `clearance`, absolute or as a share of the limit; in
 * between, nothing changes. One reading of a restless figure proves nothing. A machine loses `points` for a figure at its limit.
 */
export const LIMITS = {
  cpuPct: { clearance: 5, isRestless: true, points: 25, unit: '%' },
  memUsedPct: { clearance: 5, isRestless: true, points: 25, unit: '%' },
  diskUsedPct: { clearance: 1, isRestless: false, points: 35, unit: '%' },
  temperatureC: { clearance: 5, isRestless: true, points: 15, unit: '°C' },
  eventLoopLagMs: { clearance: 0.25, isRestless: true, points: 20, unit: ' ms' },
  batteryPct: { clearance: 5, isRestless: false, points: 15, unit: '%' },
  skewMs: { clearance: 0.25, isRestless: false, points: 10, unit: ' s' },
} as const satisfies Record<LimitKey, object>;

/** `suffix` follows the value in words. */
export type LimitedFigure = readonly [limit: LimitKey, key: string, value: number | null, suffix?: string];

/** The higher the worse: of a battery, what is missing from a full charge. */
export function limitedFigures({ beat, skewMs }: HeartbeatFacts): LimitedFigure[] {
  const { battery } = beat;
  const disks = fillableDisks(beat);
  return [
    ['cpuPct', 'cpu', beat.cpuPct],
    ['memUsedPct', 'memory', memUsedPct(beat)],
    ...disks.map(({ mount, usedPct }) => ['diskUsedPct', `disk ${mount}`, usedPct] as const),
    ...disks.map(({ mount, inodesUsedPct }) => ['diskUsedPct', `inodes of ${mount}`, inodesUsedPct ?? null] as const),
    ['temperatureC', 'temperature', beat.temperatureC],
    ['eventLoopLagMs', 'event loop lag', beat.node.eventLoopLagMs],
    ['batteryPct', 'battery', battery === null || battery.charging ? null : 100 - battery.percent],
    ['skewMs', 'clock', skewMs && Math.abs(skewMs), (skewMs ?? 0) > 0 ? ' ahead' : ' behind'],
  ];
}

/** A limit on the scale of {@link limitedFigures}. */
export function limitOf(key: LimitKey, thresholds: Readonly<HealthThresholds>): number {
  const limit = thresholds[key];
  return key === 'batteryPct' && Number.isFinite(limit) ? 100 - limit : limit;
}

/** A value of a figure, or its limit, for people. */
export function formatFigure(key: LimitKey, value: number): string {
  const shown = key === 'batteryPct' ? 100 - value : key === 'skewMs' ? value / 1_000 : value;
  // Rounded down, but for floating-point errors, so that a value below its limit never reads as the limit.
  return `${Math.floor(shown * 10 + 1e-6) / 10}${LIMITS[key].unit}`;
}
