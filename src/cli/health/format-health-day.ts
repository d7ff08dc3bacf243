/** How one node was over the last 24 hours, for people: a small chart of each figure, and what went wrong. */
import type { HealthDayView } from '../../protocol/views.ts';
import { formatDuration, formatRelativeTime } from '../../shared/duration.ts';
import { sparkline } from '../output/figures.ts';
import { formatFacts } from '../output/table.ts';

/** Of a node that comes and goes all day, the latest are enough. */
const MOST_INCIDENTS = 5;

export function formatHealthDay(day: HealthDayView, now: number): string {
  const percents = (key: 'cpuPct' | 'memUsedPct' | 'diskUsedPct'): string => {
    const figures = day[key];
    if (figures === null) return '';
    const words = `mean ${figures.avg.toFixed(0)} %, 95 % below ${figures.p95.toFixed(0)} %, most ${figures.max.toFixed(0)} %`;
    return `${sparkline(day.series[key], 100)}  ${words}`;
  };
  const { rttMs } = day;
  const rttScaleMs = rttMs === null ? 0 : rttMs.max;
  return formatFacts([
    ['last 24 hours', uptimeWords(day)],
    ['online', sparkline(day.series.onlinePct, 100)],
    ['cpu', percents('cpuPct')],
    ['memory', percents('memUsedPct')],
    ['disk', percents('diskUsedPct')],
    [
      'round trip',
      rttMs === null
        ? ''
        : `${sparkline(day.series.rttMs, rttScaleMs)}  mean ${msWords(rttMs.avg)}, 95 % below ${msWords(rttMs.p95)}, most ${msWords(rttMs.max)}`,
    ],
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
