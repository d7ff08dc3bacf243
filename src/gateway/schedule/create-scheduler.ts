/** Puts the scheduler together: what it needs of the bus, the API's targets and the reports. */

import type { FiringOutcome } from '../../domain/vocabulary.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import { describeTarget, resolveTarget } from '../api/find.ts';
import type { ViewSources } from '../api/views.ts';
import type { Bus } from '../bus/bus.ts';
import { FiringRunner } from './firing-runner.ts';
import { type ReportPlaces, writeReportFile } from './report-file.ts';
import { Scheduler } from './scheduler.ts';
import type { ScheduleStore } from './schedules-table.ts';

interface CreateSchedulerOptions extends ViewSources {
  store: ScheduleStore;
  bus: Bus;
  clock: Clock;
  logger: Logger;
  places: ReportPlaces;
  /** The finished document about what was from `from` until now, ms. */
  renderReport(format: string, from: number): Promise<string>;
  /** Called for times of a schedule that were done, or are left out. */
  onOutcome?(schedule: string, outcome: FiringOutcome, count: number): void;
}

export function createScheduler(options: CreateSchedulerOptions): Scheduler {
  const { store, bus, clock, logger, places, renderReport, onOutcome } = options;
  const runner = new FiringRunner({
    store,
    bus,
    clock,
    logger,
    onEnd: ({ scheduleId, state }) => {
      const schedule = store.schedules.byId(scheduleId);
      if (schedule !== undefined) onOutcome?.(schedule.name, state === 'succeeded' ? 'succeeded' : 'failed', 1);
    },
    submit: async (request, submitter) => {
      const { job } = await bus.submit(request, resolveTarget(request, options), describeTarget(request), submitter);
      return job.id;
    },
    writeReport: async ({ format, sinceMs, out }) =>
      await writeReportFile(out, await renderReport(format, clock.now() - sinceMs), places),
  });
  return new Scheduler({ store, runner, clock, logger, ...(onOutcome === undefined ? {} : { onLeftOut: onOutcome }) });
}
