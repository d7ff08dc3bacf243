import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { CloneView, NodeDetailView, NodeView, PendingView } from '../../../src/protocol/views.ts';
import { FakeGateway, fail, json } from '../../client/fake-gateway.ts';
import { TestWorld } from '../test-world.ts';

const NODE: NodeView = {
  id: 'kcx3q1jy6z2b',
  name: 'node-1',
  status: 'online',
  labels: { site: 'berlin', role: 'web' },
  capabilities: ['shell'],
  lastSeenAt: '2026-01-01T00:00:00.000Z',
  connectedSince: '2026-01-01T00:00:00.000Z',
  rttMs: 3.14,
  agentVersion: '0.1.0',
  os: 'linux',
  arch: 'x64',
  hostname: 'vm',
};
const DETAIL: NodeDetailView = {
  ...NODE,
  reasons: [],
  fingerprint: 'SHA256:x',
  address: '192.0.2.1',
  pairedAt: '2026-01-01T00:00:00.000Z',
  osRelease: '6.1',
  skewMs: -2,
  policy: null,
  clone: null,
  runsActive: 0,
};
const PENDING: PendingView = {
  name: 'pi',
  code: '4831-2290',
  fingerprint: 'SHA256:y',
  address: '192.0.2.2',
  hostname: 'pi',
  os: 'linux',
  arch: 'arm64',
  labels: {},
  since: '2026-01-01T00:00:00.000Z',
};

describe('fleet nodes', { timeout: 20_000 }, () => {
  let gateway: FakeGateway;
  let world: TestWorld;
  beforeEach(async () => {
    gateway = await new FakeGateway().listen();
    world = new TestWorld(gateway.home);
    world.clock = { ...world.clock, now: () => Date.UTC(2026, 0, 1, 0, 1) };
  });
  afterEach(() => gateway.close());

  test('a table for people, a bare array for scripts', async () => {
    gateway.on(
      'GET /v1/nodes',
      json({ nodes: [NODE, { ...NODE, name: 'n2', status: 'offline', lastSeenAt: null, rttMs: null }] }),
    );
    const { stdout } = await world.run('nodes');
    assert.match(stdout, /^NAME +STATUS +LAST SEEN +RTT +LABELS +VERSION\n/);
    assert.match(stdout, /\nnode-1 +online +1m ago +3\.1 ms +role=web,site=berlin +0\.1\.0\n/);
    assert.match(stdout, /\nn2 +offline +never +-/);
    assert.deepEqual(JSON.parse((await world.run('nodes', '--json')).stdout)[0], NODE);
  });

  test('a key that two machines use: both are shown, and what to do; reset', async () => {
    const machines: CloneView['machines'] = [
      { hostname: 'pi', address: '192.0.2.1', machineId: '0123456789', at: '2026-01-01T00:00:00.000Z' },
      { hostname: 'evil\u001b[2J', address: '192.0.2.9', machineId: null, at: '2026-01-01T00:00:30.000Z' },
    ];
    const clone: CloneView = { kind: 'behind', since: '2026-01-01T00:00:00.000Z', count: 3, machines };
    gateway.on('GET /v1/nodes/node-1', json({ ...DETAIL, clone, policy: true }));
    const { stdout } = await world.run('nodes', 'show', 'node-1');
    assert.match(stdout, /duplicate key: +seen 3 times, first 1m ago\n/);
    assert.match(stdout, /one: +pi, 192\.0\.2\.1, machine 01234567, 1m ago\n/);
    assert.match(stdout, /the other: +evil.*, 192\.0\.2\.9, 30s ago\n/);
    assert.match(stdout, /policy: +the node's own/);
    assert.ok(!stdout.includes('\u001b'));
    gateway.on('POST /v1/nodes/node-1/reset', json(DETAIL));
    assert.match((await world.run('nodes', 'reset', 'node-1')).stdout, /^node-1 is reset/);
  });

  test('only those with a label or status', async () => {
    const other = { ...NODE, name: 'n2', labels: { site: 'rome' }, status: 'error' };
    gateway.on('GET /v1/nodes', json({ nodes: [NODE, other] }));
    const names = async (...args: string[]): Promise<string[]> =>
      JSON.parse((await world.run('nodes', '--json', ...args)).stdout).map(({ name }: NodeView) => name);
    assert.deepEqual(await names('--label', 'site=rome'), ['n2']);
    assert.deepEqual(await names('--label', 'site=berlin', '--label', 'role=db'), []);
    assert.deepEqual(await names('--status', 'online'), ['node-1']);
    assert.equal((await world.run('nodes', '--label', 'site')).exitCode, 2);
    assert.equal((await world.run('nodes', '--status', 'sad')).exitCode, 2);
  });

  test('without nodes it says what to do', async () => {
    gateway.on('GET /v1/nodes', json({ nodes: [] }));
    assert.deepEqual(await world.run('nodes').then(({ stdout, stderr }) => [stdout, /fleet invite/.test(stderr)]), [
      '',
      true,
    ]);
    assert.equal((await world.run('nodes', '--json')).stdout, '[]\n');
  });

  test('names and labels from other machines cannot steer the terminal', async () => {
    gateway.on('GET /v1/nodes', json({ nodes: [{ ...NODE, version: '\u001b[2J' }] }));
    gateway.on('GET /v1/nodes/node-1', json({ ...DETAIL, hostname: 'a\u001b]0;x\u0007' }));
    assert.ok(!(await world.run('nodes')).stdout.includes('\u001b'));
    assert.ok(!(await world.run('nodes', 'show', 'node-1')).stdout.includes('\u001b'));
  });

  test('rm asks on a terminal before it removes a node that is connected, and only then', async () => {
    let shown = DETAIL;
    gateway.on('GET /v1/nodes/node-1', (...args) => json(shown)(...args));
    gateway.on('DELETE /v1/nodes/node-1', (response) => void response.writeHead(204).end());
    const remove = async (answer: string | undefined, detail: NodeDetailView, ...options: string[]) => {
      shown = detail;
      const before = gateway.requestsTo('DELETE /v1/nodes/node-1').length;
      const stdin = new PassThrough();
      if (answer !== undefined) stdin.end(answer);
      world.stdin = Object.assign(stdin, { isTTY: true });
      const { exitCode, stderr } = await world.run('nodes', 'rm', 'node-1', ...options);
      return [exitCode, stderr.includes('[y/N]'), gateway.requestsTo('DELETE /v1/nodes/node-1').length - before];
    };
    world.stderr.isTTY = true;
    for (const no of ['n\n', '\n', '', 'yesterday\n']) assert.deepEqual(await remove(no, DETAIL), [1, true, 0], no);
    for (const yes of ['y\n', 'YES\n', ' y ']) assert.deepEqual(await remove(yes, DETAIL), [0, true, 1], yes);
    assert.deepEqual(await remove(undefined, { ...DETAIL, connectedSince: null }), [0, false, 1]);
    assert.deepEqual(await remove(undefined, DETAIL, '--yes'), [0, false, 1]);
    world.stderr.isTTY = false;
    assert.deepEqual(await remove(undefined, DETAIL), [0, false, 1]);
  });

  test('show, rename, label, revoke and rm', async () => {
    gateway.on('GET /v1/nodes/node-1', json(DETAIL));
    gateway.on('PATCH /v1/nodes/node-1', json({ ...DETAIL, name: 'web-1' }));
    gateway.on('POST /v1/nodes/node-1/revoke', json({ ...DETAIL, status: 'revoked' }));
    gateway.on('DELETE /v1/nodes/node-1', (response) => void response.writeHead(204).end());
    assert.match((await world.run('nodes', 'show', 'node-1')).stdout, /clock skew: +-2.0 ms\n/);
    assert.equal((await world.run('nodes', 'rename', 'node-1', 'web-1')).stdout, 'node-1 is now web-1\n');
    const labeled = await world.run('nodes', 'label', 'node-1', 'site=berlin', 'old-', 'empty=');
    assert.equal(labeled.stdout, 'web-1: role=web,site=berlin\n');
    assert.equal((await world.run('nodes', 'revoke', 'node-1')).stdout, 'node-1 is revoked\n');
    assert.equal((await world.run('nodes', 'rm', 'node-1')).stdout, 'node-1 is removed\n');
    const changes = gateway.requestsTo('PATCH /v1/nodes/node-1').map(({ body }) => body);
    assert.deepEqual(changes, [{ name: 'web-1' }, { labels: { site: 'berlin', old: null, empty: '' } }]);
    assert.equal((await world.run('nodes', 'label', 'node-1', 'x')).exitCode, 2);
  });

  test('pending, approve and reject', async () => {
    gateway.on('GET /v1/pending', json({ pending: [PENDING] }));
    gateway.on('POST /v1/pending/4831-2290', json(PENDING));
    assert.match((await world.run('nodes', 'pending')).stdout, /4831-2290 +pi +192\.0\.2\.2 +linux arm64 +1m ago/);
    const approved = await world.run('nodes', 'approve', '4831-2290', '--name', 'kitchen', '--label', 'a=b');
    assert.equal(approved.stdout, 'kitchen (4831-2290) is approved\n');
    assert.match((await world.run('nodes', 'reject', '4831-2290')).stdout, /is rejected/);
    assert.deepEqual(
      gateway.requestsTo('POST /v1/pending/4831-2290').map(({ body }) => body),
      [{ decision: 'approve', name: 'kitchen', labels: { a: 'b' } }, { decision: 'reject' }],
    );
  });

  test('what nodes ask for since they joined: listed, shown, approved and turned down', async () => {
    const change = { labels: { role: 'db', site: null }, capabilities: ['agent:coder'] };
    const waiting = { ...PENDING, kind: 'change', name: 'node-1', labels: { role: 'db' }, change };
    gateway.on('GET /v1/pending', json({ pending: [{ ...PENDING, labels: { a: '1', b: '2' } }, waiting] }));
    gateway.on('POST /v1/pending/node-1', json(waiting));
    gateway.on('GET /v1/nodes/node-1', json({ ...DETAIL, pending: { code: '1111-2222', ...change }, refused: change }));
    const table = (await world.run('nodes', 'pending')).stdout;
    assert.match(table, / to join, with a=1, b=2\n/);
    assert.match(table, /node-1 .* role=db, -site, agent:coder\n/);
    const { stdout } = await world.run('nodes', 'show', 'node-1');
    assert.match(stdout, /waits for approval: +role=db, -site, agent:coder \(fleet nodes approve 1111-2222\)\n/);
    assert.match(stdout, /rejected: +role=db, -site, agent:coder/);
    const approved = await world.run('nodes', 'approve', 'node-1');
    assert.equal(approved.stdout, 'node-1 (4831-2290) is approved: role=db, -site, agent:coder\n');
    const rejected = await world.run('nodes', 'reject', 'node-1');
    assert.equal(rejected.stdout, 'node-1 (4831-2290) stays as it is: role=db, -site, agent:coder is rejected\n');
  });

  test('a refusal has the exit code of its kind', async () => {
    gateway.on('PATCH /v1/nodes/node-1', fail(409, 'name_taken', 'there is a node called web-1'));
    gateway.on('GET /v1/nodes/node-1', fail(403, 'forbidden', 'no'));
    assert.equal((await world.run('nodes', 'rename', 'node-1', 'web-1')).exitCode, 78);
    assert.equal((await world.run('nodes', 'show', 'node-1')).exitCode, 77);
  });
});
