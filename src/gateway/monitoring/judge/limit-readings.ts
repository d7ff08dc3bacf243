/** Holds one heartbeat against the limits: what is over, what is clear, and which figures are too restless to be believed at once. */
import type { Heartbeat } from '../../../protocol/heartbeat.ts';
import { type DiskUsage, fillableDisks, memUsedPct } from '../../../protocol/heartbeat.ts';
import type { HealthThresholds } from './derive-status.ts';

/** `busy` is worth a word but no reason to act: the status stays `online`. */
export type Severity = 'busy' | 'limited' | 'error';

/** A processor at its limit is doing its work; only when it lasts does it stand in the way of other work, ms. */
export const BUSY_MS = 15 * 60_000;

/** One figure of one heartbeat beside its limit. */
export interface LimitReading {
  /** Stable name of the limit, such as `cpu` or `disk:/data`. */
  key: string;
  severity: Severity;
  /** For a person. */
  words: string[];
  /** On the wrong side of the limit. */
  isOver: boolean;
  /** So far on the right side that the limit is left; between the two nothing changes. */
  isClear: boolean;
  /** Whether a single reading proves nothing, as with the load of a processor. */
  isRestless: boolean;
  /** How long a `busy` reading may last before it counts as `limited`, ms. */
  limitedAfterMs?: number;
}

/** How far a figure must be back from its limit to be clear of it. */
export const CLEARANCE = {
  cpuPct: 5,
  memUsedPct: 5,
  diskUsedPct: 1,
  temperatureC: 5,
  batteryPct: 5,
  /** Share of the limit. */
  skew: 0.25,
  eventLoopLag: 0.25,
} as const;

/** One reading for each figure that the heartbeat has; what is in order and no figure (faults, refusing) is left out. */
export function readLimits(beat: Heartbeat, skewMs: number | null, limits: Readonly<HealthThresholds>): LimitReading[] {
  const { battery } = beat;
  const skewAmountMs = skewMs === null ? null : Math.abs(skewMs);
  const direction = (skewMs ?? 0) > 0 ? 'ahead' : 'behind';
  const readings: (LimitReading | null)[] = [
    beat.faults.length === 0 ? null : { ...fact('faults', beat.faults), severity: 'error' },
    beat.accepting ? null : fact('accepting', ['refuses new runs']),
    busyCpu(beat.cpuPct, limits.cpuPct),
    upper('memory', memUsedPct(beat), limits.memUsedPct, CLEARANCE.memUsedPct, '%', true),
    ...fillableDisks(beat).map(({ mount, usedPct }) =>
      upper(`disk ${mount}`, usedPct, limits.diskUsedPct, CLEARANCE.diskUsedPct, '%', false),
    ),
    ...fillableDisks(beat).map(({ mount, inodesUsedPct = null }) =>
      upper(`inodes of ${mount}`, inodesUsedPct, limits.diskUsedPct, CLEARANCE.diskUsedPct, '%', false),
    ),
    ...(beat.disks ?? []).map(readOnlyFault),
    upper('temperature', beat.temperatureC, limits.temperatureC, CLEARANCE.temperatureC, '°C', true),
    upper(
      'agent runs late by',
      beat.agent.eventLoopLagMs,
      limits.eventLoopLagMs,
      limits.eventLoopLagMs * CLEARANCE.eventLoopLag,
      ' ms',
      true,
    ),
    battery === null || battery.charging || !Number.isFinite(limits.batteryPct)
      ? null
      : {
          ...fact('battery', [`battery ${short(battery.percent)}% (limit ${short(limits.batteryPct)}%)`]),
          isOver: battery.percent <= limits.batteryPct,
          isClear: battery.percent > limits.batteryPct + CLEARANCE.batteryPct,
        },
    skewAmountMs === null
      ? null
      : {
          ...fact('clock', [
            `clock ${Math.round(skewAmountMs / 1000)} s ${direction} (limit ${limits.skewMs / 1000} s)`,
          ]),
          isOver: skewAmountMs > limits.skewMs,
          isClear: skewAmountMs <= limits.skewMs * (1 - CLEARANCE.skew),
        },
  ];
  return readings.filter((reading) => reading !== null);
}

function busyCpu(cpuPct: number | null, limit: number): LimitReading | null {
  const reading = upper('cpu', cpuPct, limit, CLEARANCE.cpuPct, '%', true);
  const words = reading?.words.map((text) => `busy: ${text}`) ?? [];
  return reading && { ...reading, severity: 'busy', words, limitedAfterMs: BUSY_MS };
}

function readOnlyFault({ mount, access }: DiskUsage): LimitReading | null {
  if (access !== 'ro-fault') return null;
  return { ...fact(`read-only ${mount}`, [`${mount} has become read-only`]), severity: 'error' };
}

function fact(key: string, words: string[]): LimitReading {
  return { key, severity: 'limited', words: [...words], isOver: true, isClear: false, isRestless: false };
}

function upper(
  what: string,
  value: number | null,
  limit: number,
  clearance: number,
  unit: string,
  isRestless: boolean,
): LimitReading | null {
  if (value === null) return null;
  const isOver = value >= limit;
  const clearBelow = isOver ? '' : `, clear below ${short(limit - clearance)}${unit}`;
  const words = `${what} ${short(value)}${unit} (limit ${short(limit)}${unit}${clearBelow})`;
  return { ...fact(what, [words]), isOver, isClear: value < limit - clearance, isRestless };
}

/** One decimal at most. Rounded down, so that a value below its limit never reads as the limit. */
function short(value: number): string {
  return String(Math.floor(value * 10) / 10);
}
