import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DEFAULT_HEALTH_THRESHOLDS } from '../../../../src/gateway/monitoring/judge/limits.ts';
import { escapeMarkdown, wrap } from '../../../../src/gateway/monitoring/report/text.ts';
import { fitText, textWidth } from '../../../../src/shared/text-width.ts';
import { HOSTILE, hostileReport } from './hostile-names.ts';
import { buildReport, FROM, render, sampleInput, TO } from './report-fixture.ts';

test('no line is wider than 80 columns or holds a control character, whatever the nodes are called', () => {
  for (const report of [buildReport(sampleInput()), hostileReport()]) {
    const text = render(report, 'text');
    assert.ok(text.endsWith('\n'));
    for (const line of text.slice(0, -1).split('\n')) {
      assert.ok(textWidth(line) <= 80, line);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: it must match control characters
      assert.doesNotMatch(line, /[\u0000-\u001f\u007f-\u009f\u202e]/);
    }
  }
});

test('text has one row a node, worst first, and details only for those that need attention', () => {
  const text = render(buildReport(sampleInput()), 'text');
  const rows = text.split('\n').filter((line) => /^\S+ +(online|limited|offline) /.test(line));
  assert.equal(rows.length, 12);
  assert.match(rows[0] ?? '', /^laptop-maria +offline +68\.05%/);
  assert.match(rows[1] ?? '', /^build-1 +limited +100%/);
  const details = text.slice(text.indexOf('Needs attention'));
  assert.match(details, /laptop-maria \(offline\)\n {2}- no session\n/);
  assert.match(details, /not back yet/);
  assert.doesNotMatch(details, /web-1/);
});

test('a fleet without nodes has a report of a few lines', () => {
  const text = render(buildReport({ from: FROM, to: TO, rows: [], limits: DEFAULT_HEALTH_THRESHOLDS }), 'text');
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
  const text = render(buildReport({ ...input, rows: [{ ...row, sessions }] }), 'text');
  assert.equal(text.match(/offline from/g)?.length, 5);
  assert.match(text, /and 95 shorter incidents/);
});

/** Cells of a row, parted at the pipes that are not escaped. */
const cellsOf = (line: string) => line.split(/(?<!\\)\|/).slice(1, -1);

test('every row of the table has as many cells as its head, whatever the nodes are called', () => {
  for (const report of [buildReport(sampleInput()), hostileReport()]) {
    const rows = render(report, 'md')
      .split('\n')
      .filter((line) => line.startsWith('|'));
    assert.equal(rows.length, report.nodes.length + 2);
    for (const row of rows) assert.equal(cellsOf(row).length, 10, row);
  }
});

test('names stay text: no tag, link, mention, code or line break', () => {
  const markdown = render(hostileReport(), 'md');
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

test('Markdown has a section for each node that needs attention', () => {
  const markdown = render(buildReport(sampleInput()), 'md');
  assert.deepEqual(
    markdown.split('\n').filter((line) => line.startsWith('### ')),
    ['### laptop-maria (offline)', '### build-1 (limited)'],
  );
});

test('wide characters take two columns, combining marks none', () => {
  assert.equal(textWidth('node'), 4);
  assert.equal(textWidth('節点'), 4);
  assert.equal(textWidth('e\u0301'), 1);
  assert.equal(textWidth('🚀'), 2);
});

test('fits exactly, cut or padded', () => {
  assert.equal(fitText('abc', 5, '…'), 'abc  ');
  assert.equal(fitText('abc', 5, '…', 'right'), '  abc');
  assert.equal(fitText('abcdef', 5, '…'), 'abcd…');
  assert.equal(fitText('節点節', 5, '…'), '節点…');
});

test('wraps at spaces and breaks words that are too long', () => {
  assert.deepEqual(wrap('one two three', 7), ['one two', 'three']);
  assert.deepEqual(wrap('abcdefghij', 4), ['abcd', 'efgh', 'ij']);
  assert.deepEqual(wrap('one two', 6, { first: '- ', rest: '  ' }), ['- one', '  two']);
});

test('any text fits, and loses nothing but spaces when wrapped', () => {
  const text = fc.string({ unit: 'grapheme' }).map((raw) => raw.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, ''));
  fc.assert(
    fc.property(text, fc.integer({ min: 3, max: 40 }), (some, width) => {
      assert.equal(textWidth(fitText(some, width, '…')), width);
      const lines = wrap(some, width);
      for (const line of lines) assert.ok(textWidth(line) <= width);
      assert.equal(lines.join('').replaceAll(' ', ''), some.replaceAll(' ', ''));
    }),
  );
});
