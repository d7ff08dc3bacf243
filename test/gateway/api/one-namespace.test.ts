import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { newId } from '../../../src/gateway/identity/names.ts';
import type { ScheduleView } from '../../../src/protocol/schedule.ts';
import type { KeyView, NodeDetailView } from '../../../src/protocol/views.ts';
import { FACTS, TestNode } from '../identity/fixtures.ts';
import { testApi } from './harness.ts';

const ID = '7k3f9m2qx0zt';
const PERSON_ID = '4w8a1n6rbd0h';
/** Each could be taken for {@link ID}, by look-up or by eye. */
const LIKE_THE_ID = [ID, ID.slice(0, 4), ID.slice(0, 7), '7k3f9m2qxozt', '7k3f-9m2q-x0zt', '7k3f-9m'];

/** A victim with a real id, and somebody else. */
async function testWorld(t: TestContext) {
  const api = await testApi(t);
  const { store } = api;
  await store.write(() => {
    const node = { ownLabels: {}, labels: {}, facts: FACTS, createdAt: 0 };
    store.nodes.insert({ id: ID, name: 'victim', publicKey: randomBytes(32), ...node });
    const publicKey = randomBytes(32);
    store.people.insert({ id: PERSON_ID, name: 'anna', role: 'admin', publicKey, createdAt: 1 });
  });
  const other = await api.addNode('other');
  /** As a database of an older fleet may have it. */
  const callOther = (name: string) => store.write(() => store.nodes.rename(other.id, name));
  return { ...api, other, callOther };
}

test("no node is renamed to what could be taken for another one's id, but its own id is its to take", async (t) => {
  const { admin, other } = await testWorld(t);
  const rename = (which: string, name: string) => admin.json<NodeDetailView>('PATCH', `/v1/nodes/${which}`, { name });
  for (const name of [...LIKE_THE_ID, PERSON_ID, PERSON_ID.slice(0, 5)]) {
    await assert.rejects(rename(other.id, name), { code: 'name_taken' }, name);
    if (!PERSON_ID.startsWith(name)) assert.equal((await rename('victim', name)).name, name);
    await rename(ID, 'victim');
  }
  await admin.json('DELETE', '/v1/nodes/victim');
  for (const name of LIKE_THE_ID) await assert.rejects(rename(other.id, name), { code: 'name_taken' }, name);
  for (const name of ['7k3', `${ID}0`, `x${ID}`, 'victims']) assert.equal((await rename(other.id, name)).name, name);
});

test('nor is one invited, approved or paired by such a name; a mere suggestion is altered', async (t) => {
  const world = await testWorld(t);
  for (const [index, name] of LIKE_THE_ID.entries()) {
    await assert.rejects(world.invite({ name }), { code: 'name_taken' }, name);
    await assert.rejects(world.invite({ name, role: 'viewer' }), { code: 'name_taken' }, name);
    const decide = { decision: 'approve', name };
    await new TestNode(world, `p${index}`).pair({ name: `waiting-${index}` });
    const decided = world.admin.json('POST', `/v1/pending/waiting-${index}`, decide);
    await assert.rejects(decided, { code: 'name_taken' }, name);

    const required = new TestNode(world, `r${index}`).pair({ code: await world.invite(), name, nameRequired: true });
    await assert.rejects(required, { code: 'name_taken' }, name);
    const suggested = await new TestNode(world, `s${index}`).pair({ code: await world.invite(), name });
    assert.ok(suggested.status === 'paired');
    assert.match(suggested.name, new RegExp(`^${name}-[2-9]$`));
  }
  const asked = new TestNode(world, 'asked');
  await asked.pair({ name: ID });
  await world.admin.json('POST', `/v1/pending/${ID}`, { decision: 'approve' });
  const approved = await asked.pair({ name: ID });
  assert.notEqual(approved.status === 'paired' && approved.name, ID);
});

test('a new id is no name, and begins with none', () => {
  const sources = [new Uint8Array(12), new Uint8Array(12).fill(1), new Uint8Array(12).fill(2)];
  const names = new Set(['000000000000', '1111']);
  const table = { byName: (name: string) => (names.has(name) ? {} : undefined), byId: () => undefined };
  const id = newId([{ ...table, byIdPrefix: () => [] }], () => sources.shift() ?? new Uint8Array(12).fill(3));
  assert.equal(id, '222222222222');
});

test('where an older fleet let such a name in, nothing is done to either node by that text', async (t) => {
  for (const isRevoked of [false, true]) {
    for (const text of [ID, ID.slice(0, 4)]) {
      const { admin, store, callOther, other } = await testWorld(t);
      await callOther(text);
      if (isRevoked) await store.write(() => store.nodes.revoke(ID, 1));
      const job = (target: object) => ({ kind: 'shell', command: 'true', target });
      const requests: [method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, body?: object][] = [
        ['GET', `/v1/nodes/${text}`],
        ['GET', `/v1/nodes/${text}/processes`],
        ['GET', `/v1/nodes?selector=${text}`],
        ['GET', `/v1/nodes?selector=@all&exclude=${text}`],
        ['GET', `/v1/health?node=${text}`],
        ['GET', `/v1/jobs?node=${text}`],
        ['POST', '/v1/jobs', job({ node: text })],
        ['POST', '/v1/jobs', job({ selector: text })],
        ['POST', '/v1/jobs', job({ selector: '@all', exclude: text })],
        ['POST', '/v1/jobs', { ...job({ any: text }), kind: 'agent', agent: 'a' }],
        ['PATCH', `/v1/nodes/${text}`, { labels: { x: '1' } }],
        ['POST', `/v1/nodes/${text}/revoke`],
        ['POST', `/v1/nodes/${text}/reset`],
        ['POST', `/v1/keys/${text}/revoke`],
        ['POST', '/v1/alerts/silences', { what: text, forMs: 1000 }],
        ['DELETE', `/v1/nodes/${text}`],
      ];
      for (const [method, path, body] of requests) {
        await assert.rejects(admin.json(method, path, body), { code: 'ambiguous' }, `${method} ${path}`);
      }
      assert.deepEqual([store.nodes.byId(other.id)?.revokedAt, store.jobs.list({ since: 0, limit: 9 })], [null, []]);
      // Both can still be named: the one by its name, the other by its id.
      assert.equal((await admin.json<NodeDetailView>('GET', '/v1/nodes/victim')).id, ID);
      assert.equal((await admin.json<NodeDetailView>('GET', `/v1/nodes/${other.id}`)).name, text);
      await admin.json('PATCH', `/v1/nodes/${other.id}`, { name: 'harmless' });
      assert.equal((await admin.json<NodeDetailView>('GET', `/v1/nodes/${text}`)).id, ID);
    }
  }
});

test('a text that is too short to be protected as a prefix of an id is none, so that no name can take it over', async (t) => {
  const { admin } = await testWorld(t);
  const action = { kind: 'job', request: { kind: 'shell', command: 'true', target: { node: 'other' } } };
  const schedule = await admin.json<ScheduleView>('POST', '/v1/schedules', { cron: '@daily', action, name: 'daily' });
  for (const length of [1, 2, 3]) {
    const text = ID.slice(0, length);
    const target = { node: text };
    for (const [method, path, body] of [
      ['GET', `/v1/nodes/${text}`],
      ['POST', `/v1/nodes/${text}/revoke`],
      ['POST', '/v1/jobs', { kind: 'shell', command: 'true', target }],
      ['POST', '/v1/jobs', { kind: 'shell', command: 'true', target: { selector: text } }],
      ['POST', `/v1/keys/${text}/revoke`],
      ['POST', `/v1/keys/${PERSON_ID.slice(0, length)}/revoke`],
      ['POST', '/v1/alerts/silences', { what: text, forMs: 1 }],
      ['GET', `/v1/schedules/${schedule.id.slice(0, length)}`],
    ] as const) {
      await assert.rejects(admin.json(method, path, body), { code: 'not_found' }, `${method} ${path}`);
    }
  }
});

test('keys: a person who is called like the id of another key stands for neither', async (t) => {
  const { admin, store } = await testWorld(t);
  const publicKey = randomBytes(32);
  await store.write(() => store.people.insert({ id: 'b0b', name: ID, role: 'viewer', publicKey, createdAt: 1 }));
  const revoke = (which: string) => admin.json<KeyView>('POST', `/v1/keys/${which}/revoke`);
  await assert.rejects(revoke(ID), { code: 'ambiguous' });
  assert.equal((await revoke('b0b')).kind, 'person');
  assert.equal((await revoke(ID)).name, 'victim', 'a name of the past hides nothing');
});

test('schedules: a name that could be taken for an id is refused, and one that was let in is ambiguous', async (t) => {
  const { admin, store } = await testWorld(t);
  const action = { kind: 'job', request: { kind: 'shell', command: 'true', target: { node: 'other' } } };
  const add = (name?: string) =>
    admin.json<ScheduleView>('POST', '/v1/schedules', { cron: '0 7 * * *', action, ...(name && { name }) });
  const { id } = await add('first');
  assert.equal((await admin.json<ScheduleView>('GET', `/v1/schedules/${id.slice(0, 6)}`)).name, 'first');
  for (const name of [id, id.slice(0, 4), id.slice(0, 9)]) {
    await assert.rejects(add(name), { code: 'conflict' }, name);
    const present = store.schedules.byName('first');
    assert.ok(present);
    await store.write(() => store.schedules.insert({ ...present, id: `x-${name}`, name }));
    for (const method of ['GET', 'DELETE'] as const)
      await assert.rejects(admin.json(method, `/v1/schedules/${name}`), { code: 'ambiguous' });
    await assert.rejects(admin.json('PATCH', `/v1/schedules/${name}`, { paused: true }), { code: 'ambiguous' });
    await assert.rejects(admin.json('POST', `/v1/schedules/${name}/run`), { code: 'ambiguous' });
    await admin.json('DELETE', `/v1/schedules/x-${name}`);
  }
});

test('silences: what was silenced under an old name is not ended by the new owner of that name', async (t) => {
  const { admin, other } = await testWorld(t);
  const silence = (what: string) => admin.json('POST', '/v1/alerts/silences', { what, forMs: 60_000 });
  const unsilence = async (what: string) =>
    (await admin.json<{ silences: { what: string }[] }>('POST', '/v1/alerts/unsilence', { what })).silences.length;
  await silence('other');
  await admin.json('PATCH', `/v1/nodes/${other.id}`, { name: 'renamed' });
  await admin.json('PATCH', `/v1/nodes/${ID}`, { name: 'other' });
  await assert.rejects(unsilence('other'), { code: 'not_found' });
  await silence('other');
  assert.equal(await unsilence('other'), 1);
  assert.equal(await unsilence('renamed'), 1);
});

test('a run that a job does not have stands for nothing', async (t) => {
  const { admin } = await testWorld(t);
  const body = { kind: 'shell', command: 'true', target: { node: 'other' } };
  const { job } = await admin.json<{ job: string }>('POST', '/v1/jobs', body);
  for (const which of [`${job}.0`, `${job.slice(0, 5)}.0`, job])
    assert.equal((await admin.json<{ job: string }>('GET', `/v1/jobs/${which}`)).job, job);
  for (const which of [`${job}.1`, `${job}.`, `${job}.00`, `${job}.other`, `.${job}`]) {
    await assert.rejects(admin.json('GET', `/v1/jobs/${which}`), { code: 'not_found' }, which);
    await assert.rejects(admin.json('POST', `/v1/jobs/${which}/cancel`), { code: 'not_found' }, which);
  }
});

test('a machine that calls itself by the code of another one is not approved in its place', async (t) => {
  const world = await testWorld(t);
  const honest = new TestNode(world, 'honest');
  const asked = await honest.pair({ name: 'honest' });
  assert.ok(asked.status === 'pending');
  const hostile = new TestNode(world, 'hostile');
  await hostile.pair({ name: asked.gatewayCode });
  await world.admin.json('POST', `/v1/pending/${asked.gatewayCode}`, { decision: 'approve' });
  assert.equal((await honest.pair({ name: 'honest' })).status, 'paired');
  await assert.rejects(world.admin.json('POST', `/v1/pending/${asked.gatewayCode}`, { decision: 'approve' }), {
    code: 'not_found',
  });
  assert.equal((await hostile.pair()).status, 'pending');
});

test('a mistyped name is answered with the one that was probably meant', async (t) => {
  const { admin, addNode } = await testWorld(t);
  await addNode('node-1');
  const action = { kind: 'job', request: { kind: 'shell', command: 'true', target: { node: 'other' } } };
  await admin.json('POST', '/v1/schedules', { name: 'nightly', cron: '0 7 * * *', action });
  for (const [path, meant] of [
    ['/v1/nodes/node1', 'node-1'],
    ['/v1/nodes/NODE-1', 'node-1'],
    ['/v1/nodes?selector=node1', 'node-1'],
    ['/v1/schedules/nightyl', 'nightly'],
  ] as const) {
    const hint = new RegExp(`^Did you mean ${meant}\\? `);
    await assert.rejects(admin.json('GET', path), { code: 'not_found', hint }, path);
  }
  await assert.rejects(admin.json('POST', '/v1/keys/ana/revoke'), { code: 'not_found', hint: /Did you mean anna\?/ });
  await assert.rejects(admin.json('GET', '/v1/nodes/zzzzzz'), { code: 'not_found', hint: /^See/ });
});
