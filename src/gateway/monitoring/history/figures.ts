/** The heartbeat figures that have a history. */
import { fullestDiskPct, type Heartbeat, memUsedPct, mostInodesPct } from '../../../protocol/heartbeat.ts';

interface FigureSources {
  beat: Heartbeat;
  skewMs: number | null;
  jitterMs: number | null;
}

interface Figure {
  name: string;
  /** Stored as a whole number of 1/scale of its unit. */
  scale: number;
  /** Whether its distribution is kept, for percentiles. */
  hasSketch: boolean;
  /**
   * Whether reports show it and days keep it; the rest of a row is skipped, which halves the work. A change needs a migration that
   * empties `history_1d` and resets its cursor, so that days are rebuilt from hours.
   */
  isShown: boolean;
  read(sources: FigureSources): number | null | undefined;
}

const SHOWN = { hasSketch: true, isShown: true } as const;
const PLAIN = { hasSketch: false, isShown: false } as const;

/** The order is part of the storage format: append new figures, 30 at most. */
export const FIGURES = [
  { name: 'cpuPct', scale: 10, ...SHOWN, read: ({ beat }) => beat.cpuPct },
  { name: 'load1', scale: 100, hasSketch: true, isShown: false, read: ({ beat }) => beat.load1 },
  { name: 'memUsedPct', scale: 10, ...SHOWN, read: ({ beat }) => memUsedPct(beat) },
  { name: 'swapUsedPct', scale: 10, ...PLAIN, read: swapUsedPct },
  { name: 'diskUsedPct', scale: 10, ...SHOWN, read: ({ beat }) => fullestDiskPct(beat) },
  { name: 'inodesUsedPct', scale: 10, ...PLAIN, read: ({ beat }) => mostInodesPct(beat) },
  { name: 'rttMs', scale: 100, ...SHOWN, read: ({ beat }) => beat.rttMs },
  { name: 'jitterMs', scale: 100, ...PLAIN, read: ({ jitterMs }) => jitterMs },
  { name: 'lostKeepalives', scale: 1, ...PLAIN, read: ({ beat }) => beat.tunnel?.lostKeepalives },
  { name: 'skewMs', scale: 1, ...PLAIN, read: ({ skewMs }) => skewMs },
  { name: 'temperatureC', scale: 10, ...PLAIN, read: ({ beat }) => beat.temperatureC },
  { name: 'batteryPct', scale: 1, ...PLAIN, read: ({ beat }) => beat.battery?.percent },
  { name: 'rxBytesPerS', scale: 1, ...PLAIN, read: ({ beat }) => beat.network?.rxBytesPerS },
  { name: 'txBytesPerS', scale: 1, ...PLAIN, read: ({ beat }) => beat.network?.txBytesPerS },
  { name: 'eventLoopLagMs', scale: 10, ...PLAIN, read: ({ beat }) => beat.node.eventLoopLagMs },
  { name: 'processRssMib', scale: 10, ...PLAIN, read: ({ beat }) => mebibytes(beat.node.rssBytes) },
] as const satisfies readonly Figure[];

export type FigureName = (typeof FIGURES)[number]['name'];
export type ShownFigure = Extract<(typeof FIGURES)[number], { isShown: true }>['name'];

/** Places of the shown figures among {@link FIGURES}. */
export const SHOWN_PLACES: readonly number[] = FIGURES.flatMap(({ isShown }, place) => (isShown ? [place] : []));

/** The figures of one heartbeat; null for unknown ones. */
export type Figures = Record<FigureName, number | null>;

export function figuresOf(sources: FigureSources): Figures {
  return Object.fromEntries(FIGURES.map(({ name, read }) => [name, read(sources) ?? null])) as Figures;
}

function swapUsedPct({ beat: { swapTotalBytes, swapUsedBytes } }: FigureSources): number | null {
  return swapUsedBytes === null || !swapTotalBytes ? null : Math.min(100, (swapUsedBytes / swapTotalBytes) * 100);
}

function mebibytes(bytes: number | null): number | null {
  return bytes === null ? null : bytes / 2 ** 20;
}
