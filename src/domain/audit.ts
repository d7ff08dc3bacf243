/** The audit log as both ends speak of it: one line of JSON a row, each with the hash of the row before it, and a signed head. */
import { createHash } from 'node:crypto';

/** Who did something. */
export interface AuditActor {
  /** Name of the person or node; `local` for the Unix socket, `api` for the TCP port, `gateway` for the gateway itself. */
  name: string;
  /** A role, `unknown` for a key that is in no list, or `gateway`. */
  role: string;
  /** The kind of connection; `gateway` for what the gateway does by itself. */
  via: 'socket' | 'tcp' | 'ssh' | 'gateway';
  /** `SHA256:…` as ssh-keygen -l shows it; null where no key was used. */
  key: string | null;
  /** Where the connection came from; null for the Unix socket and the gateway itself. */
  address: string | null;
}

/** One row. The order of these members is the order in a line. */
export interface AuditRow {
  /** 1 for the first row ever; each row has the next number. */
  seq: number;
  /** ISO 8601 UTC, by the gateway's clock. */
  at: string;
  actor: AuditActor;
  /** What was done, such as `job.submit`. */
  action: string;
  /** `ok`, or the code of the error with which it was refused or failed. */
  outcome: string;
  details: Record<string, unknown>;
  /** Hash of the row before, hex; {@link GENESIS_HASH} for the first. */
  prev: string;
  /** SHA-256 of the line without this member, hex. */
  hash: string;
}

/** A place in the chain. */
export interface AuditPosition {
  seq: number;
  /** Hex. */
  hash: string;
}

/** The last row, signed by the gateway: it distinguishes the true chain from one that was cut or rewritten. */
export interface AuditHead extends AuditPosition {
  /** Ed25519 public key, base64url. */
  key: string;
  /** Signature of {@link headBytes}, base64url. */
  signature: string;
}

export interface AuditHeadView {
  /** As stored; null before the first row, or if it was removed. */
  head: AuditHead | null;
  /** As the running gateway knows it, independent of what is stored. */
  live: AuditPosition;
  /** Every key with which this gateway signs or has signed, base64url. */
  keys: string[];
}

/** The hash before the first row. */
export const GENESIS_HASH = '0'.repeat(64);
/** Action of the row that records which rows were deleted because of their age. */
export const PRUNE_ACTION = 'audit.prune';
/** Action of the row that says that the gateway, when it started, did not find its own signed head. */
export const DAMAGED_ACTION = 'audit.damaged';

/** A row's line from its line without hash, and its hash, hex. */
export function sealLine(unsealed: string): { line: string; hash: string } {
  const hash = createHash('sha256').update(unsealed).digest('hex');
  return { line: `${unsealed.slice(0, -1)},"hash":"${hash}"}`, hash };
}

/** The two parts of a line; undefined when it does not end in a hash. */
export function openLine(line: string): { unsealed: string; hash: string } | undefined {
  const match = /,"hash":"([0-9a-f]{64})"\}$/.exec(line);
  return match?.[1] === undefined ? undefined : { unsealed: `${line.slice(0, match.index)}}`, hash: match[1] };
}

/** The bytes that a head's signature covers. */
export function headBytes({ seq, hash }: AuditPosition): Buffer {
  return Buffer.from(`fleet-audit-head-v1 ${seq} ${hash}`);
}
