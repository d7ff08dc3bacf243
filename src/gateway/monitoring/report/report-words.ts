/** Figures, times and names of a health report as people read them, the same in text, Markdown and HTML. */
import { formatDuration } from '../../../shared/duration.ts';
import { stripControl } from '../../../shared/text.ts';
import type { HealthReport, Incident, NodeReport, ReportForecast } from './report-types.ts';

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

/** `offline from 2026-01-31 07:10 UTC for 2h 20m, not back yet`, or `limited from … for 5m: disk / 93% (limit 90%)`. */
export function incidentWords({ status, start, end, durationMs, reasons }: Incident): string {
  const goesOn = status === 'offline' ? ', not back yet' : ', still';
  const why = reasons.length === 0 ? '' : `: ${reasons.join(', ')}`;
  return `${status} from ${timeWords(start)} for ${formatDuration(durationMs)}${end === null ? goesOn : ''}${why}`;
}

/** `disk /data full in 6d 2h (rises 1.4% a day)`. */
export function forecastWords({ mount, fullInMs, risePctPerDay }: ReportForecast): string {
  const when = fullInMs < 60_000 ? 'full about now' : `full in ${formatDuration(fullInMs)}`;
  return `disk ${mount} ${when} (rises ${risePctPerDay.toFixed(1)}% a day)`;
}

/** All that is to be said of one node beside its figures: why, what comes, and the longest of what was. As text from a node. */
export function nodeFacts(node: NodeReport, mostIncidents: number): string[] {
  const { shown, more } = longestIncidents(node.incidents, mostIncidents);
  const facts = [...node.reasons, ...node.forecasts.map(forecastWords), ...shown.map(incidentWords)];
  if (more > 0) facts.push(`and ${count(more, 'shorter incident')}`);
  return facts;
}

/** What is to be said of all nodes together, a sentence each. */
export function summaryWords(report: HealthReport): string[] {
  const { totals, worst } = report;
  const sentences = [
    nodeCountWords(report),
    `mean uptime ${uptimeWords(totals.uptimePct)}, ${outageWords(report)}`,
    ...(totals.gatewayDownMs === 0 ? [] : [`gateway down for ${formatDuration(totals.gatewayDownMs)}, not counted`]),
    alertCountWords(report),
    runWords(totals.runs),
  ];
  if (worst.length > 0) sentences.push(`worst: ${worst.join(', ')}`);
  return sentences;
}

/** `2 outages (7h 10m)`, or `no outage`. */
export function outageWords({ totals }: HealthReport): string {
  if (totals.outages === 0) return 'no outage';
  return `${count(totals.outages, 'outage')} (${formatDuration(totals.offlineMs)})`;
}

/** `3 alerts, of which 2 fire now, 1 of them critical`; `no alert`. */
export function alertCountWords({ totals }: HealthReport): string {
  const { fired, firing, critical } = totals.alerts;
  if (fired === 0) return 'no alert';
  if (firing === 0) return `${count(fired, 'alert')}, all of them over`;
  const ofThem = critical === 0 ? '' : `, ${critical} of them critical`;
  return `${count(fired, 'alert')}, of which ${firing} ${firing === 1 ? 'fires' : 'fire'} now${ofThem}`;
}

/** `1 node`, `2 nodes`. */
export function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? '' : 's'}`;
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
