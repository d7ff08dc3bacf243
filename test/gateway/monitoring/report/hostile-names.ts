/** A report whose names and reasons try to break out of every format. */

import type { HealthReport } from '../../../../src/gateway/monitoring/report/build.ts';
import { UNPRINTABLE } from '../../../support/hostile-answers.ts';
import { alert, buildReport, sampleInput } from './report-fixture.ts';

export const HOSTILE = [
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  "' onmouseover='alert(1)",
  '</style></title>&lt;',
  '=HYPERLINK("http://evil.example","click")',
  '+1+cmd|/C calc',
  '@SUM(A1)',
  '\t=1+1',
  '-2+3',
  'a|b | c',
  '[link](https://evil.example) `code` **bold** @someone',
  '\u001b[31mred\u001b[0m\r\nsecond line',
  'quote " comma , done',
  '\u202egnp.exe',
  UNPRINTABLE,
  'x'.repeat(300),
  '節点'.repeat(60),
] as const;

/** One node for each hostile string, as its name and as a reason, with an alert that repeats both. */
export function hostileReport(): HealthReport {
  const input = sampleInput();
  const [row] = input.rows;
  if (row === undefined) throw new Error('the fixture has rows');
  const rows = HOSTILE.map((name) => ({ ...row, name, status: 'limited' as const, reasons: [name] }));
  const worst = HOSTILE.map((name) => alert({ node: name, summary: name, reason: name }));
  const totals = { fired: HOSTILE.length, firing: HOSTILE.length, critical: HOSTILE.length };
  return buildReport({ ...input, rows, alerts: { totals, worst } });
}
