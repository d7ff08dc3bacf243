/**
 * The audit log: rows that are chained by hashes, written in the transaction of the act that they tell of, under a signed head.
 *
 * So no act is without its row, and no row without its act; an act whose row cannot be stored does not happen.
 * docs/adr/0015 tells why it is so, docs/audit.md what it shows and what it cannot show.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import {
  type AuditHeadView,
  type AuditPosition,
  DAMAGED_ACTION,
  GENESIS_HASH,
  headBytes,
  openLine,
  PRUNE_ACTION,
  sealLine,
  type UnchainedRow,
} from '../../domain/audit.ts';
import { isSigned } from '../../domain/audit-check.ts';
import type { Clock } from '../../shared/clock.ts';
import { harmlessJson } from '../../shared/text.ts';
import type { DurableStore } from '../store/durable-store.ts';
import type { TransactionGuest } from '../store/group-commit.ts';
import { type Act, type ActDetails, GATEWAY_ACTOR } from './act.ts';
import type { AuditTable } from './audit-table.ts';
import type { HeadSigner } from './head-signer.ts';

export interface AuditLogOptions {
  table: AuditTable;
  clock: Clock;
  signer: HeadSigner;
  /** Runs `work` in the next transaction. */
  write<T>(work: () => T): Promise<T>;
}

export class AuditLog implements TransactionGuest {
  readonly #options: AuditLogOptions;
  readonly #acts = new AsyncLocalStorage<Act>();
  /** The act whose write is being done. */
  #current: Act | undefined;
  /** The last row that is on disk. Kept here, so that a head that somebody changes while the gateway runs is never signed. */
  #durable: AuditPosition;
  /** The last row of the transaction that is open. */
  #draft: AuditPosition;
  readonly #damage: string | undefined;

  constructor(options: AuditLogOptions) {
    this.#options = options;
    const { position, damage } = findEnd(options);
    this.#durable = position;
    this.#draft = position;
    this.#damage = damage;
  }

  /** What was wrong with the end of the log when it was opened; undefined when nothing was. */
  get damage(): string | undefined {
    return this.#damage;
  }

  /** Notes that the gateway starts, and what it found; to be called once, inside a transaction. */
  noteStart(details: ActDetails): void {
    if (this.#damage !== undefined) this.#append(GATEWAY_ACTOR, DAMAGED_ACTION, 'ok', { found: this.#damage });
    this.#append(GATEWAY_ACTOR, 'gateway.start', 'ok', details);
  }

  /** Calls `callback`; the first write that it, or what it sets off, asks for carries the row of `act`. */
  during<T>(act: Act, callback: () => T): T {
    return this.#acts.run(act, callback);
  }

  /** `work` for a transaction that also stores the row of the act that is under way, if that has none yet. */
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

  /** Stores the row of an act by itself, unless it is stored: for acts that change nothing in the database. */
  async record(act: Act): Promise<void> {
    if (!act.isOpen) return;
    await this.#acts.run(act, () => this.#options.write(() => undefined));
  }

  /**
   * Says inside a transaction what it does. If that belongs to a request, the request's row says it; if not, it is a row
   * of the gateway's own, `onBehalfOf` somebody.
   */
  describe(action: string, details: ActDetails, onBehalfOf?: string): void {
    const act = this.#current;
    if (act === undefined) {
      this.#append(GATEWAY_ACTOR, action, 'ok', onBehalfOf === undefined ? details : { onBehalfOf, ...details });
    } else {
      act.note(details, action);
      this.#appendAct(act);
    }
  }

  /** Adds a row inside a transaction. */
  append(row: Omit<UnchainedRow, 'at'>): void {
    this.#append(row.actor, row.action, row.outcome, row.details);
  }

  /** Deletes a piece of what is older than `before`, ms, and notes in the log what; inside a transaction. How many rows went. */
  prune(before: number, limit: number): number {
    const { table } = this.#options;
    const rows = table.oldest(new Date(before).toISOString(), limit);
    const last = rows.at(-1);
    if (last === undefined) return 0;
    const details = { rows: rows.length, through: last.seq, hash: openLine(last.line)?.hash ?? '' };
    table.deleteThrough(last);
    this.#append(GATEWAY_ACTOR, PRUNE_ACTION, 'ok', details);
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
      // Unless the work has said what it is, and so where among its other rows it stands.
      if (this.#current === act) this.#appendAct(act);
      return value;
    } finally {
      this.#current = undefined;
    }
  }

  #appendAct(act: Act): void {
    this.#current = undefined;
    this.#append(act.actor, act.action, act.outcome, act.details);
  }

  #append(actor: UnchainedRow['actor'], action: string, outcome: string, details: ActDetails): void {
    const seq = this.#draft.seq + 1;
    const at = new Date(this.#options.clock.now()).toISOString();
    const { name, role, via, key, address } = actor;
    const { line, hash } = sealLine(
      harmlessJson({
        seq,
        at,
        actor: { name, role, via, key, address },
        action,
        outcome,
        details,
        prev: this.#draft.hash,
      }),
    );
    this.#options.table.insert(seq, line);
    this.#draft = { seq, hash };
  }
}

/** Where the log goes on. If its end is not what the gateway signed, a new row must not make that good: it is noted. */
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

/** The store as this folder, and those above it, see it. */
export interface AuditStore extends DurableStore {
  readonly audit: AuditLog;
  readonly auditRows: AuditTable;
}
