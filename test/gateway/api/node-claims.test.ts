import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { JobView } from '../../../src/protocol/job-messages.ts';
import type { NodeDetailView, NodeView, PendingView } from '../../../src/protocol/views.ts';
import { FACTS, TestNode } from '../identity/fixtures.ts';
import { peerOf, testApi } from './harness.ts';

type Labels = Record<string, string>;

/** A node that was let in with `own` labels, and speaks over its tunnel. */
async function testWorld(t: TestContext, options: { invited?: Labels; own?: Labels; approve?: boolean } = {}) {
  const api = await testApi(t, { approveCapabilities: options.approve ?? false });
  const code = await api.invite({ labels: options.invited ?? {} });
  const machine = new TestNode(api);
  const paired = await machine.pair({ code, name: 'web-1', labels: options.own ?? { role: 'web' } });
  assert.ok(paired.status === 'paired');
  const peer = peerOf(machine.publicKey);
  await api.sessions.accept({ id: paired.id, name: 'web-1' }, peer);
  const client = api.connect({ kind: 'ssh', peer }, paired.token);
  const hello = (labels: Labels | undefined, capabilities: string[] = []) =>
    client.json('POST', '/v1/node/hello', { facts: { ...FACTS, capabilities }, labels, journal: 'j', protocol: 1 });
  const show = () => api.admin.json<NodeDetailView>('GET', '/v1/nodes/web-1');
  const pendingList = async () => (await api.admin.json<{ pending: PendingView[] }>('GET', '/v1/pending')).pending;
  const decide = (which: string, decision: string, more: object = {}) =>
    api.admin.json<PendingView>('POST', `/v1/pending/${which}`, { decision, ...more });
  const selected = async (selector: string) =>
    (await api.admin.json<{ nodes: NodeView[] }>('GET', `/v1/nodes?selector=${selector}`)).nodes.length;
  const audited = (action: string) =>
    api.store.auditRows
      .after(0, 1000)
      .map(({ line }) => JSON.parse(line) as { action: string; details: Record<string, unknown> })
      .filter((row) => row.action === action);
  return { ...api, id: paired.id, machine, hello, show, pendingList, decide, selected, audited };
}

/** What a node may try, and which keys of its labels count afterwards: the ones that it was let in with. */
const CHANGES: [what: string, labels: Labels, change: Record<string, string | null>][] = [
  ['another value', { role: 'db' }, { role: 'db' }],
  ['one more', { role: 'web', tier: 'prod' }, { tier: 'prod' }],
  ['one less', {}, { role: null }],
  ['others', { site: 'berlin' }, { role: null, site: 'berlin' }],
  ['an empty value', { role: '' }, { role: '' }],
  ['what objects have by nature', { role: 'web', constructor: 'x' }, { constructor: 'x' }],
  ['as many as there may be', Object.fromEntries(Array.from({ length: 64 }, (_, n) => [`k${n}`, 'v'])), {}],
];

test('labels that a node changes wait for an admin and count for nothing', async (t) => {
  for (const [what, labels, change] of CHANGES) {
    const world = await testWorld(t);
    await world.hello(labels);
    assert.deepEqual((await world.show()).labels, { role: 'web' });
    assert.equal(await world.selected('@role=web'), 1);
    const none = world.selected(encodeURIComponent('@role=db,@tier=prod,@site=berlin,@k1=v,@constructor=x'));
    await assert.rejects(none, { code: 'not_found' });
    const [waiting] = await world.pendingList();
    assert.deepEqual([waiting?.kind, waiting?.name], ['change', 'web-1']);
    if (Object.keys(change).length > 0) assert.deepEqual(waiting?.change?.labels, change, what);
    assert.equal(world.audited('node.claim').length, 1);
    await world.hello(labels);
    assert.equal(world.audited('node.claim').length, 1, 'said again, it is nothing new');

    await world.decide(waiting?.code ?? '', 'approve');
    assert.deepEqual((await world.show()).labels, labels);
    assert.deepEqual(await world.pendingList(), []);
    await world.hello(labels);
    assert.deepEqual(await world.pendingList(), []);
    assert.equal(world.audited('pairing.decide').length, 1);

    await world.hello({ role: 'web' });
    assert.deepEqual((await world.show()).labels, labels);
    await world.decide('web-1', 'approve');
    assert.deepEqual((await world.show()).labels, { role: 'web' });
  }
});

test('what is turned down stays down until the node asks for something else or an admin thinks better of it', async (t) => {
  const world = await testWorld(t);
  await world.hello({ role: 'db' });
  await world.decide('web-1', 'reject');
  await world.hello({ role: 'db' });
  assert.deepEqual(await world.pendingList(), []);
  assert.deepEqual((await world.show()).labels, { role: 'web' });
  await world.hello({ role: 'cache' });
  assert.equal((await world.pendingList())[0]?.change?.labels.role, 'cache');
  await world.hello({ role: 'web' });
  assert.deepEqual(await world.pendingList(), [], 'it has taken it back');
  await world.decide('web-1', 'approve');
  assert.deepEqual((await world.show()).labels, { role: 'db' });
  await assert.rejects(world.decide('web-1', 'approve'), { code: 'not_found' });
});

test('a code approves what was shown with it, and not what the node says since', async (t) => {
  const world = await testWorld(t);
  await world.hello({ role: 'cache' });
  const [shown] = await world.pendingList();
  await world.hello({ role: 'db' });
  await assert.rejects(world.decide(shown?.code ?? '', 'approve'), { code: 'not_found' });
  assert.deepEqual((await world.show()).labels, { role: 'web' });
});

test('keys that the invite or an admin has set are not for the node to claim, then or later', async (t) => {
  const world = await testWorld(t, { invited: { role: 'web' }, own: { role: 'db', site: 'x' } });
  assert.deepEqual((await world.show()).labels, { role: 'web', site: 'x' });
  await world.hello({ role: 'db', site: 'x' });
  assert.deepEqual(await world.pendingList(), []);
  await world.admin.json('PATCH', '/v1/nodes/web-1', { labels: { site: 'y', gone: null } });
  await world.hello({ role: 'db', site: 'z', gone: '1' });
  assert.deepEqual(await world.pendingList(), []);
  assert.deepEqual((await world.show()).labels, { role: 'web', site: 'y' });
});

test('a hello without labels says nothing about them', async (t) => {
  const world = await testWorld(t);
  await world.hello(undefined);
  assert.deepEqual(await world.pendingList(), []);
  await world.hello({ role: 'db' });
  await world.hello(undefined);
  assert.equal((await world.pendingList()).length, 1);
});

test('an admin who approves may add labels, but not rename', async (t) => {
  const world = await testWorld(t);
  await world.hello({ role: 'db' });
  await assert.rejects(world.decide('web-1', 'approve', { name: 'other' }), { code: 'usage' });
  await world.decide('web-1', 'approve', { labels: { site: 'berlin' } });
  assert.deepEqual((await world.show()).labels, { role: 'db', site: 'berlin' });
});

test('a machine that calls itself like a node that waits is not taken for it', async (t) => {
  const world = await testWorld(t);
  await world.hello({ role: 'db' });
  const stranger = new TestNode(world, 'stranger');
  await stranger.pair({ name: 'web-1' });
  for (const decision of ['approve', 'reject'])
    await assert.rejects(world.decide('web-1', decision), { code: 'ambiguous' });
  const change = (await world.pendingList()).find(({ kind }) => kind === 'change');
  await world.decide(change?.code ?? '', 'approve');
  assert.equal((await stranger.pair({ name: 'web-1' })).status, 'pending');
});

test('approved are the labels that the operator saw, not those that came with the last question', async (t) => {
  const api = await testApi(t);
  const machine = new TestNode(api);
  await machine.pair({ name: 'pi', labels: { role: 'web' } });
  await api.admin.json('POST', '/v1/pending/pi', { decision: 'approve', labels: { site: 'home' } });
  const paired = await machine.pair({ name: 'pi', labels: { role: 'db', site: 'dc' } });
  assert.equal(paired.status, 'paired');
  assert.deepEqual((await api.admin.json<NodeDetailView>('GET', '/v1/nodes/pi')).labels, { role: 'web', site: 'home' });
});

test('a new code for a key that is in changes no label; a new key does not change any either', async (t) => {
  const world = await testWorld(t);
  const code = await world.invite({ labels: { role: 'db' } });
  assert.equal((await world.machine.pair({ code, name: 'web-1', labels: { role: 'db' } })).status, 'paired');
  assert.deepEqual((await world.show()).labels, { role: 'web' });
  const { store, id } = world;
  await world.hello({ role: 'db' });
  await store.write(() => store.nodes.replaceKey(id, world.machine.publicKey, Buffer.alloc(32, 7), 1));
  assert.deepEqual([(await world.show()).labels, (await world.pendingList()).length], [{ role: 'web' }, 1]);
});

test('a revoked node asks for nothing any more', async (t) => {
  const world = await testWorld(t);
  await world.hello({ role: 'db' });
  await world.admin.json('POST', '/v1/nodes/web-1/revoke');
  assert.deepEqual(await world.pendingList(), []);
  await assert.rejects(world.decide('web-1', 'approve'), { code: 'not_found' });
});

test('a node cannot fill the audit log with changes', async (t) => {
  const world = await testWorld(t);
  const attempts = await Promise.allSettled(Array.from({ length: 50 }, (_, n) => world.hello({ role: `r${n}` })));
  const refused = attempts.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
  assert.deepEqual([refused.length, refused[0]?.reason.code], [30, 'busy']);
  assert.equal(world.audited('node.claim').length, 20);
  await world.clock.advance(3_600_000);
  await world.hello({ role: 'later' });
});

test('a capability that is new is in the audit log and counts, unless the gateway asks an admin first', async (t) => {
  const world = await testWorld(t);
  await world.hello(undefined, ['shell', 'agent:coder']);
  assert.deepEqual((await world.show()).capabilities, ['shell', 'agent:coder']);
  assert.deepEqual(world.audited('node.capabilities')[0]?.details.added, ['agent:coder', 'shell']);
  await world.hello(undefined, ['shell', 'agent:coder']);
  assert.equal(world.audited('node.capabilities').length, 1);
});

test('with approveCapabilities an agent is of no use until it is approved', async (t) => {
  const world = await testWorld(t, { approve: true });
  await world.hello(undefined, ['agent:coder']);
  const shown = await world.show();
  assert.deepEqual([shown.capabilities, shown.pending?.capabilities], [[], ['agent:coder']]);
  const run = async (agent: string) => {
    const body = { kind: 'agent', agent, command: 'x', target: { node: 'web-1' } };
    return (await world.admin.json<JobView>('POST', '/v1/jobs', body)).runs[0];
  };
  for (const agent of ['coder', 'unheard-of']) {
    const refused = await run(agent);
    assert.equal(refused?.state, 'rejected', agent);
    assert.match(refused?.reason ?? '', new RegExp(`^not_approved: .*${agent}`));
  }
  const any = { kind: 'agent', agent: 'coder', command: 'x', target: { any: '@all' } };
  await assert.rejects(world.admin.json('POST', '/v1/jobs', any), { code: 'node_offline' });
  await world.decide('web-1', 'reject');
  await world.hello(undefined, ['agent:coder']);
  assert.deepEqual([(await world.pendingList()).length, (await run('coder'))?.state], [0, 'rejected']);
  await world.decide('web-1', 'approve');
  assert.deepEqual((await world.show()).capabilities, ['agent:coder']);
  assert.notEqual((await run('coder'))?.state, 'rejected');
  assert.equal(await world.hello(undefined, ['agent:coder']).then(() => world.pendingList().then((l) => l.length)), 0);
});
