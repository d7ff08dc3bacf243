import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  escapeMarkdown,
  renderReportMarkdown,
} from '../../../../src/gateway/monitoring/report/render-report-markdown.ts';
import { buildReport } from '../../../../src/gateway/monitoring/report/report.ts';
import { HOSTILE, hostileReport } from './hostile-names.ts';
import { sampleInput } from './report-fixture.ts';

/** Cells of a row, parted at the pipes that are not escaped. */
const cellsOf = (line: string) => line.split(/(?<!\\)\|/).slice(1, -1);

test('every row of the table has as many cells as its head, whatever nodes call themselves', () => {
  for (const report of [buildReport(sampleInput()), hostileReport()]) {
    const rows = renderReportMarkdown(report)
      .split('\n')
      .filter((line) => line.startsWith('|'));
    assert.equal(rows.length, report.nodes.length + 2);
    for (const row of rows) assert.equal(cellsOf(row).length, 10, row);
  }
});

test('names stay text: no tag, link, mention, code or line break', () => {
  const markdown = renderReportMarkdown(hostileReport());
  assert.doesNotMatch(markdown, /<|@|:\/\//);
  assert.doesNotMatch(markdown, /(?<!\\)[`[\]]/);
  assert.doesNotMatch(markdown, /(?<!\\)\*/);
  assert.equal(markdown.split('\n').filter((line) => line.startsWith('### ')).length, HOSTILE.length);
});

test('ordinary names are left as they are', () => {
  assert.equal(escapeMarkdown('edge-1.example'), 'edge-1.example');
  assert.equal(escapeMarkdown('a_b'), 'a\\_b');
  assert.equal(escapeMarkdown('# title'), '\\# title');
});

test('has a section for each node that needs a look', () => {
  const markdown = renderReportMarkdown(buildReport(sampleInput()));
  assert.deepEqual(
    markdown.split('\n').filter((line) => line.startsWith('### ')),
    ['### laptop-maria (offline)', '### build-1 (limited)'],
  );
});
