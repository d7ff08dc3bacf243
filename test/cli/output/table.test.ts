import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatTable } from '../../../src/cli/output/table.ts';
import { createTerminalStyle } from '../../../src/cli/output/terminal-style.ts';
import { textWidth } from '../../../src/cli/output/text-width.ts';

const COLUMNS = [{ header: 'NAME' }, { header: 'RTT', align: 'right' as const }, { header: 'LABELS' }];

test('columns are aligned, without trailing blanks; an empty cell reads -', () => {
  assert.equal(
    formatTable(COLUMNS, [
      ['node-1', '12 ms', 'role=db'],
      ['a', '3 ms', ''],
      ['b', '', 'x'],
    ]),
    ['NAME      RTT  LABELS', 'node-1  12 ms  role=db', 'a        3 ms  -', 'b           -  x', ''].join('\n'),
  );
});

test('a table without rows is its header', () => assert.equal(formatTable(COLUMNS, []), 'NAME  RTT  LABELS\n'));

test('wide characters take two columns, combining ones none', () => {
  assert.equal(
    formatTable(
      [{ header: 'A' }, { header: 'B' }],
      [
        ['日本', 'x'],
        ['e\u0301', 'y'],
      ],
    ),
    'A     B\n日本  x\ne\u0301     y\n',
  );
});

test('colour does not disturb the alignment', () => {
  const { green, bold } = createTerminalStyle({ isTTY: true, env: {} });
  const text = formatTable([{ header: 'A' }, { header: 'B' }], [[{ text: 'on', paint: green }, 'x']], {
    paintHeader: bold,
  });
  assert.equal(text, `${bold('A')}   ${bold('B')}\n${green('on')}  x\n`);
});

test('a cell cannot steer the terminal or break the line', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' }), { maxLength: 3 }), (cells) => {
      const lines = formatTable(COLUMNS, [cells]).split('\n');
      assert.equal(lines.length, 3);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there
      assert.doesNotMatch(lines.join(''), /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
      assert.ok(lines.every((line) => line === line.trimEnd()));
    }),
    { numRuns: 1_000 },
  );
});

test('text width', () => {
  assert.equal(textWidth(''), 0);
  assert.equal(textWidth('größe'), 5);
  assert.equal(textWidth('한국어'), 6);
  assert.equal(textWidth('🚀'), 2);
  assert.equal(textWidth('a\u200bb'), 2);
});
