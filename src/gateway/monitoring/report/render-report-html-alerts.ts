/** The alerts of the period on the health report's page. */
import { formatDuration } from '../../../shared/duration.ts';
import { type Html, html } from './html.ts';
import { statusPill } from './render-report-html-card.ts';
import type { HealthReport, ReportAlert } from './report-types.ts';
import { alertCountWords, count, timeWords } from './report-words.ts';

const MOST_ALERTS = 50;

/** Nothing when no alert fired. */
export function alertSection(report: HealthReport): Html | null {
  const shown = report.alerts.slice(0, MOST_ALERTS);
  if (shown.length === 0) return null;
  const more = report.totals.alerts.fired - shown.length;
  const rest = more > 0 ? ` The worst ${shown.length}; ${count(more, 'more alert')}: see fleet alerts.` : '';
  return html`<section><h2>Alerts</h2><div class="sheet"><table>
<caption>Those that fire first, then the critical, then the longest. ${alertCountWords(report)}.${rest}</caption>
<thead><tr><th scope="col">Rule</th><th scope="col">Severity</th><th scope="col">Node</th><th scope="col">Since</th><th scope="col">Lasted</th><th scope="col">What</th></tr></thead>
<tbody>
${shown.map(alertRow)}</tbody>
</table></div></section>
`;
}

function alertRow(alert: ReportAlert): Html {
  const { rule, severity, node, since, until, durationMs, silenced, summary, reason } = alert;
  const notes = [until === null ? 'fires now' : `over${reason === null ? '' : `: ${reason}`}`];
  if (silenced) notes.push('silenced');
  return html`<tr><th scope="row">${rule}</th><td>${statusPill(severity === 'critical' ? 'offline' : 'limited', 'normal', severity)}</td><td>${node}</td><td>${timeWords(since)}</td><td><div class="cell">${formatDuration(durationMs)}<small>${notes.join(', ')}</small></div></td><td>${summary}</td></tr>
`;
}
