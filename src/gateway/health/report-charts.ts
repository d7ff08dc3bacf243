/** Small charts of a health report as inline SVG: no script, no font, no file; colours come from the page's style sheet. */
import type { Html } from './html.ts';
import { html } from './html.ts';

type Values = readonly (number | null)[];

const SPARK_WIDTH = 120;
const SPARK_HEIGHT = 26;

/** A line over time with the area under it, from 0 to `max`; it breaks where nothing is known. `label` says the same in words. */
export function sparkline(values: Values, max: number, label: string): Html {
  const scale = { width: SPARK_WIDTH, height: SPARK_HEIGHT, max };
  return html`<svg class="spark" viewBox="0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${label}"><path class="area" d="${areaPath(values, scale)}"/><path class="line" d="${linePath(values, scale)}"/></svg>`;
}

/** One bar from 0 to 100 with its value in words next to it by the caller; `limit` draws a mark, null none. */
export function levelBar(percent: number | null, limit: number | null, label: string): Html {
  const width = percent === null ? 0 : Math.min(100, percent);
  const level = percent !== null && limit !== null && percent >= limit ? 'high' : 'normal';
  return html`<svg class="bar ${level}" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="${label}"><rect class="track" width="100" height="8" rx="2"/><rect class="fill" width="${short(width)}" height="8" rx="2"/>${limit === null ? null : html`<path class="mark" d="M${limit} 0V8"/>`}</svg>`;
}

/** Availability over time: each part is as high as the share of it that the node was online; what is missing stands out. */
export function onlineStrip(onlinePct: Values, label: string): Html {
  const bars = equalStretches(onlinePct).map(({ value, from, to }) => {
    if (value === null) return null;
    const up = (value / 100) * 16;
    return html`${value < 100 ? html`<rect class="down" x="${from}" width="${to - from}" height="${short(16 - up)}"/>` : null}${value > 0 ? html`<rect class="up" x="${from}" y="${short(16 - up)}" width="${to - from}" height="${short(up)}"/>` : null}`;
  });
  return html`<svg class="strip" viewBox="0 0 ${onlinePct.length} 16" preserveAspectRatio="none" role="img" aria-label="${label}">${bars}</svg>`;
}

export interface ChartLine {
  /** Picks colour and dashes in the style sheet. */
  style: 'cpu' | 'mem' | 'disk';
  /** Percent. */
  values: Values;
}

const CHART = { width: 640, height: 120, max: 100 };

/** Several percentages over time on one grid, with the time offline shaded behind them. */
export function percentChart(lines: readonly ChartLine[], onlinePct: Values, label: string): Html {
  const partWidth = CHART.width / onlinePct.length;
  const away = equalStretches(onlinePct.map((share) => (share !== null && share < 100 ? share : null)))
    .filter(({ value }) => value !== null)
    .map(
      ({ from, to, value }) =>
        html`<rect class="away" x="${short(from * partWidth)}" width="${short((to - from) * partWidth)}" height="${CHART.height}" opacity="${short(1 - (value ?? 0) / 100)}"/>`,
    );
  const grid = [0, 50, 100].map((level) => html`<path class="grid" d="M0 ${yOf(level, CHART)}H${CHART.width}"/>`);
  const paths = lines.map(({ style, values }) => html`<path class="line ${style}" d="${linePath(values, CHART)}"/>`);
  return html`<svg class="chart" viewBox="0 0 ${CHART.width} ${CHART.height}" preserveAspectRatio="none" role="img" aria-label="${label}">${away}${grid}${paths}</svg>`;
}

interface Scale {
  width: number;
  height: number;
  /** Value at the top. */
  max: number;
}

/** A stroke is this far from the edge, so that it is not cut in half there. */
const MARGIN = 1.5;

function yOf(value: number, { height, max }: Scale): string {
  const share = max > 0 ? Math.min(1, Math.max(0, value / max)) : 0;
  return short(height - MARGIN - share * (height - 2 * MARGIN));
}

function linePath(values: Values, scale: Scale): string {
  return knownStretches(values)
    .map((points) => {
      const [first, ...rest] = points.map(({ index, value }) => `${xOf(index, values, scale)} ${yOf(value, scale)}`);
      // A single point has no length; a short dash makes it visible.
      return rest.length === 0 ? `M${first}h2` : `M${first}L${rest.join(' ')}`;
    })
    .join('');
}

function areaPath(values: Values, scale: Scale): string {
  return knownStretches(values)
    .filter((points) => points.length > 1)
    .map((points) => {
      const corners = points.map(({ index, value }) => `L${xOf(index, values, scale)} ${yOf(value, scale)}`).join('');
      const first = points[0]?.index ?? 0;
      const last = points.at(-1)?.index ?? 0;
      return `M${xOf(first, values, scale)} ${scale.height}${corners}L${xOf(last, values, scale)} ${scale.height}Z`;
    })
    .join('');
}

function xOf(index: number, values: Values, { width }: Scale): string {
  return short(values.length < 2 ? 0 : (index / (values.length - 1)) * width);
}

/** The runs of neighbours that are known. */
function knownStretches(values: Values): { index: number; value: number }[][] {
  const stretches: { index: number; value: number }[][] = [];
  let current: { index: number; value: number }[] | undefined;
  values.forEach((value, index) => {
    if (value === null) {
      current = undefined;
      return;
    }
    if (current === undefined) {
      current = [];
      stretches.push(current);
    }
    current.push({ index, value });
  });
  return stretches;
}

/** The runs of neighbours that are equal, so that a node that was always online is one rectangle. */
function equalStretches(values: Values): { value: number | null; from: number; to: number }[] {
  const stretches: { value: number | null; from: number; to: number }[] = [];
  values.forEach((value, index) => {
    const last = stretches.at(-1);
    if (last !== undefined && last.value === value) last.to = index + 1;
    else stretches.push({ value, from: index, to: index + 1 });
  });
  return stretches;
}

/** Two decimals are finer than any screen. */
function short(value: number): string {
  return String(Math.round(value * 100) / 100);
}
