/** Keeps the health history small: rolls it up and deletes what is too old. */
import type { Clock } from '../../../shared/clock.ts';
import type { Part } from '../../../shared/lifecycle.ts';
import type { Logger } from '../../../shared/logger.ts';
import type { Ages } from '../../store/durable-store.ts';
import { createHousekeeping, type HousekeepingStep, STEP_ROWS } from '../../store/housekeeping.ts';
import { DAY_MS, HOUR_MS, RESOLUTIONS } from '../history/resolutions.ts';
import { gapsWithin, totalMs, unknownTimes } from '../intervals.ts';
import type { JudgeStore } from './judge-store.ts';

/** Interval between checks for work, ms. */
const INTERVAL_MS = 15_000;
/** Interval between rounds that tidy the sessions and incidents of all nodes, ms. */
const TIDY_INTERVAL_MS = HOUR_MS;
/** How long sessions and incidents stay exact, ms. */
const DETAILED_MS = 30 * DAY_MS;
/** After that, sessions with shorter gaps are joined and shorter incidents deleted, ms. */
const JOIN_GAP_MS = HOUR_MS;
const BRIEF_INCIDENT_MS = 10 * 60_000;

/** How long each resolution is kept, ms. Days, sessions and incidents are kept as long as hours. */
export interface HistoryRetention {
  raw: number;
  '5m': number;
  '1h': number;
  disks: number;
}

interface HistoryKeeperOptions {
  store: JudgeStore;
  clock: Clock;
  logger: Logger;
  ages: Ages;
  retention: HistoryRetention;
}

export function createHistoryKeeper({ store, clock, logger, ages, retention }: HistoryKeeperOptions): Part {
  let tidiedAt = Number.NEGATIVE_INFINITY;
  /** Nodes left to tidy in this round, and where to continue in the sessions of the first. */
  let untidy: string[] = [];
  let joinFrom = 0;

  const rollUp = (): HousekeepingStep => {
    const now = clock.now();
    store.gatewayUptime.noteSeen(now);
    return { more: store.history.rollUp.step(now) };
  };

  const prune = (): HousekeepingStep => {
    for (const resolution of RESOLUTIONS) {
      const cutoff = ages.cutoff(retention[resolution === '1d' ? '1h' : resolution]);
      const rows = store.history.prune(resolution, cutoff, STEP_ROWS);
      if (rows > 0) return { more: rows === STEP_ROWS };
    }
    return { more: false };
  };

  const tidy = (): HousekeepingStep => {
    if (untidy.length === 0 && clock.monotonic() - tidiedAt >= TIDY_INTERVAL_MS) {
      tidiedAt = clock.monotonic();
      untidy = store.nodes.all().map(({ id }) => id);
    }
    const [nodeId] = untidy;
    if (nodeId === undefined) return { more: false };
    const before = ages.cutoff(retention['1h']);
    const detailedFrom = ages.cutoff(DETAILED_MS);
    store.gatewayUptime.forget(before);
    store.incidents.forget(nodeId, { before, briefBefore: detailedFrom, briefMs: BRIEF_INCIDENT_MS });
    store.sessions.forgetSessions(nodeId, before);
    store.history.disks.prune(nodeId, ages.cutoff(retention.disks));
    const next = store.sessions.joinSessions(nodeId, joinFrom, detailedFrom, JOIN_GAP_MS, (gap) =>
      totalMs(gapsWithin(unknownTimes(store.gatewayUptime.downtimes(gap.from, gap.to), [], gap), gap)),
    );
    joinFrom = next ?? 0;
    if (next === null) untidy.shift();
    return { more: true };
  };

  return createHousekeeping({
    store,
    clock,
    logger,
    tasks: [rollUp, prune, tidy],
    firstMs: INTERVAL_MS,
    intervalMs: INTERVAL_MS,
    failure: 'could not roll up or delete old health history',
  });
}
