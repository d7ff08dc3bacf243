import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FiringView, ScheduleView } from '../../../src/protocol/schedule.ts';
import { until } from '../../support/deadline.ts';
import { testApi } from './harness.ts';

const JOB = { kind: 'job', request: { kind: 'shell', command: '/usr/bin/backup --all', target: { node: 'a' } } };
const asked = (changes: object = {}) => ({ cron: '0 7 * * *', action: JOB, ...changes });

test('add, look at it, pause, resume, do it now, look back, remove', async (t) => {
  const api = await testApi(t);
  const { fake } = await api.addNode('a');
  await fake.connect();
  const added = await api.admin.json<ScheduleView>('POST', '/v1/schedules', asked({ timeZone: 'Europe/Berlin' }));
  assert.deepEqual(
    [added.name, added.overlap, added.catchUp, added.createdBy, added.paused, added.last],
    ['backup', 'skip', 'once', 'local', false, null],
  );
  assert.equal(added.nextAt, '2026-01-01T06:00:00.000Z');
  assert.deepEqual(await api.admin.json('GET', '/v1/schedules/backup'), added);
  assert.deepEqual(await api.admin.json('GET', `/v1/schedules`), { schedules: [added] });
  assert.equal((await api.admin.json<ScheduleView>('POST', '/v1/schedules', asked())).name, 'backup-2');

  const change = (paused: boolean) => api.admin.json<ScheduleView>('PATCH', '/v1/schedules/backup', { paused });
  assert.deepEqual([(await change(true)).nextAt, (await change(false)).nextAt], [null, added.nextAt]);

  const firing = await api.admin.json<FiringView>('POST', '/v1/schedules/backup/run');
  assert.deepEqual([firing.cause, firing.state], ['hand', 'started']);
  const run = `${firing.job}.0`;
  await until(() => fake.runs.has(run), 'the run');
  fake.end(run);
  const history = async () =>
    (await api.admin.json<{ firings: FiringView[] }>('GET', '/v1/schedules/backup/history?limit=5')).firings;
  await until(async () => (await history())[0]?.state === 'succeeded', 'the end');
  assert.equal((await api.admin.json<ScheduleView>('GET', '/v1/schedules/backup')).last?.job, firing.job);

  await api.admin.json('DELETE', '/v1/schedules/backup');
  await assert.rejects(api.admin.json('GET', '/v1/schedules/backup'), { code: 'not_found' });
});

test('what is wrong is refused before anything is stored', async (t) => {
  const api = await testApi(t);
  const report = { kind: 'report', format: 'html', sinceMs: 1, out: 'x.html' };
  const job = (changes: object) => ({ kind: 'job', request: { ...JOB.request, ...changes } });
  const wrong: [object, string][] = [
    [asked({ cron: '0 7 * *' }), 'usage'],
    [asked({ timeZone: 'Mars/Olympus' }), 'usage'],
    [asked({ overlap: 'maybe' }), 'bad_request'],
    [asked({ name: 'No Name' }), 'bad_request'],
    [asked({ action: { ...report, out: '../gateway/fleet.db' } }), 'usage'],
    [asked({ action: { ...report, out: `${api.places.home}/gateway/fleet.db` } }), 'usage'],
    [asked({ action: { ...report, format: 'pdf' } }), 'bad_request'],
    [asked({ action: job({ command: '' }) }), 'bad_request'],
    [asked({ action: job({ stdin: true }) }), 'bad_request'],
    [asked({ action: job({ idempotencyKey: 'mine' }) }), 'bad_request'],
    [asked({ action: job({ target: { any: '@all' } }) }), 'bad_request'],
    [asked({ action: 'rm -rf /' }), 'bad_request'],
  ];
  for (const [body, code] of wrong) {
    await assert.rejects(api.admin.json('POST', '/v1/schedules', body), { code }, JSON.stringify(body));
  }
  assert.deepEqual(api.store.schedules.all(), []);
  await api.admin.json('POST', '/v1/schedules', asked({ name: 'mine' }));
  await assert.rejects(api.admin.json('POST', '/v1/schedules', asked({ name: 'mine' })), { code: 'conflict' });
});
