import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diffOutputs, type OutputGroup } from '../../../src/cli/output/gather.ts';
import { createTerminalStyle } from '../../../src/cli/output/print.ts';

function group(nodes: string[], content: string | Buffer): OutputGroup {
  return { nodes, content: Buffer.from(content as string) };
}

test('every other group is compared with the largest', async () => {
  const text = await diffOutputs([
    group(['node-1', 'node-2', 'node-3', 'node-7'], 'a\nb\nc\n'),
    group(['node-4', 'node-5'], 'a\nB\nc\n'),
    group(['node-6'], 'a\nb\nc\nd\n'),
  ]);
  assert.equal(
    text,
    [
      '--- node-[1-3,7]',
      '+++ node-[4-5]',
      '@@ -1,3 +1,3 @@',
      ' a',
      '-b',
      '+B',
      ' c',
      '--- node-[1-3,7]',
      '+++ node-6',
      '@@ -1,3 +1,4 @@',
      ' a',
      ' b',
      ' c',
      '+d',
      '',
    ].join('\n'),
  );
});

test('a missing last newline is told', async () => {
  assert.match(await diffOutputs([group(['a'], 'x\n'), group(['b'], 'x')]), /^\\ No newline at end of file$/m);
});

test('silence is compared too', async () => {
  assert.match(await diffOutputs([group(['a'], 'x\n'), group(['b'], '')]), /^-x$/m);
});

test('one group or none has no difference', async () => {
  assert.equal(await diffOutputs([]), '');
  assert.equal(await diffOutputs([group(['a'], 'x\n')]), '');
});

test('output that is not text is only said to differ', async () => {
  const text = await diffOutputs([group(['a', 'b'], 'x\n'), group(['c'], Buffer.from([255, 254]))]);
  assert.equal(text, 'Binary outputs of [a-b] and c differ\n'.replace('[a-b]', 'a,b'));
  const withNul = await diffOutputs([group(['a'], 'x\n'), group(['b'], 'x\0\n')]);
  assert.equal(withNul, 'Binary outputs of a and b differ\n');
});

test('outputs that have little in common do not take for ever', async () => {
  const lines = (seed: number) => Array.from({ length: 20_000 }, (_, index) => `${index * seed}x`).join('\n');
  const text = await diffOutputs([group(['a', 'b'], lines(3)), group(['c'], lines(5))]);
  assert.match(text, /^Outputs of a,b and c differ in more than \d+ lines\n$/);
});

test('colour marks what was removed and added, and content that looks like a header', async () => {
  const style = createTerminalStyle({ isTTY: true, env: {} });
  const lines = (await diffOutputs([group(['a'], 'x\n-- y\n'), group(['b'], 'z\n')], style)).split('\n');
  assert.deepEqual(lines.slice(0, 3), [style.bold('--- a'), style.bold('+++ b'), style.cyan('@@ -1,2 +1,1 @@')]);
  assert.deepEqual(lines.slice(3).sort(), [style.red('-x'), style.red('--- y'), style.green('+z'), ''].sort());
});
