import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERROR_CODES, type ErrorCode, FleetError, systemErrorCode, toFleetError } from '../../src/shared/errors.ts';
import { httpStatusOf } from '../../src/shared/http/http-status.ts';

test('JSON of an error is its code, its message and its hint, and nothing else', () => {
  const bare = new FleetError('busy', 'full', { facts: { secret: 1 }, cause: new Error('inner') });
  assert.equal(JSON.stringify(bare), '{"code":"busy","message":"full"}');
  const hinted = new FleetError('busy', 'full', { hint: 'wait' });
  assert.equal(JSON.stringify(hinted), '{"code":"busy","message":"full","hint":"wait"}');
});

test('anything thrown becomes a FleetError, its own kind unchanged', () => {
  const own = new FleetError('timeout', 'late');
  assert.equal(toFleetError(own), own);
  for (const thrown of [new TypeError('x'), 'text', undefined, null, 7]) {
    const error = toFleetError(thrown);
    assert.equal(error.code, 'internal');
    assert.equal(error.cause, thrown);
  }
  assert.equal(systemErrorCode({ code: 'ENOENT' }), 'ENOENT');
  for (const thrown of [null, undefined, 'ENOENT', { code: 5 }, {}]) assert.equal(systemErrorCode(thrown), undefined);
});

test('what a service manager must not repeat is never retryable', () => {
  const permanent: ErrorCode[] = [
    'key_revoked',
    'invite_invalid',
    'not_paired',
    'pairing_rejected',
    'host_key_changed',
    'gateway_not_proven',
    'wrong_gateway',
    'protocol_unsupported',
    'config_invalid',
    'home_insecure',
    'name_taken',
  ];
  for (const code of permanent) assert.equal(new FleetError(code, '').retryable, false, code);
});

test('every code has an HTTP status of an error, and what passes by itself is not told as a defect', () => {
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
    assert.ok(httpStatusOf(code) >= 400 && httpStatusOf(code) < 600, code);
  }
  for (const code of ['node_offline', 'connection_lost', 'channel_open_failed', 'not_running'] as const) {
    assert.equal(httpStatusOf(code), 503, code);
  }
});
