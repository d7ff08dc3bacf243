/** Small charts of a health report as inline SVG without script or font; colours come from the page's style sheet. */
import { type Html, html } from './html.ts';

type Values = readonly (number | null)[];

interface Scale {
  width: number;
  height: number;
  /** Value at the top. */
  max: number;
}

/** Units are tenths of a pixel: whole numbers are short, and finer than any screen. */
const SPARK = { width: 1_200, height: 260 };
const CHART = { width: 6_400, height: 1_200, max: 100 };
/** Distance of a stroke from the edge, which would cut it in half. */
const MARGIN = 15;

/** A line over time with the area under it, from 0 to `max`, with gaps where nothing is known. `label` says the same in words. */
export function sparkline(values: Values, max: number, label: string): Html {
  const stretches = knownStretches(values, { ...SPARK, max });
  const [area, line] = [stretches.map(areaPath).join(''), stretches.map(linePath).join('')];
  return svg('spark', SPARK, label, html`<path class="area" d="${area}"/><path class="line" d="${line}"/>`);
}

/** A bar from 0 to 100; `limit` draws a mark, null none. */
export function levelBar(percent: number | null, limit: number | null, label: string): Html {
  const level = percent !== null && limit !== null && percent >= limit ? 'high' : 'normal';
  const width = short(Math.min(100, percent ?? 0));
  const mark = limit === null ? null : html`<path class="mark" d="M${limit} 0V8"/>`;
  const bar = html`<rect class="track" width="100" height="8" rx="2"/><rect class="fill" width="${width}" height="8" rx="2"/>${mark}`;
  return svg(`bar ${level}`, { width: 100, height: 8 }, label, bar);
}

/** Availability over time: each part is as high as the share of it that the node was online; the rest stands out. */
export function onlineStrip(onlinePct: Values, label: string): Html {
  const bars = equalStretches(onlinePct).map(({ value, from, to }) => {
    if (value === null) return null;
    const up = (value / 100) * 16;
    const [top, width] = [short(16 - up), to - from];
    return [
      value < 100 ? html`<rect class="down" x="${from}" width="${width}" height="${top}"/>` : null,
      value > 0 ? html`<rect class="up" x="${from}" y="${top}" width="${width}" height="${short(up)}"/>` : null,
    ];
  });
  return svg('strip', { width: onlinePct.length, height: 16 }, label, bars);
}

/** Picks colour and dashes in the style sheet. */
export type LineStyle = 'cpu' | 'mem' | 'disk';

/** Several percentages over time on one grid, with the time offline shaded behind them. */
export function percentChart(
  lines: readonly { style: LineStyle; values: Values }[],
  onlinePct: Values,
  label: string,
): Html {
  const partWidth = CHART.width / onlinePct.length;
  const away = equalStretches(onlinePct).map(({ from, to, value }) => {
    if (value === null || value >= 100) return null;
    const [x, width] = [Math.round(from * partWidth), Math.round((to - from) * partWidth)];
    return html`<rect class="away" x="${x}" width="${width}" height="${CHART.height}" opacity="${short(1 - value / 100)}"/>`;
  });
  const grid = [0, 50, 100].map((level) => html`<path class="grid" d="M0 ${yOf(level, CHART)}H${CHART.width}"/>`);
  const paths = lines.map(({ style, values }) => {
    const path = knownStretches(values, CHART).map(linePath).join('');
    return html`<path class="line ${style}" d="${path}"/>`;
  });
  return svg('chart', CHART, label, [away, grid, paths]);
}

function svg(
  style: string,
  { width, height }: Omit<Scale, 'max'>,
  label: string,
  content: Parameters<typeof html>[1],
): Html {
  return html`<svg class="${style}" viewBox="0 0 ${width} ${height}" preserveAspectRatio="none" role="img" aria-label="${label}">${content}</svg>`;
}

function yOf(value: number, { height, max }: Scale): number {
  const share = max > 0 ? Math.min(1, Math.max(0, value / max)) : 0;
  return Math.round(height - MARGIN - share * (height - 2 * MARGIN));
}

/** Neighbouring known values: a line through the points `x y x y …`. */
interface Stretch {
  from: number;
  to: number;
  points: string;
}

function knownStretches(values: Values, scale: Scale): Stretch[] {
  const stretches: Stretch[] = [];
  const stepX = values.length < 2 ? 0 : scale.width / (values.length - 1);
  let current: Stretch | undefined;
  values.forEach((value, index) => {
    const x = Math.round(index * stepX);
    if (value === null) current = undefined;
    else if (current === undefined) {
      current = { from: x, to: x, points: `${x} ${yOf(value, scale)}` };
      stretches.push(current);
    } else {
      current.to = x;
      current.points += ` ${x} ${yOf(value, scale)}`;
    }
  });
  return stretches;
}

/** A single point has no length; a short dash makes it visible. */
const linePath = ({ from, to, points }: Stretch): string => `M${points}${from === to ? 'h20' : ''}`;

const areaPath = ({ from, to, points }: Stretch): string =>
  from === to ? '' : `M${from} ${SPARK.height} ${points} ${to} ${SPARK.height}Z`;

/** Neighbours of equal value, so that a node that was always online is one rectangle. */
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
