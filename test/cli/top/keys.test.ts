import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeKeys } from '../../../src/cli/top/screen.ts';

test('keys of a terminal, in order, several in one chunk', () => {
  assert.deepEqual(decodeKeys('\u001b[A\u001bOBq/ä\r\u007f\u0003'), [
    { name: 'up' },
    { name: 'down' },
    { text: 'q' },
    { text: '/' },
    { text: 'ä' },
    { name: 'enter' },
    { name: 'erase' },
    { name: 'quit' },
  ]);
  assert.deepEqual(decodeKeys('\u001b'), [{ name: 'escape' }]);
  assert.deepEqual(decodeKeys('\u001b[5~\u001b[6~\u001b[1~\u001bOF'), [
    { name: 'pageUp' },
    { name: 'pageDown' },
    { name: 'home' },
    { name: 'end' },
  ]);
});

test('what is not known is dropped as a whole: its letters are no keys', () => {
  assert.deepEqual(decodeKeys('\u001b[15~\u001b[1;5C\u0007\u0000'), []);
});

test('whatever comes, text that is shown has no control characters', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (chunk) => {
      for (const key of decodeKeys(chunk)) if ('text' in key) assert.doesNotMatch(key.text, /\p{Cc}/u);
    }),
  );
});
