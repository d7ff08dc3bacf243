/** What was refused, in the audit log: the first of its kind at once, the others as a count, so that nobody can fill the disk with them. */

import type { AuditActor } from '../../domain/audit.ts';
import type { Clock, Timer } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { ActDetails } from './act.ts';
import type { AuditStore } from './audit-log.ts';

/** Refusals of one kind are counted for so long, and then told in one row, ms. */
export const COUNTING_MS = 10 * 60_000;
/** Kinds that are counted apart at a time; further ones are counted together. */
export const MAX_KINDS = 500;

export interface Refusal {
  actor: AuditActor;
  action: string;
  /** The code of the error. */
  outcome: string;
  details: ActDetails;
}

interface Kind {
  first: Refusal;
  /** Besides the first. */
  more: number;
  timer: Timer;
}

export interface RefusalsOptions {
  store: Pick<AuditStore, 'write' | 'audit'>;
  clock: Clock;
  logger: Logger;
}

export class Refusals {
  readonly #options: RefusalsOptions;
  readonly #kinds = new Map<string, Kind>();
  readonly #writes = new Set<Promise<void>>();
  #closed = false;

  constructor(options: RefusalsOptions) {
    this.#options = options;
  }

  /** Returns at once. A refusal is no act: should its row not be stored, the log of the gateway says so. */
  note(refusal: Refusal): void {
    if (this.#closed) return;
    const key = this.#keyOf(refusal);
    const kind = this.#kinds.get(key);
    if (kind !== undefined) {
      kind.more += 1;
      return;
    }
    const timer = this.#options.clock.after(COUNTING_MS, () => this.#end(key), { unref: true });
    this.#kinds.set(key, { first: refusal, more: 0, timer });
    this.#store(refusal);
  }

  /** Stores the counts, and resolves when that is done. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const key of [...this.#kinds.keys()]) this.#end(key);
    await Promise.all(this.#writes);
  }

  #keyOf({ actor, action, outcome }: Refusal): string {
    // Anybody can make keys, and addresses are cheap: strangers are one.
    const who = actor.role === 'unknown' ? 'unknown' : (actor.key ?? actor.name);
    const key = JSON.stringify([who, action, outcome]);
    return this.#kinds.has(key) || this.#kinds.size < MAX_KINDS ? key : 'others';
  }

  #end(key: string): void {
    const kind = this.#kinds.get(key);
    if (kind === undefined) return;
    kind.timer.cancel();
    this.#kinds.delete(key);
    const { first, more } = kind;
    if (more === 0) return;
    const { actor, action } = first;
    if (key === 'others') this.#store({ ...first, action: 'refusals', details: { more, of: 'many kinds' } });
    // Whoever came first need not be the one who went on.
    else if (actor.role === 'unknown')
      this.#store({ ...first, actor: { ...actor, key: null, address: null }, details: { more } });
    else this.#store({ ...first, action, details: { more } });
  }

  #store(refusal: Refusal): void {
    const { store, logger } = this.#options;
    const stored: Promise<void> = store
      .write(() => store.audit.append(refusal))
      .catch((error: unknown) => logger.error({ err: error, action: refusal.action }, 'could not store a refusal'))
      .finally(() => this.#writes.delete(stored));
    this.#writes.add(stored);
  }
}
