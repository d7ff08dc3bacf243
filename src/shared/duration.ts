/** Durations and times as people type them (`30s`, `1h30m`) and read them (`3m 20s`, `2d ago`). */
import { FleetError } from './errors.ts';

const UNIT_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/**
 * Ms of a duration such as `30s`, `1h30m`, `7d` or a bare number of seconds.
 * @throws FleetError `usage` when it is not one, or not a safe integer; `what` names the option in the message.
 */
export function parseDuration(text: string, what = 'duration'): number {
  const ms = Math.round(readMs(text.trim()));
  if (Number.isSafeInteger(ms)) return ms;
  throw new FleetError('usage', `${what} is not a duration: ${JSON.stringify(text)}`, {
    hint: 'Write it like 30s, 5m, 1h30m or 7d.',
  });
}

/** NaN when the text is not a duration. */
function readMs(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d|w))+$/.test(text)) return Number.NaN;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)) {
    total += Number(amount) * (UNIT_MS[unit ?? ''] ?? 0);
  }
  return total;
}

/** Two significant units at most: `45s`, `3m 20s`, `2h 5m`, `4d 1h`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`;
  const seconds = Math.floor(ms / 1000);
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([amount]) => amount > 0);
  return parts
    .slice(first, first + 2)
    .filter(([amount]) => amount > 0)
    .map(([amount, unit]) => `${amount}${unit}`)
    .join(' ');
}

const YEAR_MS = 365 * 86_400_000;
/** Up to this distance it reads `now`, ms; hides small differences between two machines' clocks. */
const NOW_MS = 5_000;

/** `now`, `42s ago`, `3m ago`, `2d ago`, `in 5m`; `never` for null. A time is ISO 8601 or ms since the epoch. */
export function formatRelativeTime(at: string | number | null, nowMs: number): string {
  if (at === null) return 'never';
  const atMs = typeof at === 'string' ? Date.parse(at) : at;
  const distanceMs = Math.abs(nowMs - atMs);
  if (distanceMs < NOW_MS) return 'now';
  const years = Math.floor(distanceMs / YEAR_MS);
  const [largest] = formatDuration(distanceMs).split(' ');
  const amount = years > 0 ? `${years}y` : largest;
  return atMs > nowMs ? `in ${amount}` : `${amount} ago`;
}

/** ISO 8601 in UTC; null for no time. */
export function isoTime(ms: number): string;
export function isoTime(ms: number | null | undefined): string | null;
export function isoTime(ms: number | null | undefined): string | null {
  return ms === null || ms === undefined ? null : new Date(ms).toISOString();
}
