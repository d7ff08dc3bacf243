/** Figures, times and sentences of a health report as people read them, the same in text, Markdown and HTML. */
import { formatDuration } from '../../../shared/duration.ts';
import type { HealthReport, NodeReport } from './build.ts';
import type { ReportAlert } from './model.ts';

/** Stands for an unknown figure. */
export const NO_FIGURE = '-';

/** `97%`. */
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

/** `1 node`, `2 nodes`. */
export function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? '' : 's'}`;
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

/** `3 alerts: 2 firing, 1 of them critical`. */
export function alertCountWords({ totals }: HealthReport): string {
  const { fired, firing, critical } = totals.alerts;
  if (fired === 0) return 'no alerts';
  if (firing === 0) return `${count(fired, 'alert')}, all resolved`;
  return `${count(fired, 'alert')}: ${firing} firing${critical === 0 ? '' : `, ${critical} of them critical`}`;
}

/** What the report says about all nodes together, one sentence each. */
export function summaryWords(report: HealthReport): string[] {
  const { totals, worst } = report;
  const outages =
    totals.outages === 0 ? 'no outages' : `${count(totals.outages, 'outage')} (${formatDuration(totals.offlineMs)})`;
  const sentences = [nodeCountWords(report), `mean uptime ${uptimeWords(totals.uptimePct)}, ${outages}`];
  if (totals.gatewayDownMs > 0) sentences.push(`gateway down for ${formatDuration(totals.gatewayDownMs)}, not counted`);
  sentences.push(alertCountWords(report), runWords(totals.runs));
  if (worst.length > 0) sentences.push(`worst: ${worst.join(', ')}`);
  return sentences;
}

/** What the report says about one node besides its figures: reasons, forecasts, longest incidents. May hold text from the node. */
export function nodeFacts(node: NodeReport, mostIncidents: number): string[] {
  const shown = node.incidents
    .toSorted((a, b) => b.durationMs - a.durationMs)
    .slice(0, mostIncidents)
    .sort((a, b) => (a.start < b.start ? -1 : 1));
  const more = node.incidents.length - shown.length;
  const rest = more > 0 ? [`and ${count(more, 'shorter incident')}`] : [];
  return [...node.reasons, ...node.forecasts.map(forecastWords), ...shown.map(incidentWords), ...rest];
}

/** `offline from 2026-01-31 07:10 UTC for 2h 20m, not back yet`, or `limited from … for 5m: disk / 93% (limit 90%)`. */
function incidentWords({ status, start, end, durationMs, reasons }: NodeReport['incidents'][number]): string {
  const ongoing = status === 'offline' ? ', not back yet' : ', ongoing';
  const why = reasons.length === 0 ? '' : `: ${reasons.join(', ')}`;
  return `${status} from ${timeWords(start)} for ${formatDuration(durationMs)}${end === null ? ongoing : ''}${why}`;
}

/** `disk /data full in 6d 2h (rising 1.4% a day)`. */
function forecastWords({ mount, fullInMs, risePctPerDay }: NodeReport['forecasts'][number]): string {
  const when = fullInMs < 60_000 ? 'full about now' : `full in ${formatDuration(fullInMs)}`;
  return `disk ${mount} ${when} (rising ${risePctPerDay.toFixed(1)}% a day)`;
}

/** The worst few alerts, and how many more there are. */
export function alertLines(report: HealthReport, most: number): string[] {
  const shown = report.alerts.slice(0, most);
  const more = report.totals.alerts.fired - shown.length;
  const rest = more > 0 ? [`and ${count(more, 'more alert')}: see fleet alerts`] : [];
  return [...shown.map(alertWords), ...rest];
}

/** `CRITICAL offline on laptop-1, firing since 2026-01-31 02:30 UTC (7h): offline: no session`. */
function alertWords({
  rule,
  severity,
  node,
  state,
  since,
  durationMs,
  reason,
  silenced,
  summary,
}: ReportAlert): string {
  const lasted = formatDuration(durationMs);
  const when =
    state === 'firing'
      ? `firing since ${timeWords(since)} (${lasted})`
      : `from ${timeWords(since)} for ${lasted}${reason === null ? '' : `, until ${reason}`}`;
  return `${severity.toUpperCase()} ${rule} on ${node}, ${when}${silenced ? ', silenced' : ''}: ${summary}`;
}
