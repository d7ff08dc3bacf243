/**
 * The audit log: rows chained by hashes under a signed head, each written in the transaction of the act it records. Hence no act
 * without a row, no row without an act, and an act whose row cannot be stored does not happen. docs/adr/0015, docs/audit.md.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import {
  type AuditHeadView,
  type AuditPosition,
  DAMAGED_ACTION,
  GENESIS_HASH,
  headBytes,
  openLine,
  PRUNE_ACTION,
  sealLine,
} from '../../domain/audit.ts';
import { isSigned } from '../../domain/audit-check.ts';
import type { Clock } from '../../shared/clock.ts';
import { isoTime } from '../../shared/duration.ts';
import type { Part } from '../../shared/lifecycle.ts';
import type { Logger } from '../../shared/logger.ts';
import { harmlessJson } from '../../shared/text.ts';
import type { Ages, DurableStore } from '../store/durable-store.ts';
import type { TransactionGuest } from '../store/group-commit.ts';
import { createHousekeeping } from '../store/housekeeping.ts';
import { type Act, type ActDetails, type AuditEntry, GATEWAY_ACTOR } from './act.ts';
import type { AuditTable } from './audit-table.ts';

/** Interval between searches for old rows, ms. */
const PRUNE_INTERVAL_MS = 3_600_000;
/** Rows deleted per step; each step leaves one row that records it. */
export const PRUNE_ROWS = 2_000;
/** Delay of the first search, past the rush of reconnecting nodes, ms. */
const FIRST_PRUNE_MS = 120_000;

/** Signs the head with a key that is not in the database it vouches for. All keys are Ed25519 public keys, base64url. */
export interface HeadSigner {
  /** The key that {@link sign} uses. */
  readonly key: string;
  /** Every key whose signatures count, including `key`. */
  readonly knownKeys: readonly string[];
  /** base64url. */
  sign(bytes: Uint8Array): string;
}

/** Signs with the gateway's current signing key; heads signed by a replaced key count for as long as its tokens do. */
export function createHeadSigner(keys: {
  readonly current: { privateKey: KeyObject; rawPublicKey: Buffer };
  acceptedRaw(): readonly string[];
}): HeadSigner {
  return {
    get key() {
      return keys.current.rawPublicKey.toString('base64url');
    },
    get knownKeys() {
      return keys.acceptedRaw();
    },
    sign: (bytes) => sign(null, bytes, keys.current.privateKey).toString('base64url'),
  };
}

/** Signs with a key that lives as long as this process, for a store without a gateway. */
export function createTemporarySigner(): HeadSigner {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const key = publicKey.export({ format: 'jwk' }).x ?? '';
  return { key, knownKeys: [key], sign: (bytes) => sign(null, bytes, privateKey).toString('base64url') };
}

/** The store as this folder, and those above it, see it. */
export interface AuditStore extends DurableStore {
  readonly audit: AuditLog;
  readonly auditRows: AuditTable;
}

interface AuditLogOptions {
  table: AuditTable;
  clock: Clock;
  signer: HeadSigner;
  write<T>(work: () => T): Promise<T>;
}

export class AuditLog implements TransactionGuest {
  readonly #options: AuditLogOptions;
  readonly #acts = new AsyncLocalStorage<Act>();
  /** The act whose write is in progress. */
  #current: Act | undefined;
  /** The last row on disk. Kept in memory, so that a head tampered with at run time is never signed. */
  #durable: AuditPosition;
  /** The last row of the open transaction. */
  #draft: AuditPosition;
  /** What was wrong with the end of the log when it was opened; undefined if nothing. */
  readonly damage: string | undefined;

  constructor(options: AuditLogOptions) {
    this.#options = options;
    const { position, damage } = findEnd(options);
    this.#durable = position;
    this.#draft = position;
    this.damage = damage;
  }

  /** Records the gateway's start and any damage found; call once, inside a transaction. */
  noteStart(details: ActDetails): void {
    if (this.damage !== undefined) this.#appendOwn(DAMAGED_ACTION, { found: this.damage });
    this.#appendOwn('gateway.start', details);
  }

  /** Calls `callback`; the first write requested in its asynchronous context stores the row of `act`. */
  during<T>(act: Act, callback: () => T): T {
    return this.#acts.run(act, callback);
  }

  /** Passes `work` to `write`, extended to store the row of the current act unless that is stored already. */
  async writeWithAct<T>(work: () => T, write: (work: () => T) => Promise<T>): Promise<T> {
    const act = this.#acts.getStore();
    if (act === undefined || !act.claim()) return await write(work);
    try {
      const value = await write(() => this.#inAct(act, work));
      act.settle(true);
      return value;
    } catch (error) {
      act.settle(false);
      throw error;
    }
  }

  /** Stores the row of an act that changed nothing in the database; does nothing if the row is stored already. */
  async record(act: Act): Promise<void> {
    if (!act.isOpen) return;
    await this.#acts.run(act, () => this.#options.write(() => undefined));
  }

  /**
   * Describes, inside a transaction, what it does: in the row of the request it belongs to, or else in a row of the
   * gateway's own, `onBehalfOf` somebody.
   */
  describe(action: string, details: ActDetails, onBehalfOf?: string): void {
    const act = this.#current;
    if (act === undefined) {
      this.#appendOwn(action, onBehalfOf === undefined ? details : { onBehalfOf, ...details });
    } else {
      act.note(details, action);
      this.#appendAct(act);
    }
  }

  /** Adds a row; inside a transaction. */
  append({ actor, action, outcome, details }: AuditEntry): void {
    const seq = this.#draft.seq + 1;
    const at = isoTime(this.#options.clock.now());
    const { name, role, via, key, address } = actor;
    // The order of the members is part of the format.
    const row = { seq, at, actor: { name, role, via, key, address }, action, outcome, details, prev: this.#draft.hash };
    const { line, hash } = sealLine(harmlessJson(row));
    this.#options.table.insert(seq, line);
    this.#draft = { seq, hash };
  }

  /** Deletes at most `limit` rows older than `before`, ms, and records that; inside a transaction. @returns the number of rows. */
  prune(before: number, limit: number): number {
    const { table } = this.#options;
    const rows = table.oldest(isoTime(before), limit);
    const last = rows.at(-1);
    if (last === undefined) return 0;
    const details = { rows: rows.length, through: last.seq, hash: openLine(last.line)?.hash ?? '' };
    table.deleteThrough(last);
    this.#appendOwn(PRUNE_ACTION, details);
    return rows.length;
  }

  head(): AuditHeadView {
    const { table, signer } = this.#options;
    return { head: table.head() ?? null, live: this.#durable, keys: [...signer.knownKeys] };
  }

  savepoint(): () => void {
    const before = this.#draft;
    return () => {
      this.#draft = before;
    };
  }

  beforeCommit(): void {
    if (this.#draft === this.#durable) return;
    const { table, signer } = this.#options;
    table.setHead({ ...this.#draft, key: signer.key, signature: signer.sign(headBytes(this.#draft)) });
  }

  settle(committed: boolean): void {
    if (committed) this.#durable = this.#draft;
    else this.#draft = this.#durable;
  }

  #inAct<T>(act: Act, work: () => T): T {
    this.#current = act;
    try {
      const value = work();
      // Unless `work` has called describe(), which stores the row in its place among others.
      if (this.#current === act) this.#appendAct(act);
      return value;
    } finally {
      this.#current = undefined;
    }
  }

  #appendAct(act: Act): void {
    this.#current = undefined;
    this.append(act);
  }

  #appendOwn(action: string, details: ActDetails): void {
    this.append({ actor: GATEWAY_ACTOR, action, outcome: 'ok', details });
  }
}

/** Where the log continues. An end that this gateway did not sign is reported, because signing a new row on top would cover it up. */
function findEnd({ table, signer }: AuditLogOptions): { position: AuditPosition; damage?: string } {
  const head = table.head();
  const stored = table.last();
  if (head === undefined && stored === undefined) return { position: { seq: 0, hash: GENESIS_HASH } };
  const last = stored && { seq: stored.seq, hash: openLine(stored.line)?.hash ?? GENESIS_HASH };
  const signed = head !== undefined && signer.knownKeys.includes(head.key) && isSigned(head);
  if (signed && last?.seq === head.seq && last.hash === head.hash) return { position: last };
  const position = last === undefined || (head !== undefined && head.seq > last.seq) ? head : last;
  const fault = signed
    ? 'the log does not end where its signed head says'
    : 'the head is missing or not signed by this gateway';
  const damage = `${fault} (head: row ${head?.seq ?? 'none'}, last row: ${last?.seq ?? 'none'})`;
  return { position: { seq: position?.seq ?? 0, hash: position?.hash ?? GENESIS_HASH }, damage };
}

export interface AuditRetentionOptions {
  store: Pick<AuditStore, 'write' | 'audit'>;
  clock: Clock;
  logger: Logger;
  ages: Ages;
  /** ms; undefined keeps all rows. */
  retentionMs: number | undefined;
}

/** Deletes old rows step by step; the log records which. */
export function createAuditRetention({ store, clock, logger, ages, retentionMs }: AuditRetentionOptions): Part {
  if (retentionMs === undefined) return {};
  return createHousekeeping({
    store,
    clock,
    logger,
    tasks: [
      () => {
        const deleted = store.audit.prune(ages.cutoff(retentionMs), PRUNE_ROWS);
        return { deleted, more: deleted === PRUNE_ROWS };
      },
    ],
    firstMs: FIRST_PRUNE_MS,
    intervalMs: PRUNE_INTERVAL_MS,
    failure: 'could not delete old audit rows',
    onDeleted: (rows) => logger.info({ rows }, 'deleted old audit rows'),
  });
}
