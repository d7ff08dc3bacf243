/** Least, mean, most and 95th percentile of a series of figures that may be raw, rolled up or missing. */

/** Many raw figures in one, as the store keeps them past a day. */
export interface RolledUpFigure {
  min: number;
  avg: number;
  max: number;
  /** Raw figures that it stands for, at least 1. */
  count: number;
}

/** Null where the node had no such figure. */
export type Figure = number | RolledUpFigure | null;

export interface Statistics {
  min: number;
  avg: number;
  max: number;
  /** Smallest value that 95 % of the raw figures do not exceed (nearest rank); of rolled-up ones, each mean counts `count` times. */
  p95: number;
}

/** Over all figures that are there; null when none is. */
export function statisticsOf(figures: Iterable<Figure>): Statistics | null {
  const parts = [...figures].map(asRolledUp).filter((part) => part !== null);
  const count = parts.reduce((sum, part) => sum + part.count, 0);
  if (count === 0) return null;
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let sum = 0;
  for (const part of parts) {
    min = Math.min(min, part.min);
    max = Math.max(max, part.max);
    sum += part.avg * part.count;
  }
  // Summing rounds: the mean of equal values must not leave their range.
  const avg = Math.min(max, Math.max(min, sum / count));
  return { min, avg, max, p95: percentile95(parts, count) };
}

/** The mean that a figure stands for. */
export function meanOf(figure: Figure): number | null {
  return typeof figure === 'object' ? (figure?.avg ?? null) : figure;
}

function asRolledUp(figure: Figure): RolledUpFigure | null {
  return typeof figure === 'number' ? { min: figure, avg: figure, max: figure, count: 1 } : figure;
}

function percentile95(parts: readonly RolledUpFigure[], count: number): number {
  const sorted = [...parts].sort((a, b) => a.avg - b.avg);
  let seen = 0;
  let value = 0;
  for (const part of sorted) {
    value = part.avg;
    seen += part.count;
    if (seen >= count * 0.95) break;
  }
  return value;
}
