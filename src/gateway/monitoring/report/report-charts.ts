/** Small charts of a health report as inline SVG: no script, no font, no file; colours come from the page's style sheet. */
import { type Html, html } from './html.ts';

type Values = readonly (number | null)[];

/** Lines are drawn on a grid of tenths of a pixel: whole numbers are short and quick to write, and finer than any screen. */
const SPARK = { width: 1_200, height: 260 };

/** A line over time with the area under it, from 0 to `max`; it breaks where nothing is known. `label` says the same in words. */
export function sparkline(values: Values, max: number, label: string): Html {
  const scale = { ...SPARK, max };
  const stretches = knownStretches(values, scale);
  return html`<svg class="spark" viewBox="0 0 ${SPARK.width} ${SPARK.height}" preserveAspectRatio="none" role="img" aria-label="${label}"><path class="area" d="${areaPath(stretches, scale)}"/><path class="line" d="${linePath(stretches)}"/></svg>`;
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

const CHART = { width: 6_400, height: 1_200, max: 100 };

/** Several percentages over time on one grid, with the time offline shaded behind them. */
export function percentChart(lines: readonly ChartLine[], onlinePct: Values, label: string): Html {
  const partWidth = CHART.width / onlinePct.length;
  const away = equalStretches(onlinePct.map((share) => (share !== null && share < 100 ? share : null)))
    .filter(({ value }) => value !== null)
    .map(
      ({ from, to, value }) =>
        html`<rect class="away" x="${Math.round(from * partWidth)}" width="${Math.round((to - from) * partWidth)}" height="${CHART.height}" opacity="${short(1 - (value ?? 0) / 100)}"/>`,
    );
  const grid = [0, 50, 100].map((level) => html`<path class="grid" d="M0 ${yOf(level, CHART)}H${CHART.width}"/>`);
  const paths = lines.map(
    ({ style, values }) => html`<path class="line ${style}" d="${linePath(knownStretches(values, CHART))}"/>`,
  );
  return html`<svg class="chart" viewBox="0 0 ${CHART.width} ${CHART.height}" preserveAspectRatio="none" role="img" aria-label="${label}">${away}${grid}${paths}</svg>`;
}

interface Scale {
  width: number;
  height: number;
  /** Value at the top. */
  max: number;
}

/** A stroke is this far from the edge, so that it is not cut in half there. */
const MARGIN = 15;

function yOf(value: number, { height, max }: Scale): number {
  const share = max > 0 ? Math.min(1, Math.max(0, value / max)) : 0;
  return Math.round(height - MARGIN - share * (height - 2 * MARGIN));
}

/** Neighbours that are known, as a line through them. */
interface Stretch {
  firstX: number;
  lastX: number;
  /** `x y` of the first point, and of all others with a blank between them. */
  first: string;
  rest: string;
}

function knownStretches(values: Values, scale: Scale): Stretch[] {
  const stretches: Stretch[] = [];
  const stepX = values.length < 2 ? 0 : scale.width / (values.length - 1);
  let current: Stretch | undefined;
  values.forEach((value, index) => {
    if (value === null) {
      current = undefined;
      return;
    }
    const x = Math.round(index * stepX);
    const point = `${x} ${yOf(value, scale)}`;
    if (current === undefined) {
      current = { firstX: x, lastX: x, first: point, rest: '' };
      stretches.push(current);
      return;
    }
    current.lastX = x;
    current.rest += current.rest === '' ? point : ` ${point}`;
  });
  return stretches;
}

function linePath(stretches: readonly Stretch[]): string {
  // A single point has no length; a short dash makes it visible.
  return stretches.map(({ first, rest }) => (rest === '' ? `M${first}h20` : `M${first}L${rest}`)).join('');
}

function areaPath(stretches: readonly Stretch[], { height }: Scale): string {
  return stretches
    .filter(({ rest }) => rest !== '')
    .map(({ firstX, lastX, first, rest }) => `M${firstX} ${height}L${first} ${rest}L${lastX} ${height}Z`)
    .join('');
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
