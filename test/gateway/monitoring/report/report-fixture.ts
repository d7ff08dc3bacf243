/** A day of a fleet of twelve nodes, of which one is gone, one is full and one was only just paired. */

import type { RunState } from '../../../../src/domain/states.ts';
import { FIGURES, type FigureName, type Figures } from '../../../../src/gateway/monitoring/history/figures.ts';
import { NodeHistory } from '../../../../src/gateway/monitoring/history/node-history.ts';
import { encodeFigures } from '../../../../src/gateway/monitoring/history/row-codec.ts';
import type { Downtime } from '../../../../src/gateway/monitoring/judge/judge-store.ts';
import { DEFAULT_HEALTH_THRESHOLDS } from '../../../../src/gateway/monitoring/judge/limits.ts';
import type { HealthReport } from '../../../../src/gateway/monitoring/report/build.ts';
import { addRuns, assembleReport, buildNode, NO_RUNS } from '../../../../src/gateway/monitoring/report/build.ts';
import { REPORT_FORMATS } from '../../../../src/gateway/monitoring/report/formats.ts';
import {
  type ReportAlert,
  type ReportAlerts,
  type ReportLimits,
  type ReportRow,
  type RunTotals,
  SERIES_PARTS,
} from '../../../../src/gateway/monitoring/report/model.ts';

export const DAY_MS = 86_400_000;
export const FROM = Date.UTC(2026, 0, 30, 9, 30);
export const TO = FROM + DAY_MS;

const STEP_MS = 5 * 60_000;
const HOUR_MS = 3_600_000;

/** All that a report is made of. */
export interface ReportInput {
  from: number;
  to: number;
  rows: readonly ReportRow[];
  limits?: ReportLimits;
  alerts?: ReportAlerts;
  downtimes?: readonly Downtime[];
}

export function buildReport({ from, to, rows, downtimes = [], ...rest }: ReportInput): HealthReport {
  const { limits = DEFAULT_HEALTH_THRESHOLDS, alerts = { totals: { fired: 0, firing: 0, critical: 0 }, worst: [] } } =
    rest;
  const nodes = rows.map((each) => buildNode(each, { from, to }, downtimes));
  return assembleReport({ from, to }, nodes, { limits, alerts, downtimes });
}

/** The whole document. */
export function render(report: HealthReport, format: 'text' | 'json' | 'md' | 'html' | 'csv'): string {
  return [...(REPORT_FORMATS[format]?.pieces(report) ?? [])].join('');
}

/** The totals of these runs; `nonZero` of the exited ones failed. */
export function runsOf(counts: Partial<Record<RunState, number>>, nonZero = 0): RunTotals {
  const totals = { ...NO_RUNS };
  for (const [state, count] of Object.entries(counts)) {
    addRuns(totals, state as RunState, 0, state === 'exited' ? count - nonZero : count);
  }
  addRuns(totals, 'exited', 1, nonZero);
  return totals;
}

/** A generator of the same numbers in [0, 1) every time (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Figures of one moment; those that are left out are not known. */
export interface Sample extends Partial<Record<FigureName, number | null>> {
  at: number;
}

/** The history that these samples make over {@link FROM} to {@link TO}. */
export function historyOf(samples: readonly Sample[]): NodeHistory {
  const history = new NodeHistory({ from: FROM, to: TO, parts: SERIES_PARTS });
  const none = Object.fromEntries(FIGURES.map(({ name }) => [name, null])) as Figures;
  for (const { at, ...figures } of samples) history.add('raw', at, encodeFigures({ ...none, ...figures }));
  return history;
}

interface Shape {
  name: string;
  seed: number;
  from?: number;
  to?: number;
  disk?: number;
  diskGrowth?: number;
  busy?: number;
}

function samplesOf({ seed, from = FROM, to = TO, disk = 40, diskGrowth = 0, busy = 12 }: Shape): Sample[] {
  const random = randomFrom(seed);
  const samples: Sample[] = [];
  let memory = 30 + random() * 30;
  for (let at = from; at < to; at += STEP_MS) {
    const dayWave = Math.sin(((at - FROM) / DAY_MS) * 2 * Math.PI);
    memory = Math.min(92, Math.max(15, memory + (random() - 0.5) * 2));
    samples.push({
      at,
      cpuPct: Math.min(
        100,
        Math.max(0.4, busy + busy * 0.6 * dayWave + (random() - 0.5) * busy + (random() > 0.97 ? 45 : 0)),
      ),
      memUsedPct: memory,
      diskUsedPct: Math.min(99, disk + (diskGrowth * (at - FROM)) / DAY_MS),
      rttMs: 14 + seed + random() * 8 + (random() > 0.98 ? 90 : 0),
    });
  }
  return samples;
}

function row(shape: Shape, changes: Partial<ReportRow> = {}): ReportRow {
  return {
    name: shape.name,
    status: 'online',
    reasons: [],
    linkScore: 97,
    machineScore: 88,
    firstSessionAt: FROM - 30 * DAY_MS,
    history: historyOf(samplesOf(shape)),
    troubles: [],
    forecasts: [],
    sessions: [{ from: FROM - DAY_MS, to: null }],
    runs: runsOf({ exited: 20 + shape.seed }),
    alerts: { fired: 0, firing: 0 },
    ...changes,
  };
}

/** One that is critical and fires, unless it is said otherwise. */
export function alert(changes: Partial<ReportAlert>): ReportAlert {
  return {
    rule: 'offline',
    severity: 'critical',
    node: 'node-1',
    state: 'firing',
    since: new Date(TO - 7 * HOUR_MS).toISOString(),
    until: null,
    durationMs: 7 * HOUR_MS,
    silenced: false,
    summary: 'offline: no session',
    reason: null,
    ...changes,
  };
}

/** Twelve nodes over {@link FROM} to {@link TO}. */
export function sampleInput(): ReportInput {
  const goneAt = FROM + 17 * HOUR_MS;
  const flapAt = FROM + 6 * HOUR_MS;
  const backAt = flapAt + 40 * 60_000;
  const quiet = ['web-1', 'web-2', 'db-1', 'pi-kitchen', 'build-2', 'nas', 'backup', 'edge-lisbon', 'edge-oslo'];
  return {
    from: FROM,
    to: TO,
    limits: DEFAULT_HEALTH_THRESHOLDS,
    alerts: {
      totals: { fired: 2, firing: 1, critical: 1 },
      worst: [
        alert({ node: 'laptop-maria', summary: 'offline: no session' }),
        alert({
          rule: 'disk',
          severity: 'warning',
          node: 'build-1',
          state: 'resolved',
          until: new Date(TO - 3 * HOUR_MS).toISOString(),
          durationMs: 4 * HOUR_MS,
          silenced: true,
          summary: 'diskUsedPct 93.9 (limit 90)',
        }),
      ],
    },
    rows: [
      ...quiet.map((name, index) => row({ name, seed: index + 1, disk: 25 + index * 6, busy: 5 + index * 3 })),
      row(
        { name: 'laptop-maria', seed: 31, to: goneAt },
        {
          history: historyOf(
            samplesOf({ name: 'laptop-maria', seed: 31, to: goneAt }).filter(({ at }) => at < flapAt || at >= backAt),
          ),
          linkScore: 0,
          status: 'offline',
          reasons: ['no session'],
          sessions: [
            { from: FROM - DAY_MS, to: flapAt },
            { from: backAt, to: goneAt },
          ],
          runs: runsOf({ exited: 9, expired: 4, unknown: 1, queued: 2 }, 1),
        },
      ),
      row(
        { name: 'build-1', seed: 32, disk: 81, diskGrowth: 13, busy: 55 },
        {
          status: 'limited',
          machineScore: 52,
          troubles: [
            { from: TO - 4 * HOUR_MS, to: null, status: 'limited', reasons: ['disk /var/lib/docker 90% (limit 90%)'] },
          ],
          forecasts: [{ mount: '/var/lib/docker', fullAt: TO + 11 * HOUR_MS, risePctPerDay: 13.2 }],
          reasons: ['disk /var/lib/docker 93.9% (limit 90%)', 'clock 94 s behind (limit 60 s)'],
          runs: runsOf({ exited: 140, timed_out: 3, running: 1, canceled: 2 }, 6),
        },
      ),
      row(
        { name: 'edge-new', seed: 33, from: FROM + 20 * HOUR_MS },
        { firstSessionAt: FROM + 20 * HOUR_MS, sessions: [{ from: FROM + 20 * HOUR_MS, to: null }], runs: NO_RUNS },
      ),
    ],
  };
}
