/** Forgets ephemeral nodes, those that joined by an invite for images and containers, once they have been gone for long enough. */
import { Periodic } from '../../shared/clock.ts';
import { GATEWAY_ACTOR } from '../audit/act.ts';
import { type NodeRemovalOptions, removeNode } from './node-removal.ts';
import type { NodeRecord } from './nodes-table.ts';

/** At least so often it is looked whether one is due, ms. */
const MAX_SWEEP_INTERVAL_MS = 60_000;

export interface EphemeralNodesOptions extends NodeRemovalOptions {
  /** Time offline after which one is forgotten, ms. */
  graceMs: number;
}

export class EphemeralNodes {
  readonly #options: EphemeralNodesOptions;
  readonly #work: Periodic;
  readonly #intervalMs: number;
  /** Since when each is away, on the monotonic clock: one that was set must not make anybody's time run out. */
  readonly #away = new Map<string, { lastSeenAt: number | null; since: number }>();

  constructor(options: EphemeralNodesOptions) {
    this.#options = options;
    const { clock, logger, graceMs } = options;
    this.#intervalMs = Math.min(MAX_SWEEP_INTERVAL_MS, graceMs);
    this.#work = new Periodic({
      step: () => this.#sweep(),
      onFailure: (error) => logger.error({ err: error }, 'could not look for ephemeral nodes that are gone'),
      retryMs: this.#intervalMs,
      clock,
    });
  }

  /** While the gateway was down no node could be seen: the time starts anew with it. */
  start(): void {
    for (const { id, lastSeenAt } of this.#options.store.nodes.ephemeral()) {
      this.#away.set(id, { lastSeenAt, since: this.#options.clock.monotonic() });
    }
    this.#work.start(this.#intervalMs);
  }

  /** Idempotent; resolves when a sweep under way has ended. */
  close(): Promise<void> {
    return this.#work.close();
  }

  async #sweep(): Promise<number> {
    const { store, logger } = this.#options;
    const present = store.nodes.ephemeral();
    for (const id of this.#away.keys()) if (!present.some((node) => node.id === id)) this.#away.delete(id);
    for (const node of present.filter((candidate) => this.#isDue(candidate))) {
      if (this.#work.isClosed) break;
      try {
        const details = { node: node.name, id: node.id, ephemeral: true };
        await removeNode(node, 'gateway', this.#options, () =>
          store.audit.append({ actor: GATEWAY_ACTOR, action: 'node.remove', outcome: 'ok', details }),
        );
      } catch (error) {
        logger.error({ err: error, node: node.name }, 'could not forget an ephemeral node');
      }
    }
    return this.#intervalMs;
  }

  /** The wall clock only says how long before this look the node went away, and that is bounded. */
  #isDue({ id, lastSeenAt, createdAt, revokedAt }: NodeRecord): boolean {
    const { sessions, clock, graceMs } = this.#options;
    const known = this.#away.get(id);
    const now = clock.monotonic();
    const seenBefore = Math.min(2 * this.#intervalMs, Math.max(0, clock.now() - (lastSeenAt ?? createdAt)));
    const since =
      sessions.get(id) !== undefined ? now : known?.lastSeenAt === lastSeenAt ? known.since : now - seenBefore;
    this.#away.set(id, { lastSeenAt, since });
    // A revoked one is kept: with its record, its key would be unknown instead of refused.
    return revokedAt === null && now - since >= graceMs;
  }
}
