/** Background deletion in small transactions with pauses between them, so that no other write waits for long. */
import { type Clock, Periodic } from '../../shared/clock.ts';
import type { Part } from '../../shared/lifecycle.ts';
import type { Logger } from '../../shared/logger.ts';
import type { DurableStore } from './durable-store.ts';

/** Most rows and bytes that one transaction deletes; a single large row may exceed the bytes. */
export const STEP_ROWS = 500;
export const STEP_BYTES = 4 * 1024 * 1024;
/** Pause between two transactions, ms. */
const STEP_PAUSE_MS = 25;

export interface HousekeepingStep {
  /** Whether there is more to do. */
  more: boolean;
  /** What was deleted, as `onDeleted` counts it. */
  deleted?: number;
}

interface HousekeepingOptions {
  store: Pick<DurableStore, 'write'>;
  clock: Clock;
  logger: Logger;
  /** Each runs in a transaction of its own, within the limits above. A later one starts once those before it have nothing left to do. */
  tasks: readonly (() => HousekeepingStep)[];
  /** Delay of the first round, ms. */
  firstMs: number;
  /** Pause between rounds, ms. */
  intervalMs: number;
  /** Log message of a step that failed; the round is repeated after `intervalMs`. */
  failure: string;
  /** Called after each round that deleted something. */
  onDeleted?(count: number): void;
}

export function createHousekeeping(options: HousekeepingOptions): Part {
  const { store, clock, logger, tasks, firstMs, intervalMs, failure, onDeleted } = options;
  let deleted = 0;
  const work = new Periodic({
    async step() {
      for (const task of tasks) {
        const step = await store.write(task);
        deleted += step.deleted ?? 0;
        if (step.more) return STEP_PAUSE_MS;
      }
      if (deleted > 0) onDeleted?.(deleted);
      deleted = 0;
      return intervalMs;
    },
    onFailure: (error) => logger.error({ err: error }, failure),
    retryMs: intervalMs,
    clock,
  });
  return { start: () => work.start(firstMs), close: () => work.close() };
}
