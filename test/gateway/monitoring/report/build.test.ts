import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NODE_STATUSES, RUN_STATES } from '../../../../src/domain/states.ts';
import { DEFAULT_HEALTH_THRESHOLDS } from '../../../../src/gateway/monitoring/judge/limits.ts';
import { type ReportRow, SERIES_PARTS } from '../../../../src/gateway/monitoring/report/model.ts';
import { buildReport, DAY_MS, FROM, historyOf, runsOf, sampleInput, TO } from './report-fixture.ts';

const HOUR_MS = 3_600_000;

const ROW: ReportRow = {
  name: 'node-1',
  status: 'online',
  reasons: [],
  linkScore: 100,
  machineScore: 100,
  firstSessionAt: FROM - DAY_MS,
  history: historyOf([]),
  sessions: [],
  troubles: [],
  forecasts: [],
  runs: runsOf({}),
  alerts: { fired: 0, firing: 0 },
};
const limits = DEFAULT_HEALTH_THRESHOLDS;
const nodeOf = (changes: Partial<ReportRow>) => {
  const [node] = buildReport({ from: FROM, to: TO, rows: [{ ...ROW, ...changes }], limits }).nodes;
  assert.ok(node !== undefined);
  return node;
};

test('uptime and outages come from the sessions within the period', () => {
  const node = nodeOf({
    sessions: [
      { from: FROM - HOUR_MS, to: FROM + 6 * HOUR_MS },
      { from: FROM + 12 * HOUR_MS, to: FROM + 18 * HOUR_MS },
      { from: FROM + 17 * HOUR_MS, to: FROM + 18 * HOUR_MS },
    ],
  });
  assert.equal(node.uptimePct, 50);
  assert.equal(node.offlineMs, 12 * HOUR_MS);
  assert.deepEqual(node.incidents, [
    {
      status: 'offline',
      start: '2026-01-30T15:30:00.000Z',
      end: '2026-01-30T21:30:00.000Z',
      durationMs: 6 * HOUR_MS,
      reasons: [],
    },
    { status: 'offline', start: '2026-01-31T03:30:00.000Z', end: null, durationMs: 6 * HOUR_MS, reasons: [] },
  ]);
  assert.equal(node.outages, 2);
});

test('a live session lasts to the end of the period', () => {
  const node = nodeOf({ sessions: [{ from: FROM + 6 * HOUR_MS, to: null }] });
  assert.equal(node.uptimePct, 75);
  assert.equal(node.incidents.length, 1);
});

test('a node whose first session began inside the period counts from then, however long before it was paired', () => {
  const joinedAt = FROM + 12 * HOUR_MS;
  const node = nodeOf({ firstSessionAt: joinedAt, sessions: [{ from: joinedAt, to: null }] });
  assert.equal(node.uptimePct, 100);
  assert.deepEqual(node.incidents, []);
  assert.equal(node.joinedAt, new Date(joinedAt).toISOString());
  assert.equal(node.series.onlinePct[0], null);
  assert.equal(node.series.onlinePct.at(-1), 100);
});

test('a node that was never connected has no uptime rather than 0', () => {
  const node = nodeOf({ firstSessionAt: null, status: 'offline' });
  assert.equal(node.joinedAt, null);
  assert.equal(node.uptimePct, null);
  assert.deepEqual(node.incidents, []);
  assert.equal(node.cpuPct, null);
});

test('samples outside the period do not count', () => {
  const node = nodeOf({
    history: historyOf([
      { at: FROM - 1, cpuPct: 99 },
      { at: FROM, cpuPct: 10 },
      { at: TO - 1, cpuPct: 20 },
      { at: TO, cpuPct: 99 },
    ]),
  });
  assert.deepEqual(node.cpuPct && { ...node.cpuPct, p95: Math.round(node.cpuPct.p95) }, {
    min: 10,
    avg: 15,
    max: 20,
    p95: 20,
  });
  assert.equal(node.memUsedPct, null);
  assert.equal(node.series.cpuPct[0], 10);
  assert.equal(node.series.cpuPct.at(-1), 20);
  assert.equal(node.series.cpuPct.filter((value) => value !== null).length, 2);
});

test('times in limited or error are incidents besides the outages and cost no uptime', () => {
  const node = nodeOf({
    sessions: [
      { from: FROM - HOUR_MS, to: FROM + 6 * HOUR_MS },
      { from: FROM + 7 * HOUR_MS, to: null },
    ],
    troubles: [
      { from: FROM - HOUR_MS, to: FROM + HOUR_MS, status: 'limited', reasons: ['cpu 99% (limit 95%)'] },
      { from: FROM + 20 * HOUR_MS, to: null, status: 'error', reasons: ['spool'] },
    ],
  });
  assert.deepEqual(
    node.incidents.map(({ status, durationMs, end, reasons }) => [status, durationMs / HOUR_MS, end === null, reasons]),
    [
      ['limited', 1, false, ['cpu 99% (limit 95%)']],
      ['offline', 1, false, []],
      ['error', 4, true, ['spool']],
    ],
  );
  assert.equal(node.outages, 1);
  assert.equal(Math.round(node.uptimePct ?? 0), 96);
});

test('time away recorded in joined sessions counts in proportion', () => {
  const node = nodeOf({ sessions: [{ from: FROM - DAY_MS, to: TO, awayMs: 12 * HOUR_MS }] });
  assert.equal(node.uptimePct, 75);
  assert.equal(node.offlineMs, 6 * HOUR_MS);
});

test('the worst nodes are named, including one whose disk will be full', () => {
  const full = { mount: '/', fullAt: TO + HOUR_MS, risePctPerDay: 5 };
  const rows = [
    { ...ROW, name: 'fine', sessions: [{ from: FROM, to: null }] },
    { ...ROW, name: 'filling', sessions: [{ from: FROM, to: null }], forecasts: [full] },
  ];
  const report = buildReport({ from: FROM, to: TO, rows, limits });
  assert.deepEqual(report.worst, ['filling']);
  assert.equal(report.nodes.find(({ name }) => name === 'filling')?.forecasts[0]?.fullInMs, HOUR_MS);
});

test('runs: a nonzero exit is a failure, a cancel is not', () => {
  const { runs } = nodeOf({
    runs: runsOf({ exited: 10, timed_out: 1, canceled: 2, expired: 3, unknown: 1, running: 4, queued: 1 }, 4),
  });
  assert.deepEqual(runs, { total: 22, active: 5, succeeded: 6, failed: 9, canceled: 2 });
});

test('the worst node comes first and sets the overall status', () => {
  const report = buildReport(sampleInput());
  assert.deepEqual(
    report.nodes.slice(0, 2).map(({ name }) => name),
    ['laptop-maria', 'build-1'],
  );
  assert.equal(report.status, 'offline');
  assert.deepEqual(report.totals.byStatus, { online: 10, limited: 1, error: 0, offline: 1 });
  assert.equal(report.totals.nodes, 12);
  assert.equal(report.period.durationMs, DAY_MS);
});

test('a report without nodes works, an empty period throws', () => {
  const report = buildReport({ from: FROM, to: TO, rows: [], limits });
  assert.equal(report.status, null);
  assert.equal(report.totals.uptimePct, null);
  assert.throws(() => buildReport({ from: TO, to: TO, rows: [], limits }), RangeError);
});

test('the object is its own JSON', () => {
  const report = buildReport(sampleInput());
  assert.deepEqual(JSON.parse(JSON.stringify(report)), report);
});

const time = fc.integer({ min: FROM - DAY_MS, max: TO + DAY_MS });
const percent = fc.option(fc.double({ min: 0, max: 100, noNaN: true }));
const anyRow: fc.Arbitrary<ReportRow> = fc.record({
  name: fc.string(),
  status: fc.constantFrom(...NODE_STATUSES),
  reasons: fc.array(fc.string(), { maxLength: 2 }),
  linkScore: fc.option(fc.nat({ max: 100 })),
  machineScore: fc.option(fc.nat({ max: 100 })),
  firstSessionAt: fc.option(time),
  history: fc
    .array(fc.record({ at: time, cpuPct: percent, memUsedPct: percent, diskUsedPct: percent, rttMs: percent }))
    .map(historyOf),
  sessions: fc.array(fc.record({ from: time, to: fc.option(time) })),
  troubles: fc.array(
    fc.record({
      from: time,
      to: fc.option(time),
      status: fc.constantFrom('limited' as const, 'error' as const),
      reasons: fc.array(fc.string(), { maxLength: 2 }),
    }),
  ),
  forecasts: fc.array(
    fc.record({ mount: fc.string(), fullAt: time, risePctPerDay: fc.double({ min: 0, noNaN: true }) }),
  ),
  runs: fc.dictionary(fc.constantFrom(...RUN_STATES), fc.nat({ max: 100 })).map((counts) => runsOf(counts)),
  alerts: fc.constant({ fired: 0, firing: 0 }),
});

test('any rows: figures stay in their ranges, outages never overlap, sums agree', () => {
  fc.assert(
    fc.property(fc.array(anyRow, { maxLength: 5 }), (rows) => {
      const report = buildReport({ from: FROM, to: TO, rows, limits });
      assert.equal(report.nodes.length, rows.length);
      const order = report.nodes.map(({ status }) => NODE_STATUSES.indexOf(status));
      assert.deepEqual(
        order,
        [...order].sort((a, b) => b - a),
      );
      for (const node of report.nodes) {
        assert.ok(node.uptimePct === null || (node.uptimePct >= 0 && node.uptimePct <= 100));
        assert.equal(node.uptimePct === 100 || node.uptimePct === null, node.outages === 0);
        let end = '';
        for (const incident of node.incidents.filter(({ status }) => status === 'offline')) {
          assert.ok(incident.start > end);
          end = incident.end ?? report.period.to;
          assert.equal(Date.parse(end) - Date.parse(incident.start), incident.durationMs);
        }
        assert.ok(end <= report.period.to);
        const { total, active, succeeded, failed, canceled } = node.runs;
        assert.equal(active + succeeded + failed + canceled, total);
        for (const statistics of [node.cpuPct, node.memUsedPct, node.diskUsedPct, node.rttMs]) {
          if (statistics === null) continue;
          assert.ok(statistics.min <= statistics.avg && statistics.avg <= statistics.max);
          assert.ok(statistics.p95 >= statistics.min && statistics.p95 <= statistics.max);
        }
        for (const values of Object.values(node.series)) {
          if (Array.isArray(values)) assert.equal(values.length, SERIES_PARTS);
        }
        assert.ok(node.series.onlinePct.every((share) => share === null || (share >= 0 && share <= 100)));
      }
    }),
    { numRuns: 60 },
  );
});

test('downtime of the gateway is no node’s outage', () => {
  const downtimes = [{ from: FROM + 6 * HOUR_MS, to: FROM + 8 * HOUR_MS, settledAt: FROM + 8 * HOUR_MS + 90_000 }];
  const reportOf = (...sessions: ReportRow['sessions'][number][]) =>
    buildReport({ from: FROM, to: TO, rows: [{ ...ROW, sessions }], limits, downtimes });
  const before = { from: FROM - HOUR_MS, to: FROM + 6 * HOUR_MS };
  const back = reportOf(before, { from: FROM + 8 * HOUR_MS + 60_000, to: null });
  assert.deepEqual(
    [back.nodes[0]?.uptimePct, back.nodes[0]?.outages, back.nodes[0]?.offlineMs, back.nodes[0]?.incidents],
    [100, 0, 0, []],
  );
  assert.equal(back.totals.gatewayDownMs, 2 * HOUR_MS);
  assert.equal(back.nodes[0]?.series.onlinePct[13], null, 'nothing is known of that half hour');
  assert.equal(back.nodes[0]?.series.onlinePct[16], 100);

  const late = reportOf(before, { from: FROM + 9 * HOUR_MS, to: null }).nodes[0];
  assert.deepEqual([late?.outages, late?.offlineMs], [1, HOUR_MS - 90_000]);

  const [gone] = reportOf({ from: FROM - HOUR_MS, to: FROM + 5 * HOUR_MS }).nodes;
  assert.deepEqual([gone?.outages, gone?.incidents.length], [1, 1], 'away before and after: one outage');
  assert.equal(gone?.offlineMs, DAY_MS - 7 * HOUR_MS - 90_000);

  const start = FROM + 8 * HOUR_MS;
  const twice = reportOf(before, { from: start + 5_000, to: start + 10_000 }, { from: start + 20_000, to: null });
  assert.deepEqual([twice.nodes[0]?.outages, twice.nodes[0]?.offlineMs], [1, 10_000], 'back, and away by itself');

  const joined = reportOf({ from: FROM - HOUR_MS, to: null, awayMs: 0 }).nodes[0];
  assert.deepEqual([joined?.uptimePct, joined?.outages], [100, 0], 'a joined row that spans the downtime');
});
