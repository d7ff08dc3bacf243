import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import type { HealthDayView, HealthNodeView } from '../../../src/protocol/views.ts';
import { FakeGateway, fail, json } from '../../client/fake-gateway.ts';
import { TestWorld } from '../test-world.ts';

const NODE: HealthNodeView = {
  name: 'node-1',
  status: 'limited',
  reasons: ['disk 95% (limit 90%)'],
  cpuPct: 12.4,
  load1: 0.5,
  memUsedPct: 40,
  diskUsedPct: 95,
  rttMs: 30,
  skewMs: 1,
  uptimeS: 7200,
  lastSeenAt: '2026-01-01T00:00:00.000Z',
  linkScore: 97,
  machineScore: 65,
  jitterMs: 2,
  lostPct: 0,
  reconnectsPerHour: 0,
};

describe('fleet health', { timeout: 20_000 }, () => {
  let gateway: FakeGateway;
  let world: TestWorld;
  beforeEach(async () => {
    gateway = await new FakeGateway().listen();
    world = new TestWorld(gateway.home);
    world.clock = { ...world.clock, now: () => Date.UTC(2026, 0, 1, 0, 1) };
  });
  afterEach(() => gateway.close());

  test('the exit code is that of a Nagios plugin', async () => {
    const expected = { online: 0, limited: 1, error: 2, offline: 2, unknown: 3, 'something new': 3 };
    for (const status of Object.keys(expected))
      gateway.on('GET /v1/health', json({ status, nodes: [NODE], alerts: [] }));
    for (const [status, code] of Object.entries(expected)) {
      assert.equal((await world.run('health')).exitCode, code, status);
    }
  });

  test('one line a node, with the reasons', async () => {
    gateway.on('GET /v1/health', json({ status: 'limited', nodes: [NODE], alerts: [] }));
    const { stdout } = await world.run('health', 'node-1');
    assert.equal(gateway.seen[0]?.url, '/v1/health?node=node-1');
    assert.match(
      stdout,
      /\nnode-1 +limited +12 % +0\.50 +40 % +95 % +30 ms +97 +65 +2h +1m ago +disk 95% \(limit 90%\)\n$/,
    );
    assert.deepEqual(JSON.parse((await world.run('health', '--json')).stdout), {
      status: 'limited',
      nodes: [NODE],
      alerts: [],
    });
  });

  test('--processes shows what uses the node right now, whatever its programs are called', async () => {
    const view = {
      node: 'node-1',
      processes: [
        { pid: 4711, user: 'anna', cpuPct: 49.96, memPct: 3.14, rssBytes: 3 * 2 ** 20, command: 'ngi\u001b[31mnx' },
        { pid: 12, user: null, cpuPct: 0, memPct: 0, rssBytes: 0, command: 'kthreadd' },
      ],
    };
    gateway.on('GET /v1/nodes/node-1/processes', json(view));
    const { stdout, exitCode } = await world.run('health', 'node-1', '--processes');
    assert.equal(exitCode, 0);
    assert.match(stdout, /^ +PID +USER +CPU +MEM +RSS +COMMAND\n/);
    assert.match(
      stdout,
      /\n *4711 +anna +50\.0 % +3\.1 % +3 MiB +ngi\ufffd\[31mnx\n +12 +- +0\.0 % +0\.0 % +0 B +kthreadd\n$/,
    );
    const asJson = await world.run('health', 'node-1', '--processes', '--sort', 'mem', '--limit', '5', '--json');
    assert.deepEqual(JSON.parse(asJson.stdout), view);
    assert.deepEqual(
      gateway.seen.map(({ url }) => url),
      ['/v1/nodes/node-1/processes', '/v1/nodes/node-1/processes?limit=5&sort=mem'],
    );
  });

  test('--processes of a node that is offline is unknown; of no node, or its options without it, wrong usage', async () => {
    gateway.on('GET /v1/nodes/node-1/processes', fail(503, 'node_offline', 'node-1 is offline'));
    const offline = await world.run('health', 'node-1', '--processes');
    assert.equal(offline.exitCode, 3);
    assert.match(offline.stderr, /offline/);
    for (const words of [['--processes'], ['node-1', '--sort', 'mem'], ['node-1', '--limit', '5']]) {
      assert.equal((await world.run('health', ...words)).exitCode, 2, words.join(' '));
    }
    assert.equal(gateway.seen.length, 1);
  });

  test('of a single node, also the last 24 hours: a chart of each figure, and what went wrong', async () => {
    const figures = { min: 1, avg: 12.4, max: 97, p95: 41 };
    const day: HealthDayView = {
      uptimePct: 99.999,
      outages: 1,
      incidents: [
        {
          status: 'offline',
          start: '2025-12-31T22:01:00.000Z',
          end: '2025-12-31T22:11:00.000Z',
          durationMs: 600_000,
          reasons: [],
        },
        {
          status: 'limited',
          start: '2025-12-31T23:01:00.000Z',
          end: null,
          durationMs: 3_600_000,
          reasons: ['disk / 95%'],
        },
      ],
      forecasts: [{ mount: '/', fullAt: '2026-01-07T00:00:00.000Z', fullInMs: 6 * 86_400_000, risePctPerDay: 0.84 }],
      cpuPct: figures,
      memUsedPct: figures,
      diskUsedPct: null,
      rttMs: { min: 8, avg: 9.4, max: 40, p95: 20 },
      series: {
        partMs: 1_800_000,
        cpuPct: [0, 50, null, 100],
        memUsedPct: [40, 40, 40, 40],
        diskUsedPct: [],
        rttMs: [10, 40],
        onlinePct: [100, 0],
      },
    };
    gateway.on('GET /v1/health', json({ status: 'limited', nodes: [NODE], alerts: [], day }));
    const { stdout } = await world.run('health', 'node-1');
    assert.match(stdout, /^last 24 hours: +uptime 99\.99 %, 1 outage$/m);
    assert.match(stdout, /^cpu: +▁▅ █ {2}mean 12 %, 95 % below 41 %, max 97 %$/m);
    assert.match(stdout, /^disk: +-$/m);
    assert.match(stdout, /^round trip: +▃█ {2}mean 9\.4 ms, 95 % below 20 ms, max 40 ms$/m);
    assert.match(stdout, /^will be full: +\/ in 6d \(rising 0\.8 % a day\)$/m);
    assert.match(stdout, /^offline: +2h ago, for 10m$/m);
    assert.match(stdout, /^limited: +1h ago, ongoing, disk \/ 95%$/m);

    // On a terminal, charts give way to what stands beside them: the latest hours stay.
    const cpuPct = Array.from({ length: 48 }, (_, part) => (part === 47 ? 100 : 1));
    const long = { ...day, series: { ...day.series, cpuPct, onlinePct: cpuPct } };
    gateway.answerWith('GET /v1/health', json({ status: 'limited', nodes: [NODE], alerts: [], day: long }));
    for (const [columns, chart] of [
      [80, 22],
      [120, 48],
      [40, 8],
    ] as const) {
      Object.assign(world.stdout, { isTTY: true, columns, rows: 24 });
      const narrow = await world.run('health', 'node-1');
      const lines = stripVTControlCharacters(narrow.stdout).split('\n');
      const cpu = lines.find((line) => line.startsWith('cpu:')) ?? '';
      assert.match(
        cpu,
        new RegExp(`^cpu: +▁{${chart - 1}}█ {2}mean 12 %, 95 % below 41 %, max 97 %$`),
        String(columns),
      );
      if (columns >= 80) for (const line of lines) assert.ok(line.length <= columns, line);
    }
  });

  test('without a gateway health is unknown; a wrong command line is a wrong command line', async () => {
    gateway.on('GET /v1/health', fail(404, 'not_found', 'there is no node called x'));
    assert.equal((await world.run('health', 'x')).exitCode, 3);
    await gateway.stop();
    const { exitCode, stdout } = await world.run('health', '--json');
    assert.equal(exitCode, 3);
    assert.equal(JSON.parse(stdout).error.code, 'gateway_unreachable');
    assert.equal((await world.run('health', 'report')).exitCode, 3);
    assert.equal((await world.run('health', 'report', '--since', 'x')).exitCode, 2);
  });

  test('the report goes to stdout as it is', async () => {
    gateway.on(
      'GET /v1/health/report',
      (response) => void response.writeHead(200, { 'fleet-status': 'online' }).end('<p>ä'),
    );
    const { stdout, exitCode } = await world.run('health', 'report', '--since', '1m', '--format', 'html');
    assert.deepEqual([stdout, exitCode], ['<p>ä', 0]);
    assert.equal(gateway.seen[0]?.url, `/v1/health/report?since=${Date.UTC(2026, 0, 1)}&format=html`);
    await world.run('health', 'report', '--json');
    assert.match(gateway.seen[1]?.url ?? '', /format=json$/);
  });

  test('--out replaces the file as a whole, and says nothing', async () => {
    const file = path.join(gateway.home, 'report.txt');
    writeFileSync(file, 'old');
    gateway.on(
      'GET /v1/health/report',
      (response) => void response.writeHead(200, { 'fleet-status': 'offline' }).end('new'),
      (response) => {
        response.writeHead(200, { 'content-length': 100 }).write('half', () => response.destroy());
      },
    );
    const written = await world.run('health', 'report', '--out', file);
    assert.deepEqual([written.exitCode, written.stdout, written.stderr], [2, '', '']);
    assert.equal(readFileSync(file, 'utf8'), 'new');
    const broken = await world.run('health', 'report', '--out', file);
    assert.equal(broken.exitCode, 3);
    assert.match(broken.stderr, /connection was lost/);
    assert.equal(readFileSync(file, 'utf8'), 'new');
    assert.deepEqual(readdirSync(gateway.home).sort(), ['gateway.sock', 'report.txt']);
  });

  test('--exit-zero for cron; a file that cannot be written is still a failure', async () => {
    gateway.on(
      'GET /v1/health/report',
      (response) => void response.writeHead(200, { 'fleet-status': 'error' }).end('r'),
    );
    assert.equal((await world.run('health', 'report', '--exit-zero')).exitCode, 0);
    const out = path.join(gateway.home, 'no/such/folder');
    const { exitCode, stderr } = await world.run('health', 'report', '--exit-zero', '--out', out);
    assert.equal(exitCode, 255);
    assert.match(stderr, /cannot write .*ENOENT/);
  });
});
