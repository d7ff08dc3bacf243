/** The one error type of fleet and the catalogue of its codes: every failure that a person or a script can see is named here. */

/** What each code means. docs/errors.md lists the same codes; a test keeps both equal. */
export const ERROR_CODES = {
  // The caller's mistake.
  usage: 'the command line or the request is wrong',
  bad_request: 'a request that the other side cannot read',
  bad_selector: 'a selector that cannot be parsed',
  not_found: 'no node, job, run or invite has that name or id',
  ambiguous: 'a name or the beginning of an id that fits more than one',
  no_such_agent: 'the node has no agent of that name',
  conflict: 'what was asked contradicts what is already there',
  storage_conflict: 'the database refuses what contradicts what it holds',
  name_taken: 'another node or person has that name',
  too_large: 'a message or file is over its limit',
  // Configuration: do not retry.
  config_invalid: 'a configuration file or value is wrong',
  database_missing: 'the gateway has keys but no database',
  storage_corrupt: 'a database is damaged',
  home_foreign: 'the home folder belongs to another user or machine',
  home_insecure: 'a secret file or the home folder can be read by others',
  host_key_changed: 'the gateway shows another host key than the pinned one',
  gateway_not_proven: 'the gateway could not prove that it made the invite',
  wrong_gateway: 'this node is paired with another gateway',
  protocol_unsupported: 'the two sides speak no common protocol version',
  // Refused for good.
  forbidden: 'this key may not do that',
  policy_denied: "the node's own policy refuses it",
  key_revoked: 'the key was revoked on the gateway',
  invite_invalid: 'the invite is unknown, expired, spent or the code is mistyped',
  not_paired: 'the key is not known to the gateway',
  pairing_rejected: 'an operator turned the pending node away',
  // May pass by itself.
  token_invalid: 'the token is missing, expired or bound to another key',
  gateway_unreachable: 'the gateway does not answer',
  node_offline: 'the node has no live tunnel',
  channel_open_failed: 'the other side refused or never answered a channel open',
  connection_lost: 'the connection ended in the middle',
  busy: 'a limit is reached; try again later',
  timeout: 'no answer within the deadline',
  already_running: 'another process of this home holds the lock',
  not_running: 'nothing runs that could be asked',
  storage_busy: 'another process keeps the database locked',
  storage_failed: 'the disk refused to store (full, read-only or broken)',
  internal: 'a defect in fleet',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

const RETRYABLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'token_invalid',
  'gateway_unreachable',
  'node_offline',
  'channel_open_failed',
  'connection_lost',
  'busy',
  'timeout',
  'storage_busy',
  'storage_failed',
  'internal',
]);

export interface FleetErrorOptions {
  /** What the person should do next; one sentence. */
  hint?: string | undefined;
  cause?: unknown;
  /** Facts for logs and JSON, never secrets. */
  facts?: Record<string, unknown> | undefined;
}

/** The same in every copy of this module: the bundles of the CLI, the gateway and the node each have their own. */
const BRAND = Symbol.for('fleet.FleetError');

/** A failure with a stable `code`, words for a person, and a hint at the next step. */
export class FleetError extends Error {
  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && BRAND in value;
  }

  readonly [BRAND] = true;
  override readonly name = 'FleetError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly facts: Record<string, unknown> | undefined;

  constructor(code: ErrorCode, message: string, options: FleetErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    const exhausted = exhaustionIn(options.cause);
    this.code = exhausted !== undefined && code === 'internal' ? 'busy' : code;
    this.hint = exhausted ?? options.hint;
    this.facts = options.facts;
  }

  /** Whether the same request may succeed later without anybody changing anything. */
  get retryable(): boolean {
    return RETRYABLE.has(this.code);
  }

  /** The JSON that goes over the API and out of `--json`. */
  toJSON(): { code: ErrorCode; message: string; hint?: string } {
    return { code: this.code, message: this.message, ...(this.hint === undefined ? {} : { hint: this.hint }) };
  }
}

/** What to do when no file descriptor is left: whatever was tried is not to blame, and works again once there are some. */
const EXHAUSTION: Record<string, string> = {
  EMFILE:
    'This process has too many open files: raise its limit (ulimit -n 4096, or LimitNOFILE=4096 in its systemd unit).',
  ENFILE: 'The machine has too many open files: raise fs.file-max (sysctl).',
};

function exhaustionIn(cause: unknown): string | undefined {
  for (let at = cause; at instanceof Error; at = at.cause) {
    const hint = EXHAUSTION[systemErrorCode(at) ?? ''];
    if (hint !== undefined) return hint;
  }
  return undefined;
}

/** Any thrown value as a FleetError; what fleet did not throw itself becomes `internal`, with the original as cause. */
export function toFleetError(error: unknown): FleetError {
  if (error instanceof FleetError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new FleetError('internal', message, { cause: error });
}

/** The `code` of a Node.js system error (`ENOENT`, `ECONNREFUSED`, …), if it is one. */
export function systemErrorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/**
 * Whether connecting to a Unix socket failed because no process listens there: it has no file, the file was left by a
 * process that is gone, or the process ended while we were in its queue (Linux, unix_release_sock: ECONNRESET).
 */
export function isNobodyListening(error: unknown): boolean {
  const code = systemErrorCode(error);
  if (code === 'ECONNRESET') return (error as NodeJS.ErrnoException).syscall === 'connect';
  return code === 'ENOENT' || code === 'ECONNREFUSED';
}
