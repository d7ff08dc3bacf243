/** The health report as one self-contained HTML file: to open, to mail or to print. */
import type { NodeStatus } from '../../../domain/states.ts';
import { formatDuration } from '../../../shared/duration.ts';
import { statisticsOf } from '../statistics.ts';
import type { HealthReport, NodeReport } from './build.ts';
import { needsAttention } from './build.ts';
import { type LineStyle, levelBar, onlineStrip, percentChart, sparkline } from './charts.ts';
import { type Html, html, trusted } from './html.ts';
import type { ReportAlert } from './model.ts';
import { PAGE_STYLE } from './page-style.ts';
import {
  alertCountWords,
  count,
  millisecondsWords,
  nodeCountWords,
  nodeFacts,
  percentWords,
  periodWords,
  runWords,
  timeWords,
  uptimeWords,
} from './words.ts';

/** Nodes with a card of their own; the others get a line each: after a downtime of a network, every node had an outage. */
const MOST_CARDS = 10;
const MOST_ALERTS = 50;
/** On a card. */
const MOST_INCIDENTS = 6;

export function* htmlPieces(report: HealthReport): Generator<string> {
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
<style>${trusted(PAGE_STYLE)}</style>
</head>
<body>
<main>
<header class="top">
<div><h1>Fleet health</h1><p class="soft">${period}</p></div>
${report.status === null ? null : statusPill(report.status, 'large', headline(report, report.status))}
</header>
<dl class="tiles">
${tilesOf(report, attention.length).map(
  ([
    name,
    figure,
    note,
  ]) => html`<div class="tile"><dt>${name}</dt><dd class="figure">${figure}</dd><dd class="soft">${note}</dd></div>
`,
)}</dl>
${alertSection(report)}`;
  yield* attentionSection(report, attention);
  yield html`
<section><h2>All nodes</h2>`;
  if (report.nodes.length === 0) yield html`<p>No node is paired yet.</p>`;
  else yield* nodeTable(report);
  yield html`</section>
<footer><p>Times are UTC. Uptime is the share of the period with a live session, counted from the first session of a new node. CPU, memory and round trip show the mean and the 95th percentile; disk shows the highest level of the fullest disk.</p></footer>
</main>
</body>
</html>
`;
}

/** A shape for each status, so that colour is not the only sign. */
const SHAPES: Readonly<Record<NodeStatus, string>> = {
  online: 'M5 0a5 5 0 1 0 0 10a5 5 0 1 0 0-10Z',
  limited: 'M5 0L10 10H0Z',
  error: 'M5 0L10 5L5 10L0 5Z',
  offline: 'M0 0H10V10H0Z',
};

/** The status as a coloured label that reads `words`. */
function statusPill(status: NodeStatus, size: 'normal' | 'large' = 'normal', words: string = status): Html {
  return html`<span class="pill ${status} ${size}"><svg viewBox="0 0 10 10" aria-hidden="true"><path d="${SHAPES[status]}"/></svg>${words}</span>`;
}

function headline({ totals }: HealthReport, status: NodeStatus): string {
  return status === 'online' ? 'All nodes online' : `${count(totals.byStatus[status], 'node')} ${status}`;
}

type Tile = [name: string, figure: string, note: string];

/** Alerts and disks have a tile only if there is something to show. */
function tilesOf(report: HealthReport, attention: number): Tile[] {
  const { outages, offlineMs, uptimePct, nodes, alerts, runs } = report.totals;
  const ended = runs.succeeded + runs.failed + runs.canceled;
  const failedPct = percentWords((runs.failed / ended) * 100);
  const tiles: Tile[] = [
    ['Nodes', String(nodes), attention === 0 ? nodeCountWords(report) : `${attention} to look at`],
    ['Mean uptime', uptimeWords(uptimePct), `over ${formatDuration(report.period.durationMs)}`],
    ['Outages', String(outages), outages === 0 ? 'none' : `${formatDuration(offlineMs)} offline, all nodes together`],
  ];
  if (alerts.fired > 0) {
    const now = alerts.firing === 0 ? 'all resolved' : `${alerts.firing} firing, ${alerts.critical} critical`;
    tiles.push(['Alerts', String(alerts.fired), now]);
  }
  const disks = report.nodes.flatMap(({ name, forecasts }) => forecasts.map(({ fullInMs }) => ({ name, fullInMs })));
  const [soonest] = disks.sort((a, b) => a.fullInMs - b.fullInMs);
  if (soonest !== undefined) {
    const note = `${soonest.name}: full in ${formatDuration(soonest.fullInMs)}`;
    tiles.push(['Disks filling', String(disks.length), note]);
  }
  tiles.push([
    'Runs',
    String(runs.total),
    ended === 0 ? runWords(runs) : `${runs.failed} failed (${failedPct} of those that ended)`,
  ]);
  return tiles;
}

function alertSection(report: HealthReport): Html | null {
  const shown = report.alerts.slice(0, MOST_ALERTS);
  if (shown.length === 0) return null;
  const more = report.totals.alerts.fired - shown.length;
  const rest = more > 0 ? ` The worst ${shown.length}; ${count(more, 'more alert')}: see fleet alerts.` : '';
  return html`<section><h2>Alerts</h2><div class="sheet"><table>
<caption>Firing first, then critical, then longest. ${alertCountWords(report)}.${rest}</caption>
${tableHead('Rule', 'Severity', 'Node', 'Since', 'Lasted', 'Summary')}
<tbody>
${shown.map(alertRow)}</tbody>
</table></div></section>
`;
}

function alertRow(alert: ReportAlert): Html {
  const { rule, severity, node, since, until, durationMs, silenced, summary, reason } = alert;
  const state = until === null ? 'firing' : `resolved${reason === null ? '' : `: ${reason}`}`;
  return html`<tr><th scope="row">${rule}</th><td>${statusPill(severity === 'critical' ? 'offline' : 'limited', 'normal', severity)}</td><td>${node}</td><td>${timeWords(since)}</td><td><div class="cell">${formatDuration(durationMs)}<small>${state}${silenced ? ', silenced' : ''}</small></div></td><td>${summary}</td></tr>
`;
}

function* attentionSection(report: HealthReport, attention: readonly NodeReport[]): Generator<Html> {
  if (attention.length === 0) return;
  yield html`<section><h2>Needs attention</h2><div class="cards">`;
  for (const node of attention.slice(0, MOST_CARDS)) yield nodeCard(node, report.period);
  yield html`</div>
`;
  const others = attention.slice(MOST_CARDS);
  if (others.length > 0) yield html`<ul class="others">`;
  for (const node of others) {
    yield html`<li><b>${node.name}</b> ${statusPill(node.status)} <span class="soft">${nodeFacts(node, 1).join('; ')}</span></li>`;
  }
  if (others.length > 0) yield html`</ul>`;
  yield html`</section>`;
}

/** Why a node needs attention, when it was away, and its figures over the period. */
function nodeCard(node: NodeReport, period: HealthReport['period']): Html {
  const facts = nodeFacts(node, MOST_INCIDENTS);
  if (node.joinedAt !== null) facts.push(`first connected ${timeWords(node.joinedAt)}`);
  const head = [`uptime ${uptimeWords(node.uptimePct)}`];
  if (node.linkScore !== null) head.push(`link ${node.linkScore}`);
  if (node.machineScore !== null) head.push(`machine ${node.machineScore}`);
  return html`<article class="card ${node.status}">
<header><h3>${node.name}</h3>${statusPill(node.status)}<span class="soft">${head.join(' · ')}</span></header>
<div class="body"><ul>${facts.map((fact) => html`<li>${fact}</li>`)}</ul>${nodeFigure(node, period)}</div>
</article>
`;
}

function nodeFigure(node: NodeReport, period: HealthReport['period']): Html {
  const { series } = node;
  const line = (style: LineStyle, name: string, figure: 'cpuPct' | 'memUsedPct' | 'diskUsedPct') => ({
    style,
    words: `${name}, peak ${percentWords(node[figure]?.max)}`,
    values: series[figure],
  });
  const lines = [
    line('cpu', 'CPU', 'cpuPct'),
    line('mem', 'memory', 'memUsedPct'),
    line('disk', 'disk', 'diskUsedPct'),
  ];
  const label = `Percent over time: ${lines.map(({ words }) => words).join('; ')}`;
  return html`<figure>
<div class="legend">${lines.map(({ style, words }) => html`<span><svg viewBox="0 0 22 8" aria-hidden="true"><path class="line ${style}" d="M1 4H21"/></svg>${words}</span>`)}</div>
<div class="plot"><div class="levels" aria-hidden="true"><span>100%</span><span>50%</span><span>0%</span></div>${percentChart(lines, series.onlinePct, label)}</div>
<div class="under">${onlineStrip(series.onlinePct, `online ${uptimeWords(node.uptimePct)} of the time`)}</div>
<figcaption class="axis"><span>${timeWords(period.from)}</span><span>${timeWords(period.to)}</span></figcaption>
</figure>`;
}

function tableHead(...titles: (string | Html)[]): Html {
  return html`<thead><tr>${titles.map((title) => html`<th scope="col">${title}</th>`)}</tr></thead>`;
}

function* nodeTable(report: HealthReport): Generator<Html> {
  // One scale for all round trips makes rows comparable; a single spike must not flatten the rest.
  const rttScaleMs = Math.max(1, statisticsOf(report.nodes.map((node) => node.rttMs?.p95 ?? null))?.p95 ?? 1) * 1.25;
  const mean = html`<small>mean / p95</small>`;
  const heads = [html`CPU${mean}`, html`Memory${mean}`, html`Disk<small>highest</small>`, html`Round trip${mean}`];
  yield html`<div class="sheet"><table class="nodes">
<caption>Worst first. ${nodeCountWords(report)}; ${runWords(report.totals.runs)}.</caption>
${tableHead('Node', 'Status', 'Uptime', ...heads, 'Runs', 'Failed')}
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
${cell('online', onlineStrip(series.onlinePct, `uptime over time, ${uptime}`), uptime)}
${cell('cpu', sparkline(series.cpuPct, 100, `CPU over time, mean and p95 ${cpu}`), cpu)}
${cell('mem', sparkline(series.memUsedPct, 100, `memory over time, mean and p95 ${mem}`), mem)}
${cell('disk', levelBar(diskUsedPct?.max ?? null, diskLimitPct, `disk at most ${disk}`), disk)}
${cell('rtt', sparkline(series.rttMs, rttScaleMs, `round trip over time, mean and p95 ${rtt}`), rtt)}
<td class="number">${runs.total}</td><td class="number${runs.failed > 0 ? ' bad' : ''}">${runs.failed}</td></tr>
`;
}

function cell(style: string, chart: Html, words: string): Html {
  return html`<td class="${style}"><div class="cell">${chart}<small>${words}</small></div></td>`;
}
