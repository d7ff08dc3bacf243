/** One schedule and one node with a real store and bus, a clock that the test turns, and a node that the test plays. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { Scheduler } from '../../../src/gateway/schedule/scheduler.ts';
import { type FiringRecord, MAX_HISTORY, type ScheduleRecord } from '../../../src/gateway/schedule/schedules-table.ts';
import { until } from '../../support/deadline.ts';
import { type TestApi, testApi } from '../api/harness.ts';

export function scheduleOf(api: TestApi, changes: Partial<ScheduleRecord> = {}): ScheduleRecord {
  return {
    id: `id-${changes.name ?? 'hourly'}`,
    name: 'hourly',
    cron: '@hourly',
    timeZone: 'UTC',
    overlap: 'skip',
    catchUp: 'once',
    action: { kind: 'job', request: { kind: 'shell', command: 'backup', target: { selector: '@all' } } },
    pausedAt: null,
    createdAt: api.clock.now(),
    createdBy: 'local',
    cursor: api.clock.now(),
    ...changes,
  };
}

/** One node that is connected, and one schedule. */
export async function world(t: TestContext, changes: Partial<ScheduleRecord> = {}) {
  const api = await testApi(t);
  const { fake } = await api.addNode('a');
  await fake.connect();
  const schedule = scheduleOf(api, changes);
  await api.scheduler.add(schedule);
  api.scheduler.start();
  const history = (): FiringRecord[] => api.store.schedules.history(schedule.id, MAX_HISTORY).reverse();
  const states = (): string[] => history().map(({ state }) => state);
  const jobs = () => api.store.jobs.list({ since: 0, limit: 1_000 }).reverse();
  const reach = (wanted: string[]): Promise<void> =>
    until(() => JSON.stringify(states()) === JSON.stringify(wanted), `${wanted} (now ${states()})`, 10_000).catch(() =>
      assert.deepEqual(states(), wanted),
    );
  /** Ends the run of the `index`th job once its node has it. */
  const end = async (index: number, exitCode = 0): Promise<void> => {
    const run = (): string => `${jobs()[index]?.id}.0`;
    await until(() => fake.runs.has(run()), `run ${index} on its node`, 10_000);
    fake.end(run(), { exitCode });
  };
  return { api, fake, schedule, history, states, jobs, reach, end };
}

/** What the next process would be, on the same store. */
export function restarted(t: TestContext, api: TestApi, changes: object = {}) {
  const scheduler = new Scheduler({
    ...api.schedulerOptions,
    renderReport: async () => 'report',
    onOutcome: () => {},
    ...changes,
  });
  t.after(() => scheduler.close());
  return scheduler;
}
