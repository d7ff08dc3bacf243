import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OBEYED } from '../../../support/hostile-answers.ts';
import { hostileReport } from './hostile-names.ts';
import { render } from './report-fixture.ts';

test('no format of a report contains control sequences, whatever nodes are called and report', () => {
  const report = hostileReport();
  const texts = [
    render(report, 'csv').replaceAll('\r\n', '\n'),
    render(report, 'html'),
    render(report, 'json'),
    render(report, 'md'),
    render(report, 'text'),
  ];
  for (const text of texts) assert.doesNotMatch(text, OBEYED);
});
