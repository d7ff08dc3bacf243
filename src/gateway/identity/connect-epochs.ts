/**
 * Detects that two machines use one key: each connect gets a fresh value (an epoch), which the next connect must present. Of two copies
 * only one can have the latest, so the other is detected when it connects, whichever comes first. An epoch is a counter, for people,
 * and a random part, which a copy cannot guess. ADR 0017 says why nobody is locked out.
 */
import { randomBytes } from 'node:crypto';
import { randomBase32 } from '../../shared/base32.ts';
import { RateByKey } from '../nodes/rate-by-key.ts';
import type { CloneSuspicion, EpochRecord, IdentityContext, Sighting } from './tables.ts';

/** 80 bits. */
const RANDOM_LENGTH = 16;
/** Warnings about one node: burst, and ms per further one. */
const WARNING_RATE = { burst: 5, refillMs: 60_000 } as const;

interface NextEpoch {
  /** For the node to store, and to present next time. */
  epoch: string;
  /** How many times the record of this node has split: part of the name of its journal. */
  branch: number;
  /** Whether another machine seems to use its key, and no operator has resolved that. */
  isSuspected: boolean;
}

export class ConnectEpochs {
  readonly #options: IdentityContext;
  /** By node id; health reads it all the time. */
  readonly #suspicions: Map<string, CloneSuspicion>;
  /** A node that keeps presenting a lost epoch must not fill the log. */
  readonly #warnings: RateByKey;

  constructor(options: IdentityContext) {
    this.#options = options;
    this.#warnings = new RateByKey({ clock: options.clock, ...WARNING_RATE });
    const rows = options.store.epochs.suspected();
    this.#suspicions = new Map(rows.flatMap(({ nodeId, suspicion }) => (suspicion ? [[nodeId, suspicion]] : [])));
  }

  /** Checks the epoch that a node presents when it connects (null for none), and issues the next. Call within `store.write`. */
  advance(node: { id: string; name: string }, presented: string | null, who: Omit<Sighting, 'at'>): NextEpoch {
    const { store, clock, logger } = this.#options;
    const present = store.epochs.get(node.id);
    const sighting = { ...who, at: clock.now() };
    // The answer with the last offer may have been lost, so the epoch before it stays valid until the node confirms.
    const isKnown = present === undefined || expected(present).includes(presented);
    const suspicion = isKnown ? (present?.suspicion ?? null) : suspect(present, presented, sighting);
    const latest = present?.offered ?? present?.confirmed ?? presented;
    const epoch = `${countOf(latest) + 1}-${randomBase32(RANDOM_LENGTH, randomBytes)}`;
    const branch = (present?.branch ?? 0) + (isKnown ? 0 : 1);
    store.epochs.put({ nodeId: node.id, confirmed: presented, offered: epoch, branch, holder: sighting, suspicion });
    if (suspicion !== null) this.#suspicions.set(node.id, suspicion);
    const unreported = isKnown ? undefined : this.#warnings.take(node.id);
    if (unreported !== undefined) {
      const facts = { node: node.name, ...suspicion, unreported };
      logger.warn(facts, 'the key of a node seems to be used by two machines');
    }
    return { epoch, branch, isSuspected: suspicion !== null };
  }

  /** Its next request shows that the node has stored its epoch. Call within `store.write`. */
  confirm(nodeId: string, epoch: string): void {
    this.#options.store.epochs.confirm(nodeId, epoch);
  }

  suspicionOf(nodeId: string): CloneSuspicion | undefined {
    return this.#suspicions.get(nodeId);
  }

  /** An operator has resolved the suspicion. The machine that connected last is expected next. */
  async reset(nodeId: string): Promise<void> {
    const { store } = this.#options;
    await store.write(() => store.epochs.clearSuspicion(nodeId));
    this.#suspicions.delete(nodeId);
  }

  forget(nodeId: string): void {
    this.#suspicions.delete(nodeId);
  }
}

/** A line of `fleet health`. */
export function describeSuspicion({ late, before }: CloneSuspicion): string {
  return `key used by two machines: ${describeSighting(before)} and ${describeSighting(late)}`;
}

function describeSighting({ hostname, address, machineId }: Sighting): string {
  return `${hostname} (${[address, machineId?.slice(0, 8)].filter((part) => part !== undefined).join(', machine ')})`;
}

/** Epochs that may be presented; null for none yet. */
function expected({ confirmed, offered }: EpochRecord): (string | null)[] {
  return offered === null ? [confirmed] : [confirmed, offered];
}

function suspect(present: EpochRecord, presented: string | null, late: Sighting): CloneSuspicion {
  const latest = present.offered ?? present.confirmed;
  const kind = presented === null ? 'missing' : countOf(presented) > countOf(latest) ? 'ahead' : 'behind';
  const { since = late.at, count = 0 } = present.suspicion ?? {};
  return { kind, since, count: count + 1, late, before: present.holder };
}

/** The counter of an epoch; 0 for none, and for one that we never issued. */
function countOf(epoch: string | null): number {
  const count = Number(/^(\d{1,15})-/.exec(epoch ?? '')?.[1] ?? 0);
  return count < Number.MAX_SAFE_INTEGER ? count : 0;
}
