/** How one node was over the last 24 hours, for people: a small chart of each figure, and what went wrong. */
import type { HealthDayView } from '../../protocol/views.ts';
import { formatDuration, formatRelativeTime } from '../../shared/duration.ts';
import { sparkline } from '../output/figures.ts';
import { formatFacts } from '../output/table.ts';

type Statistics = NonNullable<HealthDayView['cpuPct']>;

/** Of a node that comes and goes all day, the latest are enough. */
const MOST_INCIDENTS = 5;

/** Fewer values than that are no chart. */
const LEAST_CHART = 8;

/** At most `columns` wide, if that leaves a chart of the latest hours; one of a file has no width. */
export function formatHealthDay(day: HealthDayView, now: number, columns = Number.POSITIVE_INFINITY): string {
  const percents = ({ avg, p95, max }: Statistics): string =>
    `mean ${avg.toFixed(0)} %, 95 % below ${p95.toFixed(0)} %, most ${max.toFixed(0)} %`;
  const { cpuPct, memUsedPct, diskUsedPct, rttMs, series } = day;
  const charts = [
    ['online', series.onlinePct, 100, ''],
    ['cpu', series.cpuPct, 100, cpuPct && percents(cpuPct)],
    ['memory', series.memUsedPct, 100, memUsedPct && percents(memUsedPct)],
    ['disk', series.diskUsedPct, 100, diskUsedPct && percents(diskUsedPct)],
    [
      'round trip',
      series.rttMs,
      rttMs?.max ?? 0,
      rttMs && `mean ${msWords(rttMs.avg)}, 95 % below ${msWords(rttMs.p95)}, most ${msWords(rttMs.max)}`,
    ],
  ] as const;
  const beside = 'last 24 hours:'.length + 2 + 2 + Math.max(...charts.map(([, , , words]) => words?.length ?? 0));
  const room = Math.max(LEAST_CHART, columns - beside);
  return formatFacts([
    ['last 24 hours', uptimeWords(day)],
    ...charts.map(([name, values, most, words]) => {
      const chart = sparkline(values.slice(-Math.min(room, values.length)), most);
      return [name, words === null ? '' : `${chart}  ${words}`.trimEnd()] as const;
    }),
    ...day.forecasts.map(
      ({ mount, fullInMs, risePctPerDay }) =>
        [
          'will be full',
          `${mount} in ${formatDuration(fullInMs)} (rises ${risePctPerDay.toFixed(1)} % a day)`,
        ] as const,
    ),
    ...day.incidents.slice(-MOST_INCIDENTS).map((incident) => [incident.status, incidentWords(incident, now)] as const),
  ]);
}

function uptimeWords({ uptimePct, outages }: HealthDayView): string {
  if (uptimePct === null) return 'never connected';
  // Rounded down, so that only a node that was never away shows 100.
  const uptime = uptimePct === 100 ? '100' : (Math.floor(uptimePct * 100) / 100).toFixed(2);
  return `uptime ${uptime} %, ${outages === 1 ? '1 outage' : `${outages} outages`}`;
}

function incidentWords({ start, end, durationMs, reasons }: HealthDayView['incidents'][number], now: number): string {
  const since = formatRelativeTime(start, now);
  const length = end === null ? 'still' : `for ${formatDuration(durationMs)}`;
  return [`${since}, ${length}`, ...reasons].join(', ');
}

function msWords(ms: number): string {
  return `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
}
