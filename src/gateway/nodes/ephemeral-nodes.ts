/** Removes ephemeral nodes, which joined by an invite for images and containers, after they have been offline for long enough. */
import { Periodic } from '../../shared/clock.ts';
import { GATEWAY_ACTOR } from '../audit/act.ts';
import type { NodeRemoval, NodeRemovalOptions } from './node-removal.ts';
import type { NodeRecord } from './nodes-table.ts';

/** Longest interval between checks, ms. */
const MAX_SWEEP_INTERVAL_MS = 60_000;

interface EphemeralNodesOptions extends Pick<NodeRemovalOptions, 'store' | 'sessions' | 'clock' | 'logger'> {
  removal: Pick<NodeRemoval, 'remove'>;
  /** Time offline after which one is removed, ms. */
  graceMs: number;
}

export class EphemeralNodes {
  readonly #options: EphemeralNodesOptions;
  readonly #work: Periodic;
  readonly #intervalMs: number;
  /** Since when each has been away, on the monotonic clock: a step of the wall clock must not end anybody's grace. */
  readonly #away = new Map<string, { lastSeenAt: number | null; since: number }>();

  constructor(options: EphemeralNodesOptions) {
    this.#options = options;
    const { clock, logger, graceMs } = options;
    this.#intervalMs = Math.min(MAX_SWEEP_INTERVAL_MS, graceMs);
    this.#work = new Periodic({
      step: () => this.#sweep(),
      onFailure: (error) => logger.error({ err: error }, 'could not look for expired ephemeral nodes'),
      retryMs: this.#intervalMs,
      clock,
    });
  }

  /** No node could be seen while the gateway was down, so each grace period starts again. */
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
    const { store, removal, logger } = this.#options;
    const present = store.nodes.ephemeral();
    for (const id of this.#away.keys()) if (!present.some((node) => node.id === id)) this.#away.delete(id);
    for (const node of present.filter((candidate) => this.#isDue(candidate))) {
      if (this.#work.isClosed) break;
      try {
        const details = { node: node.name, id: node.id, ephemeral: true };
        await removal.remove(node, 'gateway', () =>
          store.audit.append({ actor: GATEWAY_ACTOR, action: 'node.remove', outcome: 'ok', details }),
        );
      } catch (error) {
        logger.error({ err: error, node: node.name }, 'could not remove an ephemeral node');
      }
    }
    return this.#intervalMs;
  }

  /** The wall clock only says how long before this check the node went away, and that is bounded. */
  #isDue({ id, lastSeenAt, createdAt, revokedAt }: NodeRecord): boolean {
    const { sessions, clock, graceMs } = this.#options;
    const known = this.#away.get(id);
    const now = clock.monotonic();
    const seenBefore = Math.min(2 * this.#intervalMs, Math.max(0, clock.now() - (lastSeenAt ?? createdAt)));
    const since =
      sessions.get(id) !== undefined ? now : known?.lastSeenAt === lastSeenAt ? known.since : now - seenBefore;
    this.#away.set(id, { lastSeenAt, since });
    // A revoked one stays: without its record, its key would be unknown instead of refused.
    return revokedAt === null && now - since >= graceMs;
  }
}
