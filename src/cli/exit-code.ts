/** What each error means for the exit code. CLI.md: "Exit codes"; those of runs are in output/run-exit-code.ts. */
import type { ErrorCode } from '../shared/errors.ts';
import type { SignalName } from './context.ts';
import { EXIT_FLEET_FAILED } from './output/run-exit-code.ts';

export const EXIT_OK = 0;
export const EXIT_USAGE = 2;
/** Refused for good; 77 is EX_NOPERM of sysexits.h. */
export const EXIT_REFUSED = 77;
/** Configuration wrong; 78 is EX_CONFIG of sysexits.h. */
export const EXIT_CONFIG = 78;
/** Nobody reads stdout any more: 128 + SIGPIPE, as every program that does not handle it ends. */
export const EXIT_STDOUT_CLOSED = 141;
/** Ended by a signal: 128 and its number, signal(7). */
export const EXIT_OF_SIGNAL: Readonly<Record<SignalName, number>> = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

const EXIT_CODES: Partial<Record<ErrorCode, number>> = {
  usage: EXIT_USAGE,
  bad_selector: EXIT_USAGE,
  bad_request: EXIT_USAGE,
  forbidden: EXIT_REFUSED,
  policy_denied: EXIT_REFUSED,
  key_revoked: EXIT_REFUSED,
  invite_invalid: EXIT_REFUSED,
  not_paired: EXIT_REFUSED,
  pairing_rejected: EXIT_REFUSED,
  config_invalid: EXIT_CONFIG,
  home_insecure: EXIT_CONFIG,
  home_foreign: EXIT_CONFIG,
  database_missing: EXIT_CONFIG,
  storage_corrupt: EXIT_CONFIG,
  host_key_changed: EXIT_CONFIG,
  gateway_not_proven: EXIT_CONFIG,
  wrong_gateway: EXIT_CONFIG,
  protocol_unsupported: EXIT_CONFIG,
  name_taken: EXIT_CONFIG,
};

/** 255 for whatever may pass by itself or is nobody's mistake. */
export function exitCodeOfError(code: ErrorCode): number {
  return EXIT_CODES[code] ?? EXIT_FLEET_FAILED;
}
