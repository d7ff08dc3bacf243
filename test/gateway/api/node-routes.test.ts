import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settle } from '../../support/deadline.ts';
import { FACTS } from '../identity/fixtures.ts';
import { peerOf, testApi } from './harness.ts';

const hello = { facts: FACTS, labels: { own: '1' }, journal: 'j1', protocol: 1 };

function beat(at: number) {
  return {
    at,
    bootedAt: null,
    uptimeS: 5,
    cpuPct: 1,
    cores: 2,
    load1: 0.5,
    load5: null,
    load15: null,
    memTotalBytes: 100,
    memAvailableBytes: 50,
    swapTotalBytes: null,
    swapUsedBytes: null,
    disks: [],
    network: { rxBytesPerS: null, txBytesPerS: null },
    temperatureC: null,
    battery: null,
    node: { version: '0.1.0', rssBytes: null, eventLoopLagMs: null, uptimeS: null },
    runsActive: 0,
    rttMs: null,
    faults: [],
    accepting: true,
  };
}

test('a node is online with its first heartbeat, not before; hello comes first', async (t) => {
  const api = await testApi(t);
  const node = await api.addNode('a');
  await assert.rejects(node.client.json('POST', '/v1/node/hello', hello), { code: 'connection_lost' }, 'no tunnel yet');
  await api.sessions.accept(node, node.peer);
  await assert.rejects(node.client.json('POST', '/v1/node/heartbeat', beat(api.clock.now())), { code: 'bad_request' });
  assert.equal(api.sessions.online(node.id), undefined);
  const told = await node.client.json<{ id: string; name: string; heartbeatIntervalMs: number }>(
    'POST',
    '/v1/node/hello',
    hello,
  );
  assert.deepEqual([told.id, told.name, told.heartbeatIntervalMs], [node.id, 'a', 30_000]);
  assert.equal(api.sessions.get(node.id)?.journal, 'j1');
  assert.deepEqual(api.store.nodes.byId(node.id)?.labels, {}, 'it was let in without any');
  assert.equal(api.sessions.online(node.id), undefined);
  await node.client.json('POST', '/v1/node/heartbeat', beat(api.clock.now() + 5000));
  assert.ok(api.sessions.online(node.id));
  const [view] = (await api.admin.json<{ nodes: { status: string; name: string }[] }>('GET', '/v1/nodes')).nodes;
  assert.equal(view?.name, 'a');
  const detail = await api.admin.json<{ skewMs: number; status: string }>('GET', '/v1/nodes/a');
  assert.equal(detail.skewMs, 5000);
  assert.equal(api.store.health.lastHeartbeat(node.id)?.skewMs, 5000);
});

test('only the connection that is the tunnel may speak: one that was replaced is told so', async (t) => {
  const api = await testApi(t);
  const node = await api.addNode('a');
  await api.sessions.accept(node, node.peer);
  const newer = peerOf(node.publicKey);
  await api.sessions.accept(node, newer);
  assert.match(node.peer.endings[0] ?? '', /^replaced/);
  await assert.rejects(node.client.json('POST', '/v1/node/hello', hello), { code: 'connection_lost' });
  const client = api.connect({ kind: 'ssh', peer: newer }, node.token);
  assert.ok(await client.json('POST', '/v1/node/hello', hello));
  assert.equal(newer.endings.length, 0);
});

test('a node that speaks another protocol, or nonsense, is refused', async (t) => {
  const api = await testApi(t);
  const node = await api.addNode('a');
  await api.sessions.accept(node, node.peer);
  await assert.rejects(node.client.json('POST', '/v1/node/hello', { ...hello, protocol: 9 }), {
    code: 'protocol_unsupported',
  });
  await assert.rejects(node.client.json('POST', '/v1/node/hello', { ...hello, labels: { 'a b': 'c' } }), {
    code: 'bad_request',
  });
  await node.client.json('POST', '/v1/node/hello', hello);
  await assert.rejects(node.client.json('POST', '/v1/node/heartbeat', { ...beat(1), runsActive: 'many' }), {
    code: 'bad_request',
  });
  const huge = { ...hello, journal: 'x'.repeat(2 * 1024 * 1024) };
  await assert.rejects(node.client.json('POST', '/v1/node/hello', huge), (error: { code: string }) =>
    ['too_large', 'connection_lost'].includes(error.code),
  );
});

test('an operator renames a node while it is connected: its next answer has the name', async (t) => {
  const api = await testApi(t);
  const node = await api.addNode('a');
  await api.sessions.accept(node, node.peer);
  await node.client.json('POST', '/v1/node/hello', hello);
  await api.admin.json('PATCH', '/v1/nodes/a', { name: 'b', labels: { own: null, tier: 'web' } });
  const answer = await node.client.json<{ name: string }>('POST', '/v1/node/heartbeat', beat(1));
  assert.equal(answer.name, 'b');
  await node.client.json('POST', '/v1/node/hello', hello);
  assert.deepEqual(api.store.nodes.byId(node.id)?.labels, { tier: 'web' });
  await settle();
});

test('a node that leaves takes itself away and nobody else, hears that it worked, and is cut then', async (t) => {
  const api = await testApi(t);
  const node = await api.addNode('a');
  const other = await api.addNode('b');
  await assert.rejects(node.client.json('POST', '/v1/node/leave', {}), { code: 'connection_lost' }, 'no tunnel');
  await api.sessions.accept(node, node.peer);
  await api.sessions.accept(other, other.peer);
  assert.deepEqual(await node.client.json('POST', '/v1/node/leave', { node: 'b' }), {});
  assert.deepEqual(
    api.store.nodes.all().map(({ name }) => name),
    ['b'],
  );
  await settle();
  assert.deepEqual([node.peer.endings, other.peer.endings], [['removed'], []]);
  await assert.rejects(node.client.json('POST', '/v1/node/leave', {}), { code: 'key_revoked' });
});
