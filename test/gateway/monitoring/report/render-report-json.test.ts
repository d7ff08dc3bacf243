import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reportJsonPieces } from '../../../../src/gateway/monitoring/report/render-report-json.ts';
import { buildReport } from '../../../../src/gateway/monitoring/report/report.ts';
import { harmlessJson } from '../../../../src/shared/text.ts';
import { hostileReport } from './hostile-names.ts';
import { FROM, sampleInput, TO } from './report-fixture.ts';

test('the pieces together are the JSON of the report, for no node, one and many, whatever they are called', () => {
  const input = sampleInput();
  const reports = [
    buildReport({ from: FROM, to: TO, rows: [] }),
    buildReport({ ...input, rows: input.rows.slice(0, 1) }),
    buildReport(input),
    hostileReport(),
  ];
  for (const report of reports) {
    assert.equal([...reportJsonPieces(report)].join(''), `${harmlessJson(report, 2)}\n`);
  }
});
