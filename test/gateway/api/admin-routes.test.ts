import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InviteView, NodeDetailView, NodeView, PendingView } from '../../../src/protocol/views.ts';
import type { FleetError } from '../../../src/shared/errors.ts';
import { until } from '../../support/deadline.ts';
import { rowsOf } from '../audit/fixtures.ts';
import { TestNode } from '../identity/fixtures.ts';
import { testApi } from './harness.ts';

test('nodes are found by name, id, or the unique beginning of an id', async (t) => {
  const { admin, addNode } = await testApi(t);
  for (const name of ['web-1', 'web-2', 'id-web-2x']) await addNode(name);
  const find = async (which: string) => (await admin.json<NodeDetailView>('GET', `/v1/nodes/${which}`)).name;
  assert.equal(await find('web-1'), 'web-1');
  assert.equal(await find('id-web-2'), 'web-2');
  assert.equal(await find('id-web-1'), 'web-1');
  assert.equal(await find('id-id'), 'id-web-2x');
  await assert.rejects(find('id-web'), { code: 'ambiguous', message: /web-1, web-2/ });
  await assert.rejects(find('nobody'), { code: 'not_found' });
  await assert.rejects(find('%20'), { code: 'not_found' });
});

test('a selector lists those it means, and names what it does not find', async (t) => {
  const { admin, addNode } = await testApi(t);
  for (const name of ['web-1', 'web-2', 'db-1']) await addNode(name);
  const list = async (query: string) =>
    (await admin.json<{ nodes: NodeView[] }>('GET', `/v1/nodes?${query}`)).nodes.map(({ name }) => name);
  assert.deepEqual((await list('')).sort(), ['db-1', 'web-1', 'web-2']);
  assert.deepEqual((await list('selector=web-*')).sort(), ['web-1', 'web-2']);
  assert.deepEqual(await list('selector=web-*&exclude=web-2'), ['web-1']);
  await assert.rejects(list('selector=web-1,web-9'), { code: 'not_found', message: /web-9/ });
  await assert.rejects(list(`selector=${encodeURIComponent('web-[1')}`), { code: 'bad_selector' });
});

test('invites: what they may be', async (t) => {
  const { admin, addNode, clock } = await testApi(t);
  await addNode('taken');
  const invite = (body: object) =>
    admin.json<InviteView>('POST', '/v1/invites', { role: 'node', ttlMs: 1000, uses: 1, labels: {}, ...body });
  const made = await invite({});
  assert.match(made.code, /^[0-9a-z]{4}(-[0-9a-z]{4}){3}$/);
  assert.equal(Date.parse(made.expiresAt), clock.now() + 1000);
  await assert.rejects(invite({ name: 'taken' }), { code: 'name_taken' });
  await assert.rejects(invite({ name: 'Not Legal' }), { code: 'bad_request' });
  await assert.rejects(invite({ name: 'x', uses: 2 }), { code: 'usage' });
  await assert.rejects(invite({ ttlMs: 366 * 86_400_000 }), { code: 'usage' });
  for (const body of [{ ttlMs: 0 }, { uses: 0 }, { role: 'root' }, { labels: { 'a b': 'c' } }, { colour: 'red' }]) {
    await assert.rejects(invite(body), { code: 'bad_request' }, JSON.stringify(body));
  }
});

test('names and labels are changed together or not at all', async (t) => {
  const { admin, addNode, store } = await testApi(t);
  await addNode('a');
  await addNode('b');
  await assert.rejects(admin.json('PATCH', '/v1/nodes/a', { name: 'b', labels: { x: '1' } }), { code: 'name_taken' });
  assert.deepEqual(store.nodes.byName('a')?.labels, {});
  const changed = await admin.json<NodeDetailView>('PATCH', '/v1/nodes/a', { name: 'c', labels: { x: '1' } });
  assert.deepEqual([changed.name, changed.labels], ['c', { x: '1' }]);
  await admin.json('PATCH', '/v1/nodes/c', { name: 'c', labels: { x: null } });
  assert.deepEqual(store.nodes.byName('c')?.labels, {});
  for (const body of [{ name: 'Bad' }, { labels: { x: 'a b' } }, { other: 1 }]) {
    await assert.rejects(admin.json('PATCH', '/v1/nodes/c', body), { code: 'bad_request' });
  }
});

test('revoking and removing cut the tunnel at once and end what was open', async (t) => {
  for (const [method, path] of [
    ['POST', '/v1/nodes/a/revoke'],
    ['DELETE', '/v1/nodes/a'],
  ] as const) {
    const api = await testApi(t);
    const { fake, id } = await api.addNode('a');
    await fake.connect();
    const job = await api.admin.json<{ job: string }>('POST', '/v1/jobs', {
      kind: 'shell',
      command: 'true',
      target: { node: 'a' },
    });
    await until(() => api.store.runs.byId(`${job.job}.0`)?.state === 'delivered', 'the delivery');
    await api.admin.json(method, path);
    assert.equal(api.sessions.get(id), undefined);
    assert.equal(api.store.runs.byId(`${job.job}.0`)?.state, 'unknown');
    const again = api.admin.json('POST', '/v1/jobs', { kind: 'shell', command: 'true', target: { node: 'a' } });
    await assert.rejects(again, { code: method === 'DELETE' ? 'not_found' : 'key_revoked' });
    const { nodes } = await api.admin.json<{ nodes: NodeView[] }>('GET', '/v1/nodes');
    assert.deepEqual(
      nodes.map(({ status }) => status),
      method === 'DELETE' ? [] : ['revoked'],
    );
  }
});

test('waiting machines are listed with their code, and decided on by name or code', async (t) => {
  const api = await testApi(t);
  const node = new TestNode(api);
  await node.pair({ name: 'stranger' });
  const { pending } = await api.admin.json<{ pending: PendingView[] }>('GET', '/v1/pending');
  assert.equal(pending[0]?.name, 'stranger');
  assert.match(pending[0]?.fingerprint ?? '', /^SHA256:/);
  await api.addNode('taken');
  const decide = (which: string, body: object) => api.admin.json<PendingView>('POST', `/v1/pending/${which}`, body);
  await assert.rejects(decide('stranger', { decision: 'approve', name: 'taken' }), { code: 'name_taken' });
  await assert.rejects(decide('stranger', { decision: 'perhaps' }), { code: 'bad_request' });
  await assert.rejects(decide('nobody', { decision: 'approve' }), { code: 'not_found' });
  const decided = await decide(pending[0]?.code ?? '', { decision: 'approve', labels: { tier: 'web' } });
  assert.deepEqual(Object.keys(decided).sort(), Object.keys(pending[0] ?? {}).sort());
  assert.equal((await node.pair()).status, 'paired');
});

test('health and its report, in every format, and what is asked wrongly', async (t) => {
  const api = await testApi(t);
  await api.addNode('a');
  const health = await api.admin.json<{ status: string; nodes: { name: string }[] }>('GET', '/v1/health');
  assert.deepEqual([health.status, health.nodes.map(({ name }) => name)], ['offline', ['a']]);
  for (const format of ['text', 'json', 'md', 'html', 'csv']) {
    const response = await api.admin.open('GET', `/v1/health/report?format=${format}&since=1`);
    let text = '';
    for await (const chunk of response) text += chunk;
    assert.ok(text.includes('a'), format);
    assert.equal(response.headers['fleet-status'], 'offline');
  }
  for (const query of ['format=pdf', 'format=constructor', `since=${api.clock.now() + 1}`]) {
    await assert.rejects(api.admin.json('GET', `/v1/health/report?${query}`), { code: 'usage' }, query);
  }
  await assert.rejects(api.admin.json('GET', '/v1/health/report?since=soon'), { code: 'bad_request' });
  await assert.rejects(api.admin.json('GET', '/v1/health?node=nobody'), { code: 'not_found' });
});

test('shutdown is answered before it begins', async (t) => {
  const api = await testApi(t);
  assert.deepEqual(await api.admin.json('POST', '/v1/gateway/shutdown'), { pid: process.pid });
  await until(() => api.shutdowns() === 1, 'the shutdown');
});

test('a revoked node is not reset: the error says what to do, and no row says that it was', async (t) => {
  const { admin, addNode, store } = await testApi(t);
  await addNode('web');
  await admin.json('POST', '/v1/nodes/web/revoke');
  await assert.rejects(
    admin.json('POST', '/v1/nodes/web/reset'),
    (error: FleetError) => error.code === 'conflict' && /nodes rm web/.test(error.hint ?? ''),
  );
  await until(() => rowsOf(store).some(({ outcome }) => outcome === 'conflict'), 'its row');
  assert.ok(!rowsOf(store).some(({ action, outcome }) => action === 'node.reset' && outcome === 'ok'));
});
