/** Minimum, mean, maximum and 95th percentile. */

export interface Statistics {
  min: number;
  avg: number;
  max: number;
  /** Smallest value that 95 % of the figures do not exceed (nearest rank). */
  p95: number;
}

/** Over the known figures; null without any. */
export function statisticsOf(figures: Iterable<number | null>): Statistics | null {
  const sorted = [...figures].filter((figure) => figure !== null).sort((a, b) => a - b);
  const [min] = sorted;
  const max = sorted.at(-1);
  if (min === undefined || max === undefined) return null;
  const mean = sorted.reduce((sum, figure) => sum + figure, 0) / sorted.length;
  return {
    min,
    // Because of rounding, the mean of equal values could leave their range.
    avg: Math.min(max, Math.max(min, mean)),
    max,
    p95: sorted[Math.ceil(sorted.length * 0.95) - 1] ?? max,
  };
}
