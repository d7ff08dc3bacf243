import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import { createTerminalStyle, plainStyle } from '../../../src/cli/output/print.ts';
import { formatTable, right } from '../../../src/cli/output/table.ts';
import { textWidth } from '../../../src/shared/text-width.ts';

const COLUMNS = ['NAME', right('RTT'), 'LABELS'];

function sized(columns?: number, style = plainStyle) {
  return { style, size: () => (columns === undefined ? undefined : { columns, rows: 24 }) };
}

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
      ['A', 'B'],
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
  const text = formatTable(['A', 'B'], [[{ text: 'on', paint: green }, 'x']], {
    style: { bold },
    size: () => undefined,
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

test('is cut to the width of a terminal: the widest text first, figures last', () => {
  const rows = [
    ['node-1', '12 ms', 'a=1,b=2,c=3,d=4'],
    ['a-rather-long-name', '3 ms', 'x'],
  ];
  const lines = (width?: number) => formatTable(COLUMNS, rows, sized(width)).trimEnd().split('\n');
  assert.deepEqual(lines(), lines(42));
  assert.deepEqual(lines(34), [
    'NAME             RTT  LABELS',
    'node-1         12 ms  a=1,b=2,c=3…',
    'a-rather-lon…   3 ms  x',
  ]);
  assert.deepEqual(lines(20), ['NAME          RTT  …', 'node-1      12 ms  …', 'a-rather-…   3 ms  x']);
  assert.deepEqual(lines(5), ['NAME', 'node…', 'a-ra…']);
});

test('no line of a table is wider than the terminal, in colour or not', () => {
  const style = createTerminalStyle({ isTTY: true, env: {} });
  const cell = fc.string({ unit: 'grapheme', maxLength: 30 });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(cell, cell, cell), { maxLength: 4 }),
      fc.integer({ min: 1, max: 60 }),
      (rows, width) => {
        const painted = rows.map(([a, b, c]) => [a, b, { text: c, paint: style.green }]);
        const lines = formatTable(COLUMNS, painted, sized(width, style)).split('\n');
        assert.equal(lines.length, rows.length + 2);
        for (const line of lines) assert.ok(textWidth(stripVTControlCharacters(line)) <= width, JSON.stringify(line));
      },
    ),
    { numRuns: 500 },
  );
});
