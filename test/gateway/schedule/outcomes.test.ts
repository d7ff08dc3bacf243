import assert from 'node:assert/strict';
import { text as readText } from 'node:stream/consumers';
import { test } from 'node:test';
import { MAX_WAITING } from '../../../src/gateway/schedule/plan-firings.ts';
import { until } from '../../support/deadline.ts';
import type { TestApi } from '../api/harness.ts';
import { HEALTHY } from '../monitoring/judge/healthy-heartbeat.ts';
import { restarted, world } from './world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** Times of the schedule by what became of them, as Prometheus hears of them. */
async function firingsOf(api: TestApi): Promise<Record<string, number>> {
  const text = await readText(await api.admin.open('GET', '/metrics'));
  const lines = [...text.matchAll(/^fleet_schedule_firings_total\{schedule="hourly",outcome="(\w+)"\} (\d+)$/gm)];
  return Object.fromEntries(lines.map(([, outcome = '', count]) => [outcome, Number(count)]));
}

test('what became of its times is counted for graphs, also of those that are left out, and from zero on', async (t) => {
  const { api, states, reach, end, jobs, schedule } = await world(t, { overlap: 'queue' });
  assert.deepEqual(await firingsOf(api), { succeeded: 0, failed: 0, skipped: 0, missed: 0 });
  for (let hour = 1; hour <= MAX_WAITING + 3; hour += 1) {
    await api.clock.advance(HOUR);
    await until(() => states().length === hour, `time ${hour}`, 10_000);
  }
  await until(async () => (await firingsOf(api)).skipped === 2, 'the skipped ones', 10_000);
  await end(0, 3);
  await until(() => jobs().length === 2, 'the second job', 10_000);
  await end(1);
  await until(async () => (await firingsOf(api)).succeeded === 1, 'the succeeded one', 10_000);
  assert.deepEqual(await firingsOf(api), { succeeded: 1, failed: 1, skipped: 2, missed: 0 });
  await api.scheduler.remove(schedule);
  assert.deepEqual(await firingsOf(api), {});
  await reach([]);
});

test('missed times are counted, each of them', async (t) => {
  const { api, reach } = await world(t);
  await api.scheduler.close();
  await api.clock.advance(8 * HOUR + 10 * MINUTE);
  const told: unknown[] = [];
  restarted(t, api, { onOutcome: (...outcome: unknown[]) => void told.push(outcome) }).start();
  await reach(['missed', 'started']);
  assert.deepEqual(told, [['hourly', 'missed', 7]]);
});

test('overlap replace: what waited is counted as skipped', async (t) => {
  const { api, fake, schedule, states, jobs, reach } = await world(t, { overlap: 'replace' });
  await api.clock.advance(HOUR);
  await until(() => fake.runs.has(`${jobs()[0]?.id}.0`), 'the first on its node', 10_000);
  await api.clock.advance(HOUR);
  await reach(['started', 'waiting']);
  await api.scheduler.runNow(schedule);
  await until(async () => (await firingsOf(api)).skipped === 1, 'the count', 10_000);
  assert.equal(states()[1], 'skipped');
});

test('a prompt for any node that has the agent: picked when it is due, and a failure of that time when there is none', async (t) => {
  const request = { kind: 'agent' as const, command: 'tidy up', agent: 'coder', target: { any: '@online,@limited' } };
  const { api, fake, history, jobs, reach, end } = await world(t, { action: { kind: 'job', request } });
  const anHour = async (): Promise<void> => {
    await api.clock.advance(HOUR - 1_000);
    const session = api.sessions.get(fake.id);
    assert.ok(session);
    await api.monitor.accept(session, HEALTHY);
    await api.clock.advance(1_000);
  };
  await anHour();
  await reach(['failed']);
  assert.match(history()[0]?.reason ?? '', /node_offline.*has an agent coder/);
  const node = api.store.nodes.byName('a');
  assert.ok(node?.facts);
  const facts = { ...node.facts, capabilities: ['shell', 'agent:coder'] };
  await api.store.write(() => api.store.nodes.setFacts(node.id, facts));
  await anHour();
  await reach(['failed', 'started']);
  await end(0);
  await reach(['failed', 'succeeded']);
  assert.deepEqual([jobs()[0]?.kind, jobs()[0]?.options.agent], ['agent', 'coder']);
  assert.equal(fake.runs.size, 1);
});
