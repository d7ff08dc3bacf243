import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_HEALTH_THRESHOLDS } from '../../../../src/gateway/monitoring/judge/derive-status.ts';
import { renderReportText } from '../../../../src/gateway/monitoring/report/render-report-text.ts';
import { buildReport } from '../../../../src/gateway/monitoring/report/report.ts';
import { columnsOf } from '../../../../src/gateway/monitoring/report/text-columns.ts';
import { hostileReport } from './hostile-names.ts';
import { FROM, sampleInput, TO } from './report-fixture.ts';

test('no line is wider than 80 columns or holds a control character, whatever nodes call themselves', () => {
  for (const report of [buildReport(sampleInput()), hostileReport()]) {
    const text = renderReportText(report);
    assert.ok(text.endsWith('\n'));
    for (const line of text.slice(0, -1).split('\n')) {
      assert.ok(columnsOf(line) <= 80, line);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: that there are none is the point
      assert.doesNotMatch(line, /[\u0000-\u001f\u007f-\u009f\u202e]/);
    }
  }
});

test('has one row a node, worst first, and details only for those that need a look', () => {
  const text = renderReportText(buildReport(sampleInput()));
  const rows = text.split('\n').filter((line) => /^\S+ +(online|limited|offline) /.test(line));
  assert.equal(rows.length, 12);
  assert.match(rows[0] ?? '', /^laptop-maria +offline +68\.05%/);
  assert.match(rows[1] ?? '', /^build-1 +limited +100%/);
  const details = text.slice(text.indexOf('What needs a look'));
  assert.match(details, /laptop-maria \(offline\)\n {2}- no session\n/);
  assert.match(details, /not back yet/);
  assert.doesNotMatch(details, /web-1/);
});

test('a fleet without nodes has a report of a few lines', () => {
  const text = renderReportText(buildReport({ from: FROM, to: TO, rows: [], limits: DEFAULT_HEALTH_THRESHOLDS }));
  assert.match(text, /no nodes/);
  assert.doesNotMatch(text, /NODE +STATUS/);
});

test('a node that flaps does not fill the mail', () => {
  const input = sampleInput();
  const [row] = input.rows;
  assert.ok(row !== undefined);
  const sessions = Array.from({ length: 100 }, (_, index) => ({
    from: FROM + index * 60_000,
    to: FROM + index * 60_000 + 30_000,
  }));
  const text = renderReportText(buildReport({ ...input, rows: [{ ...row, sessions }] }));
  assert.equal(text.match(/offline from/g)?.length, 5);
  assert.match(text, /and 95 shorter incidents/);
});
