/** The parts of `fleet health NODE`: its last 24 hours, and what uses the machine right now. */
import type { ProcessesQuery, ProcessesView, ProcessSort } from '../../protocol/node-messages.ts';
import type { HealthDayView } from '../../protocol/views.ts';
import { formatDuration, formatRelativeTime } from '../../shared/duration.ts';
import { FleetError } from '../../shared/errors.ts';
import { given, parseCount } from '../args/values.ts';
import { formatBytes, formatMs, type OutputPort, sparkline } from '../output/print.ts';
import { formatFacts, formatTable, right } from '../output/table.ts';

/** The latest are enough for a node that connects and disconnects all day. */
const MAX_INCIDENTS = 5;
/** A chart has at least this many values. */
const MIN_CHART = 8;
/** Columns beside a chart: the longest name, and the gaps around the chart. */
const MARGIN = 'last 24 hours:'.length + 4;

/** At most `columns` wide, if that leaves room for charts of the latest hours. */
export function formatHealthDay(day: HealthDayView, now: number, columns = Number.POSITIVE_INFINITY): string {
  const { cpuPct, memUsedPct, diskUsedPct, rttMs, series } = day;
  const percent = (value: number): string => `${value.toFixed(0)} %`;
  const charts = [
    { name: 'online', values: series.onlinePct, scale: 100, words: '' },
    { name: 'cpu', values: series.cpuPct, scale: 100, words: describeFigures(cpuPct, percent) },
    { name: 'memory', values: series.memUsedPct, scale: 100, words: describeFigures(memUsedPct, percent) },
    { name: 'disk', values: series.diskUsedPct, scale: 100, words: describeFigures(diskUsedPct, percent) },
    { name: 'round trip', values: series.rttMs, scale: rttMs?.max ?? 0, words: describeFigures(rttMs, formatMs) },
  ];
  const longest = Math.max(...charts.map(({ words }) => words?.length ?? 0));
  const room = Math.max(MIN_CHART, columns - MARGIN - longest);
  const incidents = day.incidents.slice(-MAX_INCIDENTS).map(({ status, start, end, durationMs, reasons }) => {
    const length = end === null ? 'ongoing' : `for ${formatDuration(durationMs)}`;
    return [status, [formatRelativeTime(start, now), length, ...reasons].join(', ')] as const;
  });
  const forecasts = day.forecasts.map(({ mount, fullInMs, risePctPerDay }) => {
    const when = `${mount} in ${formatDuration(fullInMs)} (rising ${risePctPerDay.toFixed(1)} % a day)`;
    return ['will be full', when] as const;
  });
  return formatFacts([
    ['last 24 hours', describeUptime(day)],
    ...charts.map(({ name, values, scale, words }) => {
      const chart = sparkline(values.slice(-Math.min(room, values.length)), scale);
      return [name, words === null ? '' : `${chart}  ${words}`.trimEnd()] as const;
    }),
    ...forecasts,
    ...incidents,
  ]);
}

function describeFigures(figures: HealthDayView['cpuPct'], format: (value: number) => string): string | null {
  if (figures === null) return null;
  return `mean ${format(figures.avg)}, 95 % below ${format(figures.p95)}, max ${format(figures.max)}`;
}

function describeUptime({ uptimePct, outages }: HealthDayView): string {
  if (uptimePct === null) return 'never connected';
  // Rounded down, so that only a node that was never offline shows 100.
  const uptime = uptimePct === 100 ? '100' : (Math.floor(uptimePct * 100) / 100).toFixed(2);
  return `uptime ${uptime} %, ${outages === 1 ? '1 outage' : `${outages} outages`}`;
}

/** @throws FleetError `usage` if options need `--processes`, or it needs a node. */
export function processQuery(
  node: string | undefined,
  { processes, sort, limit }: { processes: boolean; sort: string | undefined; limit: string | undefined },
): Partial<ProcessesQuery> {
  if (!processes && (sort !== undefined || limit !== undefined)) {
    throw new FleetError('usage', '--sort and --limit require --processes', {
      hint: 'For example: fleet health NODE --processes --sort mem',
    });
  }
  if (processes && node === undefined) {
    throw new FleetError('usage', '--processes requires a node', {
      hint: 'For example: fleet health NODE --processes',
    });
  }
  return given({ limit: parseCount(limit, '--limit'), sort: sort as ProcessSort | undefined });
}

export function formatProcesses({ processes }: ProcessesView, out: OutputPort): string {
  return formatTable(
    [right('PID'), 'USER', right('CPU'), right('MEM'), right('RSS'), 'COMMAND'],
    processes.map(({ pid, user, cpuPct, memPct, rssBytes, command }) => [
      ...[String(pid), user ?? '', `${cpuPct.toFixed(1)} %`, `${memPct.toFixed(1)} %`],
      ...[formatBytes(rssBytes), command],
    ]),
    out,
  );
}
