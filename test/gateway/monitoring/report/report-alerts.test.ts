import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import type { AlertRow } from '../../../../src/gateway/monitoring/alerts/tables.ts';
import { readReportAlerts } from '../../../../src/gateway/monitoring/report/gather.ts';
import { MOST_ALERTS } from '../../../../src/gateway/monitoring/report/model.ts';
import { alertCountWords, alertLines } from '../../../../src/gateway/monitoring/report/words.ts';
import { Store } from '../../../../src/gateway/store.ts';
import { cleanUp, tempFolder } from '../../../support/temp-folder.ts';
import { alert, buildReport, FROM, render, sampleInput, TO } from './report-fixture.ts';

const HOUR_MS = 3_600_000;
const PERIOD = { from: FROM, to: TO };
const NODES = [{ id: 'id-a' }, { id: 'id-b' }];

async function storeWith(t: Parameters<typeof tempFolder>[0], rows: Partial<AlertRow>[]): Promise<Store> {
  const store = new Store(path.join(tempFolder(t), 'fleet.db'));
  cleanUp(t, () => store.close());
  await store.write(() => {
    rows.forEach((row, index) => {
      const id = `alert${index}`;
      store.alerts.put({
        id,
        rule: id,
        severity: 'warning',
        nodeId: 'id-a',
        nodeName: 'a',
        state: 'firing',
        since: TO - HOUR_MS,
        clearSince: null,
        firedAt: TO - HOUR_MS,
        resolvedAt: null,
        summary: 'something',
        reason: null,
        isNotified: true,
        ...row,
      });
    });
  });
  return store;
}

const over = (since: number, end: number): Partial<AlertRow> => ({
  state: 'resolved',
  since,
  firedAt: since,
  resolvedAt: end,
});

test('alerts within the period: firing first, then critical, then longest; of no other node or time', async (t) => {
  const store = await storeWith(t, [
    { rule: 'short', ...over(TO - 2 * HOUR_MS, TO - HOUR_MS) },
    { rule: 'long', nodeId: 'id-b', nodeName: 'b', ...over(FROM - HOUR_MS, TO - HOUR_MS) },
    { rule: 'critical', severity: 'critical', ...over(TO - 3, TO - 2) },
    { rule: 'firing', since: TO - 5 },
    { rule: 'firing-critical', severity: 'critical', since: TO - 5 },
    { rule: 'of-a-clock-that-was-ahead', since: TO + HOUR_MS, firedAt: TO + HOUR_MS },
    { rule: 'pending', state: 'pending', firedAt: null },
    { rule: 'before', ...over(FROM - 2 * HOUR_MS, FROM - HOUR_MS) },
    { rule: 'removed', nodeId: 'id-c', nodeName: 'c' },
  ]);
  const { worst, totals, countsOf } = readReportAlerts(store, NODES, PERIOD);
  assert.deepEqual(
    worst.map(({ rule }) => rule),
    ['firing-critical', 'firing', 'of-a-clock-that-was-ahead', 'critical', 'long', 'short'],
  );
  assert.deepEqual(totals, { fired: 6, firing: 3, critical: 1 });
  assert.deepEqual(
    ['id-a', 'id-b', 'id-c'].map((id) => countsOf(id)),
    [
      { fired: 5, firing: 3 },
      { fired: 1, firing: 0 },
      { fired: 0, firing: 0 },
    ],
  );
  const { since, until, durationMs, node, state } = worst[4] ?? alert({});
  assert.deepEqual(
    [node, state, since, until, durationMs],
    ['b', 'resolved', new Date(FROM - HOUR_MS).toISOString(), new Date(TO - HOUR_MS).toISOString(), TO - FROM],
  );
  assert.ok(worst.every(({ durationMs: ms }) => ms >= 0));
});

test('silenced: now, or so that it was never sent', async (t) => {
  const store = await storeWith(t, [
    { rule: 'quiet', isNotified: false },
    { rule: 'loud' },
    { rule: 'was-quiet', isNotified: false, ...over(TO - 10, TO - 5) },
    { rule: 'was-loud', ...over(TO - 10, TO - 5) },
  ]);
  await store.write(() =>
    store.silences.put({
      id: 's',
      kind: 'rule',
      target: 'quiet',
      label: 'quiet',
      until: TO + HOUR_MS,
      reason: null,
      createdBy: 'x',
      createdAt: FROM,
    }),
  );
  const { worst } = readReportAlerts(store, NODES, PERIOD);
  assert.deepEqual(Object.fromEntries(worst.map(({ rule, silenced }) => [rule, silenced])), {
    quiet: true,
    loud: false,
    'was-quiet': true,
    'was-loud': false,
  });
});

test('a bad night does not fill the report: it shows the worst and how many more', async (t) => {
  const rows = Array.from({ length: 1_000 }, (_, index) => ({
    nodeId: index === 0 ? 'id-b' : 'id-a',
    since: TO - 1 - index,
  }));
  const store = await storeWith(t, rows);
  const alerts = readReportAlerts(store, NODES, PERIOD);
  assert.deepEqual([alerts.worst.length, alerts.totals.fired], [MOST_ALERTS, 1_000]);
  assert.equal(alerts.worst[0]?.durationMs, 1_000);
  const report = buildReport({ ...sampleInput(), alerts });
  const shownBy = (document: string) => document.match(/something/g)?.length ?? 0;
  const text = render(report, 'text');
  assert.equal(shownBy(text), 20);
  assert.match(text, /\n {2}- and 980 more alerts: see fleet alerts\n/);
  const markdown = render(report, 'md');
  assert.equal(shownBy(markdown), 50);
  assert.match(markdown, /and 950 more alerts/);
  const page = render(report, 'html');
  assert.equal(shownBy(page), 50);
  assert.match(page, /950 more alerts/);
});

test('every format shows alerts, and no section without any', () => {
  const report = buildReport(sampleInput());
  const quiet = buildReport({ ...sampleInput(), alerts: undefined });
  assert.equal(alertCountWords(report), '2 alerts: 1 firing, 1 of them critical');
  assert.deepEqual(alertLines(report, 9), [
    'CRITICAL offline on laptop-maria, firing since 2026-01-31 02:30 UTC (7h): offline: no session',
    'WARNING disk on build-1, from 2026-01-31 02:30 UTC for 4h, silenced: diskUsedPct 93.9 (limit 90)',
  ]);
  assert.match(render(report, 'text'), /\nAlerts\n {2}- CRITICAL offline on laptop-maria, firing since/);
  assert.match(render(report, 'md'), /\n## Alerts\n\n- CRITICAL offline on laptop-maria/);
  assert.match(render(report, 'html'), /<h2>Alerts<\/h2>.*<td>laptop-maria<\/td>/s);
  for (const format of ['text', 'md', 'html'] as const) {
    assert.match(render(quiet, format), format === 'html' ? /<title>/ : /no alerts/);
    assert.doesNotMatch(render(quiet, format), /\nAlerts\n|## Alerts|<h2>Alerts/);
  }
});

test('a table of nodes counts the alerts of each', () => {
  const input = sampleInput();
  const rows = input.rows.map((row) => (row.name === 'db-1' ? { ...row, alerts: { fired: 3, firing: 2 } } : row));
  const [head = '', ...lines] = render(buildReport({ ...input, rows }), 'csv').split('\r\n');
  const column = head.split(',').indexOf('alerts');
  assert.equal(head.split(',')[column + 1], 'alerts_firing');
  const cells = lines.find((line) => line.startsWith('db-1,'))?.split(',') ?? [];
  assert.deepEqual(cells.slice(column, column + 2), ['3', '2']);
});
