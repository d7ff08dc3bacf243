import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { MAX_WAITING } from '../../../src/gateway/schedule/plan-firings.ts';
import { MAX_HISTORY, type ScheduleRecord } from '../../../src/gateway/schedule/schedules-table.ts';
import { FleetError } from '../../../src/shared/errors.ts';
import { settle, until } from '../../support/deadline.ts';
import { restarted, scheduleOf, world } from './world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

test('does at its time what it is to do, under its own name, and notes what became of it', async (t) => {
  const { api, history, jobs, reach, end } = await world(t);
  await api.clock.advance(HOUR - 1);
  assert.deepEqual(history(), []);
  const due = api.clock.now() + 1;
  await api.clock.advance(1);
  await reach(['started']);
  await end(0);
  await reach(['succeeded']);
  const [job] = jobs();
  assert.deepEqual([job?.command, job?.createdBy], ['backup', 'schedule:hourly']);
  assert.equal(job?.idempotencyKey, `id-hourly@${new Date(due).toISOString()}`);
  const [firing] = history();
  assert.deepEqual([firing?.plannedAt, firing?.cause, firing?.jobId], [due, 'time', job?.id]);
  await api.clock.advance(HOUR);
  await reach(['succeeded', 'started']);
  await end(1, 3);
  await reach(['succeeded', 'failed']);
  assert.match(history()[1]?.reason ?? '', /1 of 1 runs failed/);
});

test('overlap skip: what is due while the one before goes on is left out, and says so', async (t) => {
  const { api, history, jobs, reach, end } = await world(t);
  await api.clock.advance(HOUR);
  await reach(['started']);
  await api.clock.advance(HOUR);
  await reach(['started', 'skipped']);
  assert.match(history()[1]?.reason ?? '', /still in progress/);
  await end(0);
  await reach(['succeeded', 'skipped']);
  assert.equal(jobs().length, 1);
});

test('overlap queue: one after the other, and no more than a few wait', async (t) => {
  const { api, states, jobs, reach, end } = await world(t, { overlap: 'queue' });
  for (let hour = 0; hour < MAX_WAITING + 2; hour += 1) {
    await api.clock.advance(HOUR);
    await until(() => states().length === hour + 1, 'the next entry');
  }
  assert.equal(jobs().length, 1);
  await reach(['started', ...Array.from({ length: MAX_WAITING }, () => 'waiting'), 'skipped']);
  await end(0);
  await until(() => jobs().length === 2, 'the second job');
  assert.deepEqual(states().slice(0, 3), ['succeeded', 'started', 'waiting']);
});

test('overlap replace: the one before is canceled, and the new one begins when it has ended', async (t) => {
  const { api, fake, history, jobs, reach } = await world(t, { overlap: 'replace' });
  await api.clock.advance(HOUR);
  await reach(['started']);
  await until(() => fake.runs.has(`${jobs()[0]?.id}.0`), 'the first on its node');
  const run = `${jobs()[0]?.id}.0`;
  await api.clock.advance(HOUR);
  await reach(['started', 'waiting']);
  await until(() => fake.count('cancel', run) > 0, 'the cancel');
  fake.end(run, { state: 'canceled', exitCode: null });
  await reach(['failed', 'started']);
  await until(() => jobs().length === 2, 'the second job');
  assert.notEqual(history()[0]?.jobId, history()[1]?.jobId);
});

test('a crash between the job and its note does not run it twice', async (t) => {
  const request = { kind: 'shell' as const, command: 'x', target: { node: 'a' } };
  const { api, jobs, schedule } = await world(t, { action: { kind: 'job', request } });
  await api.scheduler.close();
  const plannedAt = api.clock.now();
  // What a process leaves that dies right after the submission.
  await api.store.write(() => {
    const entry = { scheduleId: schedule.id, plannedAt, cause: 'time' as const, count: 1, endedAt: null, reason: null };
    const added = api.store.schedules.addFiring({ ...entry, state: 'waiting' });
    if (added !== undefined) api.store.schedules.changeFiring(added.seq, { state: 'started', firedAt: plannedAt });
  });
  const before = restarted(t, api);
  before.start();
  await until(() => jobs().length === 1, 'the job');
  await before.close();
  await api.store.write(() => {
    const [open] = api.store.schedules.openFirings(schedule.id);
    if (open !== undefined) api.store.schedules.changeFiring(open.seq, { jobId: null });
    // Its target would not be found any more; what was submitted needs none.
    api.store.nodes.rename('id-a', 'b');
  });
  const after = restarted(t, api);
  after.start();
  await until(() => api.store.schedules.openFirings(schedule.id)[0]?.jobId === jobs()[0]?.id, 'the same job');
  assert.equal(jobs().length, 1);
});

test('a job that ended while the gateway was down is noted after the next start', async (t) => {
  const { api, reach, end, jobs } = await world(t);
  await api.clock.advance(HOUR);
  await reach(['started']);
  await api.scheduler.close();
  await end(0);
  await until(() => api.store.runs.ofJob(jobs()[0]?.id ?? '')[0]?.state === 'exited', 'the end of the run');
  assert.equal(api.store.schedules.openFirings('id-hourly').length, 1);
  restarted(t, api).start();
  await reach(['succeeded']);
});

test('after a night without a gateway: once, and the account of what was missed', async (t) => {
  const { api, history, reach, end } = await world(t);
  await api.scheduler.close();
  await api.clock.advance(8 * HOUR + 10 * MINUTE);
  restarted(t, api).start();
  await reach(['missed', 'started']);
  assert.deepEqual([history()[0]?.count, history()[1]?.cause], [7, 'catch_up']);
  await end(0);
  await reach(['missed', 'succeeded']);
});

test('catch-up all: each, one after the other; none: none', async (t) => {
  const { api, jobs, reach, end } = await world(t, { catchUp: 'all' });
  const none = scheduleOf(api, { name: 'none', catchUp: 'none' });
  await api.scheduler.add(none);
  await api.scheduler.close();
  await api.clock.advance(3 * HOUR + 10 * MINUTE);
  restarted(t, api).start();
  await reach(['started', 'waiting', 'waiting']);
  await end(0);
  await reach(['succeeded', 'started', 'waiting']);
  await end(1);
  await end(2);
  await reach(['succeeded', 'succeeded', 'succeeded']);
  assert.equal(jobs().length, 3);
  assert.deepEqual(
    api.store.schedules.history(none.id, 10).map(({ state, count }) => [state, count]),
    [['missed', 3]],
  );
});

test('the wall clock jumps ahead, and back: seen without waiting for the next time, and nothing is done twice', async (t) => {
  const { api, jobs, reach, end } = await world(t);
  api.clock.jumpWall(HOUR + 5 * MINUTE);
  await api.clock.advance(MINUTE);
  await reach(['started']);
  await end(0);
  await reach(['succeeded']);
  api.clock.jumpWall(-2 * HOUR);
  await api.clock.advance(HOUR + 30 * MINUTE);
  await settle();
  assert.equal(jobs().length, 1);
  await api.clock.advance(2 * HOUR);
  await reach(['succeeded', 'started']);
});

test('paused: nothing is due, nothing is missed; resumed: the next time', async (t) => {
  const { api, schedule, states, reach } = await world(t);
  await api.scheduler.setPaused(schedule, true);
  await api.clock.advance(5 * HOUR + MINUTE);
  assert.deepEqual(states(), []);
  await api.scheduler.setPaused(schedule, false);
  await api.clock.advance(HOUR);
  await reach(['started']);
});

test('removed in the middle: its job runs on, nothing more comes', async (t) => {
  const { api, schedule, jobs, reach, end } = await world(t);
  await api.clock.advance(HOUR);
  await reach(['started']);
  await api.scheduler.remove(schedule);
  await end(0);
  await until(() => api.store.runs.ofJob(jobs()[0]?.id ?? '')[0]?.state === 'exited', 'the end of the run');
  await api.clock.advance(3 * HOUR);
  await settle();
  assert.equal(jobs().length, 1);
});

test('a report is written; one that cannot be is a failure with its reason, and the next time comes', async (t) => {
  const out = 'fleet.txt';
  const { api, schedule, history, reach } = await world(t, {
    action: { kind: 'report', format: 'text', sinceMs: HOUR, out },
  });
  await api.clock.advance(HOUR);
  await reach(['succeeded']);
  const file = path.join(api.places.reports, out);
  assert.match(readFileSync(file, 'utf8'), /\ba\b/);
  await api.scheduler.close();
  const renderReport = (): never => {
    throw new FleetError('storage_failed', 'no space');
  };
  const scheduler = restarted(t, api, { renderReport });
  writeFileSync(file, 'as it was');
  await scheduler.runNow(schedule);
  await reach(['succeeded', 'failed']);
  assert.match(history()[1]?.reason ?? '', /storage_failed: no space/);
  assert.equal(readFileSync(file, 'utf8'), 'as it was');
});

test('a target that is not there is a failure of that time only', async (t) => {
  const { api, history, reach } = await world(t, {
    action: { kind: 'job', request: { kind: 'shell', command: 'x', target: { node: 'gone' } } },
  });
  await api.clock.advance(HOUR);
  await reach(['failed']);
  assert.match(history()[0]?.reason ?? '', /not_found: there is no node called gone/);
  await api.clock.advance(HOUR);
  await reach(['failed', 'failed']);
});

test('by hand: at once, and the times of the schedule stay', async (t) => {
  const { api, schedule, reach, end } = await world(t);
  await api.clock.advance(MINUTE);
  const firing = await api.scheduler.runNow(schedule);
  assert.deepEqual([firing.cause, firing.state, typeof firing.jobId], ['hand', 'started', 'string']);
  assert.equal((await api.scheduler.runNow(schedule)).state, 'skipped', 'the policy counts, too');
  await end(0);
  await reach(['succeeded', 'skipped']);
  await api.clock.advance(59 * MINUTE);
  await reach(['succeeded', 'skipped', 'started']);
});

test('the history is bounded', async (t) => {
  const { api, history } = await world(t, { cron: '* * * * *', action: missing() });
  for (let minute = 0; minute < MAX_HISTORY + 5; minute += 1) {
    await api.clock.advance(MINUTE);
    await until(() => history().length === Math.min(minute + 1, MAX_HISTORY), 'the next entry');
  }
  assert.equal(history().length, MAX_HISTORY);
});

function missing(): ScheduleRecord['action'] {
  return { kind: 'job', request: { kind: 'shell', command: 'x', target: { node: 'gone' } } };
}

test('a disk that refuses: nothing is lost, and it is done once the disk is well', async (t) => {
  const { api, jobs, reach } = await world(t);
  const write = t.mock.method(api.store, 'write', () => Promise.reject(new FleetError('storage_failed', 'disk full')));
  await api.clock.advance(HOUR);
  await settle();
  assert.equal(jobs().length, 0);
  assert.ok(write.mock.callCount() > 0);
  write.mock.restore();
  await api.clock.advance(5_000);
  await reach(['started']);
  await until(() => jobs().length === 1, 'the job');
});
