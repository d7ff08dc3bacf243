import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderReportCsv } from '../../../../src/gateway/monitoring/report/render-report-csv.ts';
import { renderReportHtml } from '../../../../src/gateway/monitoring/report/render-report-html.ts';
import { reportJsonPieces } from '../../../../src/gateway/monitoring/report/render-report-json.ts';
import { renderReportMarkdown } from '../../../../src/gateway/monitoring/report/render-report-markdown.ts';
import { renderReportText } from '../../../../src/gateway/monitoring/report/render-report-text.ts';
import { OBEYED } from '../../../support/hostile-answers.ts';
import { hostileReport } from './hostile-names.ts';

test('no format of a report carries what a terminal would obey, whatever nodes are called and say', () => {
  const report = hostileReport();
  const texts = [
    renderReportCsv(report).replaceAll('\r\n', '\n'),
    renderReportHtml(report),
    [...reportJsonPieces(report)].join(''),
    renderReportMarkdown(report),
    renderReportText(report),
  ];
  for (const text of texts) assert.doesNotMatch(text, OBEYED);
});
