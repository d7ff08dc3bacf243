/** The figures of a heartbeat that have a history: their names, how finely they are kept, and how they come out of a heartbeat. */
import type { Heartbeat } from '../../../protocol/heartbeat.ts';
import { fullestDiskPct, memUsedPct, mostInodesPct } from '../../../protocol/heartbeat.ts';

export interface FigureKind {
  name: string;
  /** Stored as a whole number of 1/scale of its unit. */
  scale: number;
  /** Whether its distribution is kept, for percentiles. */
  hasSketch: boolean;
}

/** In the order in which they are stored, which is never changed: new ones come last, 30 at most. */
export const FIGURES = [
  { name: 'cpuPct', scale: 10, hasSketch: true },
  { name: 'load1', scale: 100, hasSketch: true },
  { name: 'memUsedPct', scale: 10, hasSketch: true },
  { name: 'swapUsedPct', scale: 10, hasSketch: false },
  { name: 'diskUsedPct', scale: 10, hasSketch: true },
  { name: 'inodesUsedPct', scale: 10, hasSketch: false },
  { name: 'rttMs', scale: 100, hasSketch: true },
  { name: 'jitterMs', scale: 100, hasSketch: false },
  { name: 'lostKeepalives', scale: 1, hasSketch: false },
  { name: 'skewMs', scale: 1, hasSketch: false },
  { name: 'temperatureC', scale: 10, hasSketch: false },
  { name: 'batteryPct', scale: 1, hasSketch: false },
  { name: 'rxBytesPerS', scale: 1, hasSketch: false },
  { name: 'txBytesPerS', scale: 1, hasSketch: false },
  { name: 'eventLoopLagMs', scale: 10, hasSketch: false },
  { name: 'agentRssMib', scale: 10, hasSketch: false },
] as const satisfies readonly FigureKind[];

export type FigureName = (typeof FIGURES)[number]['name'];

/** One heartbeat's figures, null where it had none. */
export type Figures = Record<FigureName, number | null>;

export interface FigureSources {
  beat: Heartbeat;
  skewMs: number | null;
  jitterMs: number | null;
}

export function figuresOf({ beat, skewMs, jitterMs }: FigureSources): Figures {
  const { swapTotalBytes, swapUsedBytes, agent } = beat;
  return {
    cpuPct: beat.cpuPct,
    load1: beat.load1,
    memUsedPct: memUsedPct(beat),
    swapUsedPct:
      swapUsedBytes === null || !swapTotalBytes ? null : Math.min(100, (swapUsedBytes / swapTotalBytes) * 100),
    diskUsedPct: fullestDiskPct(beat),
    inodesUsedPct: mostInodesPct(beat),
    rttMs: beat.rttMs,
    jitterMs,
    lostKeepalives: beat.tunnel?.lostKeepalives ?? null,
    skewMs,
    temperatureC: beat.temperatureC,
    batteryPct: beat.battery?.percent ?? null,
    rxBytesPerS: beat.network?.rxBytesPerS ?? null,
    txBytesPerS: beat.network?.txBytesPerS ?? null,
    eventLoopLagMs: agent.eventLoopLagMs,
    agentRssMib: agent.rssBytes === null ? null : agent.rssBytes / 2 ** 20,
  };
}
