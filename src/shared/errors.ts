/** fleet's one error type, and the catalogue of its codes: every failure that a person or script can see has one. */

/** Meaning, HTTP status (500 for what only a bug or this machine can cause), and whether the same request may succeed later. */
export const ERROR_CODES = {
  // The caller's mistake.
  usage: ['invalid command line or request', 400],
  bad_request: ['the request cannot be read', 400],
  bad_selector: ['the selector cannot be parsed', 400],
  not_found: ['no such node, job, run, invite, …', 404],
  ambiguous: ['the name or id prefix matches more than one thing', 409],
  no_such_agent: ['the node has no such agent', 404],
  conflict: ['the request conflicts with the current state', 409],
  storage_conflict: ['the database rejected conflicting data', 409],
  name_taken: ['another node or person has this name', 409],
  too_large: ['a message or file exceeds its limit', 413],
  // Configuration: do not retry.
  config_invalid: ['invalid configuration file or value', 400],
  database_missing: ['the gateway has keys but no database', 500],
  storage_corrupt: ['a database is damaged', 500],
  home_foreign: ['the home folder belongs to another user or machine', 500],
  home_insecure: ['other users can access a secret file or the home folder', 500],
  host_key_changed: ["the gateway's host key differs from the pinned one", 500],
  gateway_not_proven: ['the gateway could not prove that it issued the invite', 500],
  wrong_gateway: ['this node is paired with another gateway', 500],
  protocol_unsupported: ['the two sides have no protocol version in common', 426],
  // Refused for good.
  forbidden: ['permission denied', 403],
  policy_denied: ["denied by the node's own policy", 403],
  key_revoked: ['the gateway has revoked this key', 403],
  invite_invalid: ['the invite code is unknown, expired, used up or mistyped', 403],
  not_paired: ['the gateway does not know this key', 403],
  pairing_rejected: ['an operator rejected the pairing', 403],
  // May succeed later.
  token_invalid: ['the token is missing, expired or bound to another key', 401, 'retryable'],
  gateway_unreachable: ['the gateway cannot be reached', 500, 'retryable'],
  node_offline: ['the node is offline', 503, 'retryable'],
  channel_open_failed: ['the other side refused to open a channel', 503, 'retryable'],
  connection_lost: ['the connection was lost', 503, 'retryable'],
  busy: ['a limit is reached; try again later', 429, 'retryable'],
  timeout: ['no answer before the deadline', 504, 'retryable'],
  already_running: ['another process of this home holds the lock', 500],
  not_running: ['the process to ask is not running', 503],
  storage_busy: ['another process has locked the database', 503, 'retryable'],
  storage_failed: ['the disk is full, read-only or broken', 507, 'retryable'],
  internal: ['a bug in fleet', 500, 'retryable'],
} as const satisfies Record<string, readonly [meaning: string, httpStatus: number, retryable?: 'retryable']>;

export type ErrorCode = keyof typeof ERROR_CODES;

export function httpStatusOf(code: ErrorCode): number {
  return ERROR_CODES[code][1];
}

export interface FleetErrorOptions {
  /** What to do next; one sentence. */
  hint?: string | undefined;
  cause?: unknown;
  /** Facts for logs and JSON, never secrets. */
  facts?: Record<string, unknown> | undefined;
}

/** Shared by all copies of this module: each bundle has its own. */
const BRAND = Symbol.for('fleet.FleetError');

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

  get retryable(): boolean {
    return ERROR_CODES[this.code].length === 3;
  }

  /** As sent over the API and printed by `--json`. */
  toJSON(): { code: ErrorCode; message: string; hint?: string } {
    return { code: this.code, message: this.message, ...(this.hint === undefined ? {} : { hint: this.hint }) };
  }
}

/** Hints for when the process or the machine is out of file descriptors, whatever was attempted. */
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

/** Any thrown value as a FleetError; a foreign one becomes the cause of an `internal`. */
export function toFleetError(error: unknown): FleetError {
  if (error instanceof FleetError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new FleetError('internal', message, { cause: error });
}

/** The `code` of a Node.js system error, such as `ENOENT`. */
export function systemErrorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/**
 * Whether connecting to a Unix socket failed because no process listens: the file is missing, a dead process left it behind, or the
 * listener ended while we were in its queue (Linux, unix_release_sock: ECONNRESET).
 */
export function isNobodyListening(error: unknown): boolean {
  const code = systemErrorCode(error);
  if (code === 'ECONNRESET') return (error as NodeJS.ErrnoException).syscall === 'connect';
  return code === 'ENOENT' || code === 'ECONNREFUSED';
}
