/** Keeps the health history small: rolls it up and deletes what is too old, in small steps with pauses in between. */
import type { Clock } from '../../../shared/clock.ts';
import type { Part } from '../../../shared/lifecycle.ts';
import type { Logger } from '../../../shared/logger.ts';
import type { Ages } from '../../store/durable-store.ts';
import { createHousekeeping, type HousekeepingStep, STEP_ROWS } from '../../store/housekeeping.ts';
import { DAY_MS, RESOLUTIONS } from '../history/resolutions.ts';
import { gapsWithin, totalMs, unknownTimes } from '../intervals.ts';
import type { JudgeStore } from './judge-store.ts';

/** Interval between checks for work, ms. */
const INTERVAL_MS = 15_000;
/** Interval between rounds that tidy the sessions and incidents of all nodes, ms. */
const TIDY_INTERVAL_MS = 3_600_000;
/** How long sessions and incidents stay exact, ms. */
const DETAILED_MS = 30 * DAY_MS;
/** After that, sessions with shorter gaps are joined and shorter incidents deleted, ms. */
const JOIN_GAP_MS = 3_600_000;
const BRIEF_INCIDENT_MS = 10 * 60_000;

/** How long each resolution is kept, ms. Days, sessions and incidents are kept as long as hours. */
export interface HistoryRetention {
  raw: number;
  '5m': number;
  '1h': number;
  disks: number;
}

export interface HistoryKeeperOptions {
  store: JudgeStore;
  clock: Clock;
  logger: Logger;
  ages: Ages;
  retention: HistoryRetention;
}

export class HistoryKeeper {
  readonly #options: HistoryKeeperOptions;
  readonly #work: Part;
  #tidiedAt: number | undefined;
  /** Nodes left to tidy in this round, and where to continue in the sessions of the first. */
  #untidy: string[] = [];
  #joinFrom = 0;

  constructor(options: HistoryKeeperOptions) {
    this.#options = options;
    this.#work = createHousekeeping({
      ...options,
      tasks: [() => this.#rollUp(), () => this.#prune(), () => this.#tidyNext()],
      firstMs: INTERVAL_MS,
      intervalMs: INTERVAL_MS,
      failure: 'could not roll up or delete old health history',
    });
  }

  start(): void {
    this.#work.start?.();
  }

  /** Resolves when a step in progress has ended. */
  async close(): Promise<void> {
    await this.#work.close?.();
  }

  #rollUp(): HousekeepingStep {
    const { store, clock } = this.#options;
    const now = clock.now();
    store.gatewayUptime.noteSeen(now);
    return { more: store.history.rollUp.step(now) };
  }

  #prune(): HousekeepingStep {
    const { store, ages, retention } = this.#options;
    for (const resolution of RESOLUTIONS) {
      const keptMs = retention[resolution === '1d' ? '1h' : resolution];
      const rows = store.history.prune(resolution, ages.cutoff(keptMs), STEP_ROWS);
      if (rows > 0) return { more: rows === STEP_ROWS };
    }
    return { more: false };
  }

  #tidyNext(): HousekeepingStep {
    const { store, clock } = this.#options;
    if (this.#untidy.length === 0) {
      const isDue = this.#tidiedAt === undefined || clock.monotonic() - this.#tidiedAt >= TIDY_INTERVAL_MS;
      if (!isDue) return { more: false };
      this.#tidiedAt = clock.monotonic();
      this.#untidy = store.nodes.all().map(({ id }) => id);
    }
    const [nodeId] = this.#untidy;
    if (nodeId === undefined) return { more: false };
    const next = this.#tidy(nodeId);
    this.#joinFrom = next ?? 0;
    if (next === null) this.#untidy.shift();
    return { more: true };
  }

  /** @returns where to continue in the node's sessions; null when done. */
  #tidy(nodeId: string): number | null {
    const { store, ages, retention } = this.#options;
    const before = ages.cutoff(retention['1h']);
    store.gatewayUptime.forget(before);
    const detailedFrom = ages.cutoff(DETAILED_MS);
    store.incidents.forget(nodeId, { before, briefBefore: detailedFrom, briefMs: BRIEF_INCIDENT_MS });
    store.sessions.forgetSessions(nodeId, before);
    store.history.disks.prune(nodeId, ages.cutoff(retention.disks));
    return store.sessions.joinSessions(nodeId, this.#joinFrom, detailedFrom, JOIN_GAP_MS, (gap) =>
      totalMs(gapsWithin(unknownTimes(store.gatewayUptime.downtimes(gap.from, gap.to), [], gap), gap)),
    );
  }
}
