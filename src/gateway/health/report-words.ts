/** Figures, times and names of a health report as people read them, the same in text, Markdown and HTML. */
import { formatDuration } from '../../shared/duration.ts';
import { stripControl } from '../../shared/strip-control.ts';
import type { HealthReport, Incident, NodeReport } from './report-types.ts';

/** Stands for a figure that is not known. */
export const NO_FIGURE = '-';

/** `97%`; null is {@link NO_FIGURE}. */
export function percentWords(percent: number | null | undefined): string {
  return percent === null || percent === undefined ? NO_FIGURE : `${Math.round(percent)}%`;
}

/** `99.95%`. Rounded down, so that only a node that was never away shows 100%. */
export function uptimeWords(percent: number | null): string {
  if (percent === null) return NO_FIGURE;
  return percent === 100 ? '100%' : `${(Math.floor(percent * 100) / 100).toFixed(2)}%`;
}

/** `0.4 ms`, `38 ms`, `1.2 s`. */
export function millisecondsWords(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return NO_FIGURE;
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

/** `2026-01-31 09:30 UTC`, from ISO 8601. */
export function timeWords(iso: string): string {
  return `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`;
}

/** `2026-01-30 09:30 to 2026-01-31 09:30 UTC (1d)`. */
export function periodWords({ from, to, durationMs }: HealthReport['period']): string {
  return `${timeWords(from).slice(0, -4)} to ${timeWords(to)} (${formatDuration(durationMs)})`;
}

/** `12 nodes: 1 offline, 11 online`. */
export function nodeCountWords({ totals }: HealthReport): string {
  const counts = (['offline', 'error', 'limited', 'online'] as const)
    .filter((status) => totals.byStatus[status] > 0)
    .map((status) => `${totals.byStatus[status]} ${status}`);
  return totals.nodes === 0 ? 'no nodes' : `${count(totals.nodes, 'node')}: ${counts.join(', ')}`;
}

/** `340 runs: 12 failed, 3 canceled, 1 active`. */
export function runWords({ total, failed, canceled, active }: HealthReport['totals']['runs']): string {
  if (total === 0) return 'no runs';
  const parts = [`${failed} failed`];
  if (canceled > 0) parts.push(`${canceled} canceled`);
  if (active > 0) parts.push(`${active} active`);
  return `${count(total, 'run')}: ${parts.join(', ')}`;
}

/** `offline from 2026-01-31 07:10 UTC for 2h 20m`, or `… until now`. */
export function incidentWords({ start, end, durationMs }: Incident): string {
  const length = formatDuration(durationMs);
  return `offline from ${timeWords(start)} for ${length}${end === null ? ', not back yet' : ''}`;
}

/** `1 node`, `2 nodes`. */
export function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? '' : 's'}`;
}

/** Nodes that a person has to look at: not online now, or away for a while. */
export function needsAttention(node: NodeReport): boolean {
  return node.status !== 'online' || node.incidents.length > 0;
}

/** The longest incidents, by time, and how many more there were. */
export function longestIncidents(incidents: readonly Incident[], most: number): { shown: Incident[]; more: number } {
  const shown = [...incidents]
    .sort((a, b) => b.durationMs - a.durationMs)
    .slice(0, most)
    .sort((a, b) => (a.start < b.start ? -1 : 1));
  return { shown, more: incidents.length - shown.length };
}

/** Text that came from a node, without what would command a terminal or break a line. */
export function safe(text: string): string {
  return stripControl(text);
}
