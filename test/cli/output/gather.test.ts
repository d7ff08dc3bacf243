import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GatheredOutput, printGroups } from '../../../src/cli/output/gather.ts';
import type { StreamName } from '../../../src/cli/output/print.ts';
import { MemorySink } from '../../support/memory-sink.ts';

const RULE = '---------------';

function gather(outputs: [node: string, stream: StreamName, ...chunks: string[]][]): GatheredOutput {
  const gatherer = new GatheredOutput();
  for (const [node, stream, ...chunks] of outputs) {
    for (const chunk of chunks) gatherer.write(node, stream, Buffer.from(chunk));
  }
  for (const node of new Set(outputs.map(([name]) => name))) gatherer.finish(node);
  return gatherer;
}

function print(gatherer: GatheredOutput): { stdout: string; stderr: string } {
  const sinks = { stdout: new MemorySink(), stderr: new MemorySink() };
  printGroups(gatherer, sinks);
  return { stdout: sinks.stdout.text, stderr: sinks.stderr.text };
}

test('equal output is printed once under folded names, the largest group first, then by name', () => {
  const { stdout, stderr } = print(
    gather([
      ['node-10', 'stdout', 'odd\n'],
      ['node-9', 'stdout', 'strange\n'],
      ['node-7', 'stdout', 'x\ny\n'],
      ['node-1', 'stdout', 'x\n', 'y\n'],
      ['node-3', 'stdout', 'x', '\ny', '\n'],
      ['node-2', 'stdout', 'x\ny\n'],
    ]),
  );
  assert.equal(
    stdout,
    [RULE, 'node-[1-3,7] (4)', RULE, 'x', 'y', RULE, 'node-9', RULE, 'strange', RULE, 'node-10', RULE, 'odd', ''].join(
      '\n',
    ),
  );
  assert.equal(stderr, '');
});

test('stderr is grouped apart and goes to stderr; silence is not printed', () => {
  const { stdout, stderr } = print(
    gather([
      ['n1', 'stdout', 'ok\n'],
      ['n1', 'stderr', 'bad\n'],
      ['n2', 'stderr', 'bad\n'],
      ['n3', 'stderr', 'worse\n'],
    ]),
  );
  assert.equal(stdout, `${RULE}\nn1\n${RULE}\nok\n`);
  assert.equal(stderr, `${RULE}\nn[1-2] (2): stderr\n${RULE}\nbad\n${RULE}\nn3: stderr\n${RULE}\nworse\n`);
});

test('what is no text is described, not printed', () => {
  const gatherer = new GatheredOutput();
  gatherer.write('a', 'stdout', Buffer.from([0xff, 0x1b, 0x0e]));
  gatherer.write('b', 'stdout', Buffer.from('x\0y'));
  for (const node of ['a', 'b']) gatherer.finish(node);
  const { stdout } = print(gatherer);
  const lines = stdout.split('\n').filter((line) => line.startsWith('binary'));
  assert.equal(lines.length, 2);
  for (const line of lines) assert.match(line, /^binary output, 3 bytes, sha256 [0-9a-f]{64}$/);
  assert.ok(!stdout.includes('\u001b') && !stdout.includes('\0'));
});

test('a missing last newline is added, so that the next header begins a line', () => {
  const { stdout } = print(
    gather([
      ['n1', 'stdout', 'a'],
      ['n2', 'stdout', 'b\n'],
    ]),
  );
  assert.equal(stdout, `${RULE}\nn1\n${RULE}\na\n${RULE}\nn2\n${RULE}\nb\n`);
});

test('bytes that are not text are kept', () => {
  const gatherer = new GatheredOutput();
  const bytes = Buffer.from([0, 255, 10, 13, 254]);
  gatherer.write('n1', 'stdout', bytes);
  gatherer.finish('n1');
  assert.deepEqual(gatherer.groups('stdout')[0]?.content, bytes);
});

test('a node that said nothing is in the group of empty content', () => {
  const gatherer = gather([
    ['n1', 'stdout', 'a\n'],
    ['n2', 'stdout'],
    ['n3', 'stdout', ''],
  ]);
  assert.deepEqual(
    gatherer.groups('stdout').map(({ nodes, content }) => [nodes.join(' '), content.toString()]),
    [
      ['n2 n3', ''],
      ['n1', 'a\n'],
    ],
  );
});

test('equal length is not equal output', () => {
  assert.equal(
    gather([
      ['n1', 'stdout', 'ab'],
      ['n2', 'stdout', 'ba'],
      ['n3', 'stdout', 'ab'],
    ]).groups('stdout').length,
    2,
  );
});

test('a chunk that its owner overwrites later does not change what was gathered', () => {
  const gatherer = new GatheredOutput();
  const chunk = Buffer.from('abc');
  gatherer.write('n1', 'stdout', chunk);
  chunk.fill('x');
  gatherer.finish('n1');
  assert.equal(gatherer.groups('stdout')[0]?.content.toString(), 'abc');
});

test('a node name cannot steer the terminal', () => {
  assert.equal(print(gather([['n\u001b[2J', 'stdout', 'a\n']])).stdout, `${RULE}\nn\ufffd[2J\n${RULE}\na\n`);
});

test('nodes are together exactly when their bytes are equal, whatever the chunks', () => {
  const content = fc.array(fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 2 }), { maxLength: 3 });
  fc.assert(
    fc.property(fc.array(content, { maxLength: 12 }), (contents) => {
      const gatherer = gather(contents.map((chunks, index) => [`n${index}`, 'stdout', ...chunks]));
      const expected = Map.groupBy(contents.keys(), (index) => (contents[index] ?? []).join(''));
      const groups = gatherer.groups('stdout');
      assert.equal(groups.length, expected.size);
      for (const group of groups) {
        const indices = expected.get(group.content.toString()) ?? [];
        assert.deepEqual(
          group.nodes,
          indices.map((index) => `n${index}`),
        );
      }
    }),
  );
});
