import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exitCodeOfError } from '../../src/cli/output/exit-code.ts';
import { ERROR_CODES, type ErrorCode } from '../../src/shared/errors.ts';

/** Every code of the catalogue, so that a new one needs a decision here. */
const EXPECTED: Record<ErrorCode, number> = {
  usage: 2,
  bad_request: 2,
  bad_selector: 2,
  forbidden: 77,
  policy_denied: 77,
  key_revoked: 77,
  invite_invalid: 77,
  not_paired: 77,
  pairing_rejected: 77,
  config_invalid: 78,
  home_insecure: 78,
  home_foreign: 78,
  database_missing: 78,
  storage_corrupt: 78,
  host_key_changed: 78,
  gateway_not_proven: 78,
  wrong_gateway: 78,
  protocol_unsupported: 78,
  name_taken: 78,
  not_found: 255,
  ambiguous: 255,
  no_such_agent: 255,
  conflict: 255,
  too_large: 255,
  token_invalid: 255,
  gateway_unreachable: 255,
  node_offline: 255,
  channel_open_failed: 255,
  connection_lost: 255,
  busy: 255,
  timeout: 255,
  already_running: 255,
  not_running: 255,
  storage_failed: 255,
  storage_busy: 255,
  storage_conflict: 255,
  internal: 255,
};

test('every error of the catalogue has its exit code', () => {
  const codes = Object.keys(ERROR_CODES) as ErrorCode[];
  assert.deepEqual(Object.fromEntries(codes.map((code) => [code, exitCodeOfError(code)])), EXPECTED);
});
