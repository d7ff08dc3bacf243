import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatLogLine } from '../../src/shared/log-line.ts';
import { stripControl } from '../../src/shared/strip-control.ts';

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
