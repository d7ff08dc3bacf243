/** The one place that says which HTTP status an error code is. */
import type { ErrorCode } from '../errors.ts';

const STATUS: Partial<Record<ErrorCode, number>> = {
  usage: 400,
  bad_request: 400,
  bad_selector: 400,
  config_invalid: 400,
  protocol_unsupported: 426,
  token_invalid: 401,
  forbidden: 403,
  policy_denied: 403,
  key_revoked: 403,
  not_paired: 403,
  pairing_rejected: 403,
  invite_invalid: 403,
  not_found: 404,
  ambiguous: 409,
  no_such_agent: 404,
  conflict: 409,
  name_taken: 409,
  too_large: 413,
  busy: 429,
  storage_failed: 507,
  storage_busy: 503,
  storage_conflict: 409,
  node_offline: 503,
  connection_lost: 503,
  channel_open_failed: 503,
  not_running: 503,
  timeout: 504,
};

/** 500 for what only a defect can cause. */
export function httpStatusOf(code: ErrorCode): number {
  return STATUS[code] ?? 500;
}
