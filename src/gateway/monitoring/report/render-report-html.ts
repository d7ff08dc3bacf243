/** The health report as one HTML file that needs nothing else: to open, to mail or to print. */
import type { NodeStatus } from '../../../domain/node-status.ts';
import { formatDuration } from '../../../shared/duration.ts';
import { statisticsOf } from '../statistics.ts';
import { type Html, html, trusted } from './html.ts';
import { alertSection } from './render-report-html-alerts.ts';
import { renderNodeCard, statusPill } from './render-report-html-card.ts';
import { REPORT_STYLE } from './render-report-html-style.ts';
import { needsAttention } from './report.ts';
import { levelBar, onlineStrip, sparkline } from './report-charts.ts';
import type { HealthReport, NodeReport } from './report-types.ts';
import {
  count,
  millisecondsWords,
  nodeCountWords,
  nodeFacts,
  percentWords,
  periodWords,
  runWords,
  uptimeWords,
} from './report-words.ts';

/** Nodes that are shown with a chart of their own. */
const MOST_CARDS = 10;

export function renderReportHtml(report: HealthReport): string {
  return [...reportHtmlPieces(report)].join('');
}

/** The page in parts of at most one node each, for {@link joinPieces}. */
export function* reportHtmlPieces(report: HealthReport): Generator<string> {
  for (const piece of pageOf(report)) yield piece.toString();
}

function* pageOf(report: HealthReport): Generator<Html> {
  const attention = report.nodes.filter(needsAttention);
  const period = periodWords(report.period);
  yield html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<title>Fleet health, ${period}</title>
<style>${trusted(REPORT_STYLE)}</style>
</head>
<body>
<main>
<header class="top">
<div><h1>Fleet health</h1><p class="soft">${period}</p></div>
${report.status === null ? null : statusPill(report.status, 'large', headline(report, report.status))}
</header>
${tiles(report, attention.length)}
`;
  yield html`${alertSection(report)}`;
  yield* attentionSection(report, attention);
  yield html`
<section><h2>All nodes</h2>`;
  if (report.nodes.length === 0) yield html`<p>No node is paired yet.</p>`;
  else yield* nodeTable(report);
  yield html`</section>
<footer><p>Times are UTC. Uptime is the share of the period with a live session, for a new node since it first connected. CPU, memory and round trip show the mean and the 95th percentile; disk shows the highest level of the fullest disk.</p></footer>
</main>
</body>
</html>
`;
}

/** A card for each of the worst, and a line for each of the others: when a gateway was down, every node had an outage. */
function* attentionSection(report: HealthReport, attention: readonly NodeReport[]): Generator<Html> {
  if (attention.length === 0) return;
  const others = attention.slice(MOST_CARDS);
  yield html`<section><h2>What needs a look</h2><div class="cards">`;
  for (const node of attention.slice(0, MOST_CARDS)) yield renderNodeCard(node, report.period);
  yield html`</div>
`;
  if (others.length > 0) {
    yield html`<ul class="others">`;
    for (const node of others) {
      yield html`<li><b>${node.name}</b> ${statusPill(node.status)} <span class="soft">${nodeFacts(node, 1).join('; ')}</span></li>`;
    }
    yield html`</ul>`;
  }
  yield html`</section>`;
}

function headline({ totals }: HealthReport, status: NodeStatus): string {
  return status === 'online' ? 'All nodes online' : `${count(totals.byStatus[status], 'node')} ${status}`;
}

function tiles(report: HealthReport, attention: number): Html {
  const { totals } = report;
  const { succeeded, failed, canceled } = totals.runs;
  const ended = succeeded + failed + canceled;
  return html`<dl class="tiles">
${tile('Nodes', String(totals.nodes), attention === 0 ? nodeCountWords(report) : `${count(attention, 'node')} to look at`)}
${tile('Mean uptime', uptimeWords(totals.uptimePct), `over ${formatDuration(report.period.durationMs)}`)}
${tile('Outages', String(totals.outages), totals.outages === 0 ? 'none' : `${formatDuration(totals.offlineMs)} offline, all nodes together`)}
${alertTile(report)}
${diskTile(report)}
${tile('Runs', String(totals.runs.total), ended === 0 ? runWords(totals.runs) : `${failed} failed (${percentWords((failed / ended) * 100)} of those ended)`)}
</dl>`;
}

/** Only when there is something to say. */
function alertTile({ totals: { alerts } }: HealthReport): Html | null {
  if (alerts.fired === 0) return null;
  const now = alerts.firing === 0 ? 'all of them over' : `${alerts.firing} firing now, ${alerts.critical} critical`;
  return tile('Alerts', String(alerts.fired), now);
}

/** Only when there is something to say: most fleets have no disk that fills. */
function diskTile({ nodes }: HealthReport): Html | null {
  const forecasts = nodes.flatMap(({ name, forecasts }) => forecasts.map((forecast) => ({ name, ...forecast })));
  const [soonest] = forecasts.sort((a, b) => a.fullInMs - b.fullInMs);
  if (soonest === undefined) return null;
  return tile(
    'Disks filling',
    String(forecasts.length),
    `${soonest.name}: full in ${formatDuration(soonest.fullInMs)}`,
  );
}

function tile(name: string, figure: string, note: string): Html {
  return html`<div class="tile"><dt>${name}</dt><dd class="figure">${figure}</dd><dd class="soft">${note}</dd></div>`;
}

function* nodeTable(report: HealthReport): Generator<Html> {
  // One scale for all round trips, so that rows can be compared; a single spike must not flatten the rest.
  const rttScaleMs = Math.max(1, statisticsOf(report.nodes.map((node) => node.rttMs?.p95 ?? null))?.p95 ?? 1) * 1.25;
  yield html`<div class="sheet"><table>
<caption>Worst first. ${nodeCountWords(report)}; ${runWords(report.totals.runs)}.</caption>
<thead><tr><th scope="col">Node</th><th scope="col">Status</th><th scope="col">Uptime</th><th scope="col">CPU<small>mean / p95</small></th><th scope="col">Memory<small>mean / p95</small></th><th scope="col">Disk<small>highest</small></th><th scope="col">Round trip<small>mean / p95</small></th><th scope="col" class="number">Runs</th><th scope="col" class="number">Failed</th></tr></thead>
<tbody>
`;
  for (const node of report.nodes) yield nodeRow(node, rttScaleMs, report.limits.diskUsedPct);
  yield html`</tbody>
</table></div>`;
}

function nodeRow(node: NodeReport, rttScaleMs: number, diskLimitPct: number | null): Html {
  const { series, cpuPct, memUsedPct, diskUsedPct, rttMs, runs } = node;
  const uptime = `${uptimeWords(node.uptimePct)}${node.outages === 0 ? '' : `, ${count(node.outages, 'outage')}`}`;
  const cpu = `${percentWords(cpuPct?.avg)} / ${percentWords(cpuPct?.p95)}`;
  const mem = `${percentWords(memUsedPct?.avg)} / ${percentWords(memUsedPct?.p95)}`;
  const rtt = `${millisecondsWords(rttMs?.avg)} / ${millisecondsWords(rttMs?.p95)}`;
  const disk = percentWords(diskUsedPct?.max);
  return html`<tr><th scope="row">${node.name}</th><td>${statusPill(node.status)}</td>
<td><div class="cell">${onlineStrip(series.onlinePct, `uptime over time, ${uptime}`)}<small>${uptime}</small></div></td>
<td class="cpu"><div class="cell">${sparkline(series.cpuPct, 100, `CPU over time, mean and p95 ${cpu}`)}<small>${cpu}</small></div></td>
<td class="mem"><div class="cell">${sparkline(series.memUsedPct, 100, `memory over time, mean and p95 ${mem}`)}<small>${mem}</small></div></td>
<td><div class="cell">${levelBar(diskUsedPct?.max ?? null, diskLimitPct, `disk at most ${disk}`)}<small>${disk}</small></div></td>
<td class="rtt"><div class="cell">${sparkline(series.rttMs, rttScaleMs, `round trip over time, mean and p95 ${rtt}`)}<small>${rtt}</small></div></td>
<td class="number">${runs.total}</td><td class="number${runs.failed > 0 ? ' bad' : ''}">${runs.failed}</td></tr>
`;
}
