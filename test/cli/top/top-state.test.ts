import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeKeys } from '../../../src/cli/top/screen.ts';
import { FIRST_STATE, pressKey, SORT_LETTERS, type TopState, visibleNodes } from '../../../src/cli/top/top-state.ts';
import { nodeView } from './nodes.ts';

const STATE: TopState = {
  ...FIRST_STATE,
  nodes: [
    nodeView('web-1', { cpuPct: 10, rttMs: null }),
    nodeView('web-2', { cpuPct: 90, status: 'limited' }),
    nodeView('db', { cpuPct: null, status: 'offline', rttMs: 9 }),
  ],
};

/** What is left after these keys; undefined when they ended it. */
function press(keys: string, state: TopState = STATE): TopState | undefined {
  let present: TopState | undefined = state;
  for (const key of decodeKeys(keys)) present = present && pressKey(present, key, 2);
  return present;
}

function names(keys: string): string[] {
  const state = press(keys);
  assert.ok(state);
  return visibleNodes(state).map(({ name }) => name);
}

test('the worst first; any figure, largest first; r and the same key again turn it around', () => {
  assert.deepEqual(names(''), ['db', 'web-2', 'web-1']);
  assert.deepEqual(names('n'), ['db', 'web-1', 'web-2']);
  assert.deepEqual(names('c'), ['web-2', 'web-1', 'db']);
  assert.deepEqual(names('cc'), ['web-1', 'web-2', 'db'], 'who has no figure stays last');
  assert.deepEqual(names('cr'), names('cc'));
  assert.deepEqual(names('t'), ['db', 'web-2', 'web-1']);
  assert.deepEqual(names('nr'), ['web-2', 'web-1', 'db']);
});

test('the filter: letters that are keys elsewhere are letters in it; Enter keeps it, Esc drops it', () => {
  assert.deepEqual(names('n/web'), ['web-1', 'web-2']);
  assert.deepEqual(names('/WEB lim\r'), ['web-2']);
  assert.equal(press('/q')?.filter, 'q');
  assert.equal(press('/webx\u007f\r')?.filter, 'web');
  assert.equal(press('/web\u001b')?.filter, '');
  assert.equal(press('/web\r\u001b')?.filter, '');
  assert.equal(press('/web\u0003'), undefined, 'Ctrl-C ends it all the same');
});

test('the selection moves within what is shown, and stays at its ends', () => {
  assert.equal(press('nj')?.selected, 'db');
  assert.equal(press('njj')?.selected, 'web-1');
  assert.equal(press('nk')?.selected, 'web-2', 'from nothing, up is the last');
  assert.equal(press('njjjjjj')?.selected, 'web-2');
  assert.equal(press('n\u001b[F\u001b[H')?.selected, 'db');
  assert.equal(press('n\u001b[H\u001b[6~')?.selected, 'web-2');
  assert.equal(press('/nobody\rj')?.selected, undefined);
  assert.equal(press('nj\r')?.details, true);
});

test('q and Ctrl-C end it; help goes away with any key', () => {
  assert.equal(press('q'), undefined);
  assert.equal(press('\u0003'), undefined);
  assert.equal(press('?')?.help, true);
  assert.equal(press('?q')?.help, false);
});

test('no keys whatever break it', () => {
  const keys = fc.string({
    unit: fc.constantFrom(...Object.keys(SORT_LETTERS), '/', 'r', 'j', 'k', '?', '\r', '\u001b', 'x'),
  });
  fc.assert(
    fc.property(keys, (typed) => {
      const state = press(typed);
      if (state?.selected !== undefined) assert.ok(STATE.nodes?.some(({ name }) => name === state.selected));
    }),
  );
});
