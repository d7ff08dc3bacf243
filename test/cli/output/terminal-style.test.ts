import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTerminalStyle, plainStyle, wantsColor } from '../../../src/cli/output/print.ts';

const CASES: [isTTY: boolean, env: Record<string, string>, color: boolean][] = [
  [true, {}, true],
  [false, {}, false],
  [true, { NO_COLOR: '1' }, false],
  [true, { NO_COLOR: '' }, true],
  [false, { CLICOLOR_FORCE: '1' }, true],
  [false, { CLICOLOR_FORCE: '0' }, false],
  [false, { CLICOLOR_FORCE: '1', NO_COLOR: '1' }, false],
  [false, { FORCE_COLOR: '1' }, true],
  [true, { FORCE_COLOR: '0' }, false],
  [true, { CLICOLOR: '0' }, false],
  [true, { TERM: 'dumb' }, false],
];

for (const [isTTY, env, color] of CASES) {
  test(`${isTTY ? 'terminal' : 'pipe'} ${JSON.stringify(env)}: ${color ? 'colour' : 'plain'}`, () => {
    assert.equal(wantsColor({ isTTY, env }), color);
    assert.equal(createTerminalStyle({ isTTY, env }) === plainStyle, !color);
  });
}

test('colour ends where the text ends, and nothing is not painted', () => {
  const { red } = createTerminalStyle({ isTTY: true, env: {} });
  assert.equal(red('x'), '\u001b[31mx\u001b[39m');
  assert.equal(red(''), '');
  assert.equal(plainStyle.red('x'), 'x');
});
