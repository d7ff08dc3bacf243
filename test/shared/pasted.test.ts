import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { describeForeign, shellQuote, trimPasted } from '../../src/shared/text.ts';

test('blanks, line ends, marks without width and quotes around a text go; inside they stay', () => {
  for (const around of ['\r\n', '\ufeff', '\u00a0', '\u200b\u200e', '\t ', '“', '‘', '«', '"', '`', '\u2028', '\u3000'])
    assert.equal(trimPasted(`${around}web-1${around}`), 'web-1', JSON.stringify(around));
  for (const text of ['', ' ', '“”']) assert.equal(trimPasted(text), '');
  for (const text of ['-web-', 'a b', 'a\u200bb', '@role=web&@online', 'é']) assert.equal(trimPasted(text), text);
});

test('the first character that does not belong is shown so that it can be found', () => {
  const allowed = /[a-z-]/;
  for (const [text, shown] of [
    ['web-', undefined],
    ['web\u2013one', 'U+2013 EN DASH at position 4'],
    ['w\u200bb', 'U+200B ZERO WIDTH SPACE at position 2'],
    ['a\rb', 'U+000D CARRIAGE RETURN at position 2'],
    ['a b', 'U+0020 SPACE at position 2'],
    ['\u{1f600}', '"\u{1f600}" (U+1F600) at position 1'],
    ['a\u001bb', 'U+001B at position 2'],
    ['a\u0301', 'U+0301 at position 2'],
    ['aÄ', '"Ä" (U+00C4) at position 2'],
    ['aB', '"B" at position 2'],
  ] as const)
    assert.equal(describeForeign(text, allowed), shown, JSON.stringify(text));
});

test('a quoted word is read back by a shell as it was', () => {
  for (const text of ['gw.example.org:22', '7k3f-9m2q', 'a@b', '/srv/x']) assert.equal(shellQuote(text), text);
  const word = fc.string({
    unit: fc.constantFrom('a', ' ', "'", '"', '$', '`', '\\', '*', '[', ']', '!', '~', '#', ';', '\n', 'é'),
  });
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 20 }), (words) => {
      const script = `printf '%s\\0' ${words.map(shellQuote).join(' ')}`;
      const { stdout } = spawnSync('sh', ['-c', script], { encoding: 'utf8' });
      assert.equal(stdout, words.map((each) => `${each}\0`).join(''));
    }),
    { numRuns: 40 },
  );
});
