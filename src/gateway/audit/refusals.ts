/** Records refusals in the audit log: the first of each kind at once, further ones as a count, so that nobody can fill the disk. */
import type { Timer } from '../../shared/clock.ts';
import type { AuditEntry } from './act.ts';
import type { AuditRetentionOptions } from './audit-log.ts';

/** How long refusals of one kind are counted before their row is written, ms. */
export const COUNTING_MS = 10 * 60_000;
/** Kinds counted separately at a time; the rest are counted together. */
export const MAX_KINDS = 500;

interface Kind {
  first: AuditEntry;
  /** Besides the first. */
  more: number;
  timer: Timer;
}

type RefusalsOptions = Pick<AuditRetentionOptions, 'store' | 'clock' | 'logger'>;

export class Refusals {
  readonly #options: RefusalsOptions;
  readonly #kinds = new Map<string, Kind>();
  readonly #writes = new Set<Promise<void>>();
  #closed = false;

  constructor(options: RefusalsOptions) {
    this.#options = options;
  }

  /** Returns at once. If the row cannot be stored, the refusal is only logged. */
  note(refusal: AuditEntry): void {
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

  /** Resolves once the counts are stored. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const key of [...this.#kinds.keys()]) this.#end(key);
    await Promise.all(this.#writes);
  }

  #keyOf({ actor, action, outcome }: AuditEntry): string {
    // Keys and addresses are cheap, so all strangers count as one.
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
    // The first stranger need not be the one who continued.
    else if (actor.role === 'unknown')
      this.#store({ ...first, actor: { ...actor, key: null, address: null }, details: { more } });
    else this.#store({ ...first, action, details: { more } });
  }

  #store(refusal: AuditEntry): void {
    const { store, logger } = this.#options;
    const stored: Promise<void> = store
      .write(() => store.audit.append(refusal))
      .catch((error: unknown) => logger.error({ err: error, action: refusal.action }, 'could not store a refusal'))
      .finally(() => this.#writes.delete(stored));
    this.#writes.add(stored);
  }
}
