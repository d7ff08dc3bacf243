import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LinePrefixer, LineScreen, MAX_HELD_LINE_BYTES } from '../../../src/cli/output/live-output.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemorySink } from '../../support/memory-sink.ts';

function prefix(chunks: (string | Uint8Array)[], label: string | undefined = 'n1'): MemorySink {
  const sink = new MemorySink();
  const prefixer = new LinePrefixer({ label, sink });
  for (const chunk of chunks) prefixer.write(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
  prefixer.end();
  return sink;
}

const CASES: [string, string[], string][] = [
  ['lines', ['a\nb\n'], 'n1: a\nn1: b\n'],
  ['a line in several chunks', ['a', 'b', '\nc', '\n'], 'n1: ab\nn1: c\n'],
  ['a last line without newline', ['a\nb'], 'n1: a\nn1: b\n'],
  ['empty lines', ['\n\na\n'], 'n1: \nn1: \nn1: a\n'],
  ['nothing', ['', ''], ''],
  ['a progress line', ['10%\r50%', '\r100%\n'], 'n1: 10%\rn1: 50%\rn1: 100%\n'],
  ['line ends of Windows, cut in the middle', ['a\r', '\nb\r\n'], 'n1: a\r\nn1: b\r\n'],
  ['a progress line that ends without newline', ['10%\r20%\r'], 'n1: 10%\rn1: 20%\r\n'],
];

for (const [what, chunks, expected] of CASES) {
  test(what, () => assert.equal(prefix(chunks).text, expected));
}

function prefixWithoutLabel(chunks: (string | Uint8Array)[]): MemorySink {
  const sink = new MemorySink();
  const prefixer = new LinePrefixer({ label: undefined, sink });
  for (const chunk of chunks) prefixer.write(Buffer.from(chunk));
  prefixer.end();
  return sink;
}

test('without a label nothing is added but the last newline', () => {
  assert.equal(prefixWithoutLabel(['a\r1\nb', 'c']).text, 'a\r1\nbc\n');
  assert.equal(prefixWithoutLabel(['a\n']).text, 'a\n');
});

test('each write holds whole lines, so that nodes do not mix', () => {
  const sink = new MemorySink();
  const [one, two] = ['n1', 'n2'].map((label) => new LinePrefixer({ label, sink }));
  one?.write(Buffer.from('a\nhal'));
  two?.write(Buffer.from('b\n'));
  one?.write(Buffer.from('f\n'));
  assert.equal(sink.text, 'n1: a\nn2: b\nn1: half\n');
  assert.ok(sink.writes.every((bytes) => bytes.at(-1) === 10));
});

test('a label cannot steer the terminal, and its colour stands around it', () => {
  const sink = new MemorySink();
  new LinePrefixer({ label: 'n\u001b]0;x\u0007', paint: (label) => `<${label}>`, sink }).write(Buffer.from('a\n'));
  assert.equal(sink.text, '<n\ufffd]0;x\ufffd:> a\n');
});

test('a chunk that its owner overwrites later does not change what was held', () => {
  const sink = new MemorySink();
  const prefixer = new LinePrefixer({ label: 'n1', sink });
  const chunk = Buffer.from('abc');
  prefixer.write(chunk);
  chunk.fill('x');
  prefixer.end();
  assert.equal(sink.text, 'n1: abc\n');
});

test('a very long line comes in pieces, cut at no character, with no byte lost', () => {
  const long = `x${'€'.repeat(350_000)}`;
  for (const size of [1, 1000, 65_536, 2_000_000]) {
    const bytes = Buffer.from(long);
    const count = size === 1 ? 70_000 : bytes.length;
    const chunks = Array.from({ length: Math.ceil(count / size) }, (_, at) =>
      bytes.subarray(at * size, (at + 1) * size),
    );
    const { text } = prefix(chunks);
    assert.ok(!text.includes('\ufffd') || size === 1);
    const pieces = text.split('\n');
    assert.equal(pieces.pop(), '');
    assert.ok(pieces.length > 1);
    assert.ok(pieces.every((piece) => piece.startsWith('n1: ') && Buffer.byteLength(piece) <= MAX_HELD_LINE_BYTES + 4));
    if (size > 1) assert.equal(pieces.map((piece) => piece.slice(4)).join(''), long);
  }
});

test('a very long line is not held back', () => {
  const sink = new MemorySink();
  const prefixer = new LinePrefixer({ label: 'n1', sink });
  const chunk = Buffer.alloc(10_000, 'a');
  for (let written = 0; written < 1024 * 1024; written += chunk.length) {
    prefixer.write(chunk);
    assert.ok(sink.bytes.length >= written + chunk.length - MAX_HELD_LINE_BYTES);
  }
});

test('the border of a piece does not tear \\r\\n apart', () => {
  const text = `${'a'.repeat(MAX_HELD_LINE_BYTES - 1)}\r\n`;
  assert.equal(prefixWithoutLabel([text.slice(0, -1), 'b\n']).text, `${text.slice(0, -1)}b\n`);
  assert.equal(prefix([text]).text, `n1: ${'a'.repeat(MAX_HELD_LINE_BYTES - 1)}\nn1: \r\n`);
});

test('a long run of \\r alone ends too', () => {
  const bytes = Buffer.alloc(3 * MAX_HELD_LINE_BYTES, '\r');
  assert.deepEqual(prefixWithoutLabel([bytes]).bytes, Buffer.concat([bytes, Buffer.from('\n')]));
});

test('output is the same whatever the chunk borders, and keeps every byte', () => {
  const byte = fc.oneof(fc.constantFrom(10, 13, 97), fc.integer({ min: 0, max: 255 }));
  fc.assert(
    fc.property(fc.array(fc.array(byte, { maxLength: 20 }), { maxLength: 10 }), (pieces) => {
      const chunks = pieces.map((piece) => Uint8Array.from(piece));
      const whole = Buffer.concat(chunks);
      assert.deepEqual(prefix(chunks).bytes, prefix([whole]).bytes);
      const end = whole.length === 0 || whole.at(-1) === 10 ? '' : '\n';
      assert.deepEqual(prefixWithoutLabel(chunks).bytes, Buffer.concat([whole, Buffer.from(end)]));
      const labelled = prefix(chunks, 'LABEL').bytes.toString('latin1').replaceAll('LABEL: ', '');
      assert.equal(labelled, whole.toString('latin1') + end);
    }),
    { numRuns: 500 },
  );
});

/** Writers to one screen, with a clock of their own. */
function writers(...labels: (string | undefined)[]) {
  const clock = new FakeClock();
  const sink = new MemorySink();
  const screen = new LineScreen();
  const all = labels.map((label) => new LinePrefixer({ label, sink, screen, clock }));
  const say = (index: number, text: string | Buffer): void => all[index]?.write(Buffer.from(text as string));
  return { clock, sink, say, end: (index: number) => all[index]?.end() };
}

test('a piece that ends with a carriage return is shown at once', () => {
  const { sink, say } = writers('n1');
  say(0, '10%\r');
  assert.equal(sink.text, 'n1: 10%\r');
  say(0, '20%\r');
  say(0, '\n');
  assert.equal(sink.text, 'n1: 10%\rn1: 20%\r\n');
});

test('an unfinished line is shown after 300 ms, and goes on without another label', async () => {
  const { clock, sink, say, end } = writers('n1');
  say(0, 'Password: ');
  await clock.advance(299);
  assert.equal(sink.text, '');
  await clock.advance(1);
  assert.equal(sink.text, 'n1: Password: ');
  say(0, 'ok\nnext');
  assert.equal(sink.text, 'n1: Password: ok\n');
  end(0);
  assert.equal(sink.text, 'n1: Password: ok\nn1: next\n');
  await clock.advance(1000);
  assert.equal(sink.text, 'n1: Password: ok\nn1: next\n');
});

test('dots that keep coming are shown, too', async () => {
  const { clock, sink, say } = writers('n1');
  for (let dots = 0; dots < 10; dots += 1) {
    say(0, '.');
    await clock.advance(100);
  }
  assert.ok(sink.text.startsWith('n1: ...') && sink.text.length >= 'n1: .......'.length, sink.text);
  assert.equal(sink.text.split('n1').length, 2);
});

test('when the line of another one came between, a line goes on behind its label', async () => {
  const { clock, sink, say, end } = writers('n1', 'n2');
  say(0, 'Password: ');
  await clock.advance(300);
  say(1, 'hello\n');
  say(0, 'ok\n');
  assert.equal(sink.text, 'n1: Password: \nn2: hello\nn1: ok\n');
  const before = sink.text.length;
  say(0, '50%\r');
  say(1, 'bye\n');
  say(0, '60%\r');
  end(0);
  assert.equal(sink.text.slice(before), 'n1: 50%\r\nn2: bye\nn1: 60%\r\n');
});

test('a line that another one has ended is not ended again', async () => {
  for (const rest of ['\n', '\r\n', '']) {
    const { clock, sink, say, end } = writers('n1', 'n2');
    say(0, 'prompt');
    await clock.advance(300);
    say(1, 'x\n');
    say(0, rest);
    end(0);
    say(0, 'y\n');
    assert.equal(sink.text, 'n1: prompt\nn2: x\nn1: y\n', JSON.stringify(rest));
  }
});

test('without labels, unfinished lines of two do not become one', async () => {
  const { clock, sink, say } = writers(undefined, undefined);
  say(0, 'a');
  say(1, 'b');
  await clock.advance(300);
  say(1, 'c\n');
  assert.equal(sink.text, 'a\nbc\n');
});

test('a character is never torn apart, whenever it comes', async () => {
  const { clock, sink, say, end } = writers('n1');
  for (const byte of Buffer.from('é€😀')) {
    say(0, Buffer.from([byte]));
    await clock.advance(300);
    assert.ok(!sink.text.includes('\ufffd'), JSON.stringify(sink.text));
  }
  assert.equal(sink.text, 'n1: é€😀');
  say(0, Buffer.from([0xe2]));
  await clock.advance(1000);
  end(0);
  assert.deepEqual(sink.bytes.subarray(-2), Buffer.from([0xe2, 10]), 'what never becomes one is not lost');
});

test('many writers and any pauses: each line of each one is complete, in order', async () => {
  const step = fc.tuple(fc.nat(2), fc.constantFrom('a', 'b ', 'c\n', '\n', 'dd\r\n'), fc.constantFrom(0, 100, 300));
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const { clock, sink, say, end } = writers('0', '1', '2');
      const said = ['', '', ''];
      for (const [index, text, pauseMs] of steps) {
        said[index] += text;
        say(index, text);
        await clock.advance(pauseMs);
      }
      for (const index of [0, 1, 2]) end(index);
      for (const index of [0, 1, 2]) {
        const lines = sink.text.split('\n').filter((line) => line.startsWith(`${index}: `));
        const text = lines.map((line) => line.slice(3)).join('');
        assert.equal(text.replaceAll('\r', ''), (said[index] ?? '').replaceAll(/[\r\n]/g, ''));
      }
      assert.match(sink.text, /^(?:[012]: [^\n]*\n)*$/);
    }),
  );
});
