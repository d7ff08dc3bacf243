/** Limits that both sides know. Each is a default that a config can lower or raise where it says so. */

/** Longest command line of one run, bytes of UTF-8. Linux takes 128 KiB per argument (MAX_ARG_STRLEN). */
export const MAX_COMMAND_BYTES = 120 * 1024;
/** Longest name of a variable, characters. */
export const MAX_VARIABLE_NAME_LENGTH = 255;
/** One variable as `NAME=value`, bytes: Linux's limit for an argument holds for it, too, and a prefix is put before it for another user. */
export const MAX_VARIABLE_BYTES = 120 * 1024;
/**
 * All variables of a run, bytes, each with {@link VARIABLE_OVERHEAD_BYTES}. Linux takes arguments and environment up to a quarter of the stack
 * limit (execve(2)): 2 MiB, as systems come. Where a node allows less, it says so itself.
 */
const MAX_ENVIRONMENT_BYTES = 512 * 1024;
/** A variable's `=`, its NUL and the pointer to it, bytes. */
const VARIABLE_OVERHEAD_BYTES = 10;

/** Says which variables of a run are too large, without their values. */
export function environmentFault(env: Readonly<Record<string, string>>): string | undefined {
  let total = 0;
  for (const [name, value] of Object.entries(env)) {
    const bytes = name.length + Buffer.byteLength(value);
    if (bytes > MAX_VARIABLE_BYTES) return `${name} takes ${bytes} bytes; a variable may take ${MAX_VARIABLE_BYTES}`;
    total += bytes + VARIABLE_OVERHEAD_BYTES;
  }
  return total > MAX_ENVIRONMENT_BYTES
    ? `all variables together take ${total} bytes; they may take ${MAX_ENVIRONMENT_BYTES}`
    : undefined;
}
/** Jobs in a list that names no limit. */
export const DEFAULT_JOB_LIST = 100;
/** Largest JSON body of any request, bytes. */
export const MAX_BODY_BYTES = 1024 * 1024;
/** Output kept per run, stdout and stderr together, bytes: its beginning and its end. The rest is counted. */
export const DEFAULT_MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
/** Smallest limit that a config may set, bytes. */
export const LEAST_MAX_OUTPUT_BYTES = 1024;

/**
 * Longest log of a run that may keep so much output, bytes: headers of frames may take as much again, which they only need when
 * a command alternates between its streams byte by byte; and there are frames that carry no output.
 */
export function maxLogBytes(maxOutputBytes: number): number {
  return 2 * maxOutputBytes + 256 * 1024;
}

/** Processes that are named as holders of a run's output. */
export const MAX_HOLDERS = 5;

/** From SIGTERM to SIGKILL, ms. */
export const DEFAULT_KILL_GRACE_MS = 5_000;
/** How long what has ended is kept: jobs and their output on the gateway, the journal on a node; ms. */
export const DEFAULT_RETENTION_MS = 30 * 86_400_000;
/** How long rows of the audit log are kept, ms. */
export const DEFAULT_AUDIT_RETENTION_MS = 365 * 86_400_000;
/** Runs that a node works on at once, and that the gateway hands it at once. */
export const DEFAULT_NODE_CONCURRENCY = 4;
/** Time between two heartbeats, ms. */
export const DEFAULT_HEARTBEAT_INTERVAL_MS = 30_000;
/** Silence after which a node counts as offline, ms: three heartbeats. */
export const HEARTBEATS_UNTIL_OFFLINE = 3;
/** The gateway's public SSH port. */
export const DEFAULT_GATEWAY_PORT = 18_790;
/** Name in a node's `tcpip-forward`, and so in every channel that the gateway opens to it. */
export const NODE_FORWARD = { host: 'fleet-node', port: 1 } as const;
/** Destination of a `direct-tcpip` channel that wants the gateway's API. */
export const GATEWAY_API = { host: 'fleet-gateway', port: 1 } as const;
/** Header of every answer of the gateway: its time, ms since the epoch. Clients show times by it, not by their own clock. */
export const TIME_HEADER = 'fleet-time';
