import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { boundLogLine, formatLogLine } from '../../src/shared/logger.ts';
import { harmlessJson, harmlessLine, stripControl, stripControlInLines } from '../../src/shared/text.ts';
import { OBEYED, UNPRINTABLE } from '../support/hostile-answers.ts';

test('time, level, message, facts, and the error', () => {
  const record = {
    time: '2026-01-02T03:04:05.678Z',
    level: 'warn',
    msg: 'tunnel is down',
    node: 'web 1',
    n: 3,
    err: { message: 'gone', stack: 'x' },
  };
  assert.equal(formatLogLine(JSON.stringify(record)), '03:04:05 warn  tunnel is down node="web 1" n=3 error=gone\n');
});

test('whatever comes in, exactly one harmless line comes out', () => {
  const line = (text: string): void => {
    const formatted = formatLogLine(text);
    assert.ok(formatted.endsWith('\n'));
    assert.equal(stripControl(formatted.slice(0, -1)), formatted.slice(0, -1));
  };
  fc.assert(fc.property(fc.string({ unit: 'binary' }), line));
  fc.assert(fc.property(fc.jsonValue(), (value) => line(JSON.stringify(value))));
  line('null');
});

test('escape sequences, line breaks and direction overrides do not survive', () => {
  assert.equal(stripControl('a\u001b[31mb\r\nc\u202ed\u009b0m'), 'a\ufffd[31mb\ufffd\ufffdc\ufffdd\ufffd0m');
  assert.equal(stripControl('Grüße, 世界 🚀'), 'Grüße, 世界 🚀');
});

test('a line as it is stored is bounded, harmless, and the same JSON', () => {
  const short = `${JSON.stringify({ level: 'info', msg: 'x', node: '\u009b31m\u202e' })}\n`;
  assert.doesNotMatch(boundLogLine(short).trimEnd(), OBEYED);
  assert.deepEqual(JSON.parse(boundLogLine(short)), JSON.parse(short));
  const long = [
    { level: 'warn', time: 't', msg: 'm', err: { message: 'x'.repeat(1e6), stack: 'y'.repeat(1e6) }, code: 'busy' },
    { level: 'warn', time: 't', msg: 'm', refused: Array(100_000).fill('run') },
    { level: 'warn', time: 't', msg: 'm', a: Array(50).fill(Array(50).fill('x'.repeat(1000))) },
    { level: 'warn', time: 't', msg: 'm'.repeat(1e6), ['k'.repeat(1e6)]: 1 },
  ];
  for (const record of long) {
    const stored = boundLogLine(`${JSON.stringify(record)}\n`);
    assert.ok(stored.length <= 8192 + 1 && stored.endsWith('\n'));
    const { level, time, cutFrom } = JSON.parse(stored) as Record<string, unknown>;
    assert.deepEqual({ level, time }, { level: 'warn', time: 't' });
    assert.ok(Number(cutFrom) > 8192);
  }
  assert.ok(boundLogLine('no json '.repeat(10_000)).length <= 8192 + 1);
});

test('zero width, marks, separators of lines and a BOM do not survive either, nor in JSON', () => {
  assert.doesNotMatch(stripControl(UNPRINTABLE), OBEYED);
  const value = { text: UNPRINTABLE, [UNPRINTABLE]: ['\ud800'] };
  assert.doesNotMatch(harmlessJson(value), OBEYED);
  assert.deepEqual(JSON.parse(harmlessJson(value)), value);
  assert.equal(stripControlInLines('a\tb\r\nc\u009b\u001b\n'), 'a\tb\r\nc\ufffd\ufffd\n');
});

test('a message of another machine is one line of at most 1 KiB', () => {
  const line = harmlessLine(`first\nsecond${UNPRINTABLE}${'😀'.repeat(10_000)}`);
  assert.ok(line.startsWith('first second') && line.length <= 1024 && line.endsWith('…'));
  assert.doesNotMatch(line, OBEYED);
});
