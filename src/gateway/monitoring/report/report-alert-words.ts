/** The alerts of a health report as people read them, the same in text and Markdown. */
import { formatDuration } from '../../../shared/duration.ts';
import type { HealthReport, ReportAlert } from './report-types.ts';
import { count, timeWords } from './report-words.ts';

/** `CRITICAL offline on laptop-1, fires since 2026-01-31 02:30 UTC (7h): offline: no session`. */
export function alertWords(alert: ReportAlert): string {
  const { rule, severity, node, since, durationMs, summary } = alert;
  const lasted = formatDuration(durationMs);
  const when =
    alert.state === 'firing'
      ? `fires since ${timeWords(since)} (${lasted})`
      : `from ${timeWords(since)} for ${lasted}${alert.reason === null ? '' : `, until ${alert.reason}`}`;
  return `${severity.toUpperCase()} ${rule} on ${node}, ${when}${alert.silenced ? ', silenced' : ''}: ${summary}`;
}

/** The worst few in words, and how many more there are. */
export function alertLines(report: HealthReport, most: number): string[] {
  const shown = report.alerts.slice(0, most);
  const more = report.totals.alerts.fired - shown.length;
  const rest = more > 0 ? [`and ${count(more, 'more alert')}: see fleet alerts`] : [];
  return [...shown.map(alertWords), ...rest];
}
