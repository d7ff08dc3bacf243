/** One node that needs a look, on the health report's page: why, when it was away, and how it did over the period. */
import type { NodeStatus } from '../../../domain/node-status.ts';
import { type Html, html } from './html.ts';
import { onlineStrip, percentChart } from './report-charts.ts';
import type { HealthReport, NodeReport } from './report-types.ts';
import { nodeFacts, percentWords, timeWords, uptimeWords } from './report-words.ts';

const MOST_INCIDENTS = 6;

/** A shape for each status, so that colour is not the only sign. */
const SHAPES: Readonly<Record<NodeStatus, string>> = {
  online: 'M5 0a5 5 0 1 0 0 10a5 5 0 1 0 0-10Z',
  limited: 'M5 0L10 10H0Z',
  error: 'M5 0L10 5L5 10L0 5Z',
  offline: 'M0 0H10V10H0Z',
};

/** The status as a coloured label; `words` instead of its name if given. */
export function statusPill(status: NodeStatus, size: 'normal' | 'large' = 'normal', words: string = status): Html {
  return html`<span class="pill ${status} ${size}"><svg viewBox="0 0 10 10" aria-hidden="true"><path d="${SHAPES[status]}"/></svg>${words}</span>`;
}

export function renderNodeCard(node: NodeReport, period: HealthReport['period']): Html {
  const facts = nodeFacts(node, MOST_INCIDENTS);
  if (node.joinedAt !== null) facts.push(`first connected ${timeWords(node.joinedAt)}`);
  return html`<article class="card ${node.status}">
<header><h3>${node.name}</h3>${statusPill(node.status)}<span class="soft">${headWords(node)}</span></header>
<div class="body"><ul>${facts.map((fact) => html`<li>${fact}</li>`)}</ul>${chart(node, period)}</div>
</article>
`;
}

function headWords({ uptimePct, linkScore, machineScore }: NodeReport): string {
  const words = [`uptime ${uptimeWords(uptimePct)}`];
  if (linkScore !== null) words.push(`link ${linkScore}`);
  if (machineScore !== null) words.push(`machine ${machineScore}`);
  return words.join(' · ');
}

function chart(node: NodeReport, period: HealthReport['period']): Html {
  const { series } = node;
  const legend = [
    { style: 'cpu', words: `CPU, peak ${percentWords(node.cpuPct?.max)}`, values: series.cpuPct },
    { style: 'mem', words: `memory, peak ${percentWords(node.memUsedPct?.max)}`, values: series.memUsedPct },
    { style: 'disk', words: `disk, peak ${percentWords(node.diskUsedPct?.max)}`, values: series.diskUsedPct },
  ] as const;
  const inWords = legend.map(({ words }) => words).join('; ');
  return html`<figure>
<div class="legend">${legend.map(({ style, words }) => html`<span><svg viewBox="0 0 22 8" aria-hidden="true"><path class="line ${style}" d="M1 4H21"/></svg>${words}</span>`)}</div>
<div class="plot"><div class="levels" aria-hidden="true"><span>100%</span><span>50%</span><span>0%</span></div>${percentChart(legend, series.onlinePct, `Percent over time: ${inWords}`)}</div>
<div class="under">${onlineStrip(series.onlinePct, `online ${uptimeWords(node.uptimePct)} of the time`)}</div>
<figcaption class="axis"><span>${timeWords(period.from)}</span><span>${timeWords(period.to)}</span></figcaption>
</figure>`;
}
