import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FleetError } from '../../../../src/shared/errors.ts';
import { type ConnectAttempt, connectFailure } from '../../../../src/shared/ssh/connection/connect-failure.ts';

const attempt: ConnectAttempt = {
  host: 'gw.example',
  port: 18790,
  connectTimeoutMs: 10_000,
  reason: 'connect_failed',
  error: undefined,
  refusal: undefined,
  connected: false,
  identified: false,
  firstBytes: Buffer.alloc(0),
};

function failureOf(facts: Partial<ConnectAttempt>): FleetError {
  const failure = connectFailure({ ...attempt, ...facts });
  assert.ok(failure instanceof FleetError);
  return failure;
}

for (const code of [
  'ENOTFOUND',
  'EAI_AGAIN',
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
  'EWHATEVER',
]) {
  test(`${code} is an unreachable gateway, with its address in the message`, () => {
    const failure = failureOf({ error: Object.assign(new Error('system error'), { code }) });
    assert.equal(failure.code, 'gateway_unreachable');
    assert.match(failure.message, /^gw\.example:18790: /);
    assert.ok(failure.hint);
    assert.ok(failure.retryable);
  });
}

for (const code of ['ENOTFOUND', 'EAI_AGAIN']) {
  test(`${code} says which name cannot be resolved`, () => {
    const { message, facts } = failureOf({ error: Object.assign(new Error('getaddrinfo'), { code }) });
    assert.match(message, /cannot resolve gw\.example$/);
    assert.equal(facts?.unresolved, 'gw.example');
  });
}

test('an IPv6 address is written so that the port can be told from it', () => {
  assert.match(failureOf({ host: 'fe80::1' }).message, /^\[fe80::1\]:18790: /);
});

test('what a stranger said cannot write to the terminal', () => {
  const { message } = failureOf({ connected: true, firstBytes: Buffer.from('\u001b[2J\r\nhello') });
  assert.match(message, /hello/);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what must not be there
  assert.doesNotMatch(message, /[\u0000-\u001f]/);
});
