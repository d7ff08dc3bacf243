/** Times as people ask for them: how long ago. */

const SECOND_MS = 1_000;
const UNITS: readonly (readonly [number, string])[] = [
  [365 * 86_400 * SECOND_MS, 'y'],
  [86_400 * SECOND_MS, 'd'],
  [3_600 * SECOND_MS, 'h'],
  [60 * SECOND_MS, 'm'],
  [SECOND_MS, 's'],
];
/** Closer than this is `now`, ms: hides what the clocks of two machines differ by. */
const NOW_MS = 5 * SECOND_MS;

/** `now`, `42s ago`, `3m ago`, `2d ago`, `in 5m`; `never` for null. Both in ms since the epoch. */
export function formatRelativeTime(atMs: number | null, nowMs: number): string {
  if (atMs === null) return 'never';
  const distanceMs = Math.abs(nowMs - atMs);
  const unit = UNITS.find(([unitMs]) => distanceMs >= unitMs);
  if (distanceMs < NOW_MS || unit === undefined) return 'now';
  const amount = `${Math.floor(distanceMs / unit[0])}${unit[1]}`;
  return atMs > nowMs ? `in ${amount}` : `${amount} ago`;
}
