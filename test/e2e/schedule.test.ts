import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { FiringView, ScheduleView } from '../../src/protocol/schedule.ts';
import type { GatewayView } from '../../src/protocol/views.ts';
import { FleetWorld, kill9, until } from '../support/fleet-processes.ts';

let world: FleetWorld;
before(async () => {
  world = await FleetWorld.create();
  await world.startGateway('--api', '127.0.0.1:0');
  await world.startNode('web-1');
});
after(() => world.close());

const history = (name: string): Promise<FiringView[]> => world.json(['schedule', 'history', name, '--json']);

test('a job of a schedule outlives a gateway that is killed, runs once, and its end is noted', {
  timeout: 120_000,
}, async () => {
  const mark = path.join(world.folder, 'mark');
  const go = path.join(world.folder, 'go');
  const command = `echo once >> ${mark}; until [ -e ${go} ]; do sleep 0.05; done`;
  const line = ['schedule', 'add', '--json', '--name', 'slow', '@yearly', '--', 'run', 'web-1', command];
  const added = await world.json<ScheduleView>(line);
  assert.ok(added.nextAt !== null && Date.parse(added.nextAt) > Date.now());
  const begun = await world.fleet(['schedule', 'run', 'slow']);
  assert.equal(begun.code, 0, begun.stderr);
  await until(() => existsSync(mark), 'the command', 60_000);
  if (world.gateway !== undefined) await kill9(world.gateway);
  await world.startGateway('--api', '127.0.0.1:0');
  assert.equal((await history('slow'))[0]?.state, 'started');
  await world.fleet(['schedule', 'run', 'slow']);
  assert.deepEqual(
    (await history('slow')).map(({ state }) => state),
    ['skipped', 'started'],
  );
  assert.equal((await world.fleet(['run', 'web-1', '--expires', '60s', `touch ${go}`])).code, 0);
  await until(async () => (await history('slow'))[1]?.state === 'succeeded', 'the end of the job', 60_000);
  assert.equal(readFileSync(mark, 'utf8'), 'once\n');
  const { createdBy } = await world.json<{ createdBy: string }>(['jobs', 'show', begun.text.trim(), '--json']);
  assert.equal(createdBy, 'schedule:slow');
});

test('the TZ that a gateway was started with counts for schedules that name no time zone', {
  timeout: 120_000,
}, async () => {
  const home = world.nodeHome('elsewhere');
  const add = [
    'schedule',
    'add',
    '--json',
    '--name',
    'night',
    '@daily',
    '--',
    'health',
    'report',
    '--out',
    'night.txt',
  ];
  for (const [TZ, expected] of [
    ['UTC-3', /^\+03:00$/],
    [':Asia/Kolkata', /^Asia\/(Kolkata|Calcutta)$/],
    ['', /^UTC$/],
    ['CET-1CEST,M3.5.0,M10.5.0/3', /is a POSIX TZ rule/],
    ['Foo/Bar', /there is no time zone Foo\/Bar/],
  ] as const) {
    const gateway = world.spawn(['gateway', 'up', '--listen', '127.0.0.1:0'], { home, env: { TZ } });
    await until(() => gateway.stdout().includes('\n'), `the gateway with TZ=${TZ}`, 60_000);
    const { text } = await world.fleet(add, { home });
    const { timeZone, error } = JSON.parse(text) as ScheduleView & { error?: { message: string } };
    assert.match(error?.message ?? timeZone, expected);
    await world.fleet(['schedule', 'rm', 'night'], { home });
    gateway.child.kill('SIGTERM');
    await gateway.exited;
  }
});

test('a report is written below HOME/reports', { timeout: 120_000 }, async () => {
  const line = ['schedule', 'add', '@daily', 'health', 'report', '--format', 'html', '--out', 'today/fleet.html'];
  assert.equal((await world.fleet(line)).text, 'report\n');
  await world.fleet(['schedule', 'run', 'report']);
  await until(async () => (await history('report'))[0]?.state === 'succeeded', 'the report', 60_000);
  assert.match(readFileSync(path.join(world.home, 'reports/today/fleet.html'), 'utf8'), /web-1/);
});

test('Prometheus gets its metrics over TCP, with the token and not without', { timeout: 120_000 }, async () => {
  const { api } = await world.json<GatewayView>(['gateway', 'status', '--json']);
  assert.ok(api);
  const token = readFileSync(path.join(world.home, 'gateway/api.token'), 'utf8').trim();
  const get = (headers: http.OutgoingHttpHeaders): Promise<{ status: number | undefined; text: string }> =>
    new Promise((resolve, reject) => {
      const request = http.get({ ...api, path: '/metrics', headers }, (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => {
          text += chunk;
        });
        response.once('end', () => resolve({ status: response.statusCode, text }));
      });
      request.once('error', reject);
    });
  assert.equal((await get({})).status, 401);
  const { status, text } = await get({ authorization: `Bearer ${token}` });
  assert.equal(status, 200);
  assert.match(text, /^fleet_node_up\{node="web-1"\} 1$/m);
  assert.match(text, /^fleet_gateway_sessions 1$/m);
  assert.match(text, /^process_resident_memory_bytes \d{6,}$/m);
});
