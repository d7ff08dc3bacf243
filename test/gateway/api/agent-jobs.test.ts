import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { encodeFrame, FRAME_TYPE } from '../../../src/protocol/frames.ts';
import type { JobEvent, JobView } from '../../../src/protocol/job-messages.ts';
import { until, within } from '../../support/deadline.ts';
import { refuse, stdoutFrame } from '../bus/fake-node.ts';
import { HEALTHY } from '../monitoring/judge/healthy-heartbeat.ts';
import { type TestApi, testApi } from './harness.ts';

const ask = (changes: object = {}) => ({
  kind: 'agent',
  agent: 'coder',
  command: 'do it',
  target: { node: 'a' },
  ...changes,
});

/** Nodes of these names, all with the agent `coder`, connected and heard of. */
async function fleetOf(t: Parameters<typeof testApi>[0], ...names: string[]) {
  const api = await testApi(t);
  const nodes = new Map<string, Awaited<ReturnType<TestApi['addNode']>>['fake']>();
  for (const name of names) {
    const { id, fake } = await api.addNode(name);
    const record = api.store.nodes.byId(id);
    assert.ok(record?.facts);
    const facts = { ...record.facts, capabilities: ['shell', 'agent:coder'] };
    await api.store.write(() => api.store.nodes.setFacts(id, facts));
    await fake.connect();
    nodes.set(name, fake);
  }
  return { api, nodes };
}

test('the run of an agent: handed over as such, its start told with how it is to be read', async (t) => {
  const { api, nodes } = await fleetOf(t, 'a');
  const node = nodes.get('a');
  assert.ok(node);
  const stream = await api.admin.open('POST', '/v1/jobs', ask({ follow: true, timeoutMs: 5000 }));
  await until(() => node.runs.size === 1, 'the hand-over');
  const [id = ''] = node.runs.keys();
  const agent = { name: 'coder', events: 'ndjson' };
  node.write(id, encodeFrame(FRAME_TYPE.started, Buffer.from(JSON.stringify({ startedAt: 1000, pid: 7, agent }))));
  node.write(id, stdoutFrame('{"type":"text","text":"x"}\n'));
  node.end(id, { exitCode: 0, stdoutBytes: 27 });
  const all: JobEvent[] = [];
  await within(
    (async () => {
      for await (const line of createInterface({ input: stream })) all.push(JSON.parse(line) as JobEvent);
    })(),
    'the events',
  );
  const started = all.find((event) => event.type === 'agent');
  assert.ok(started?.type === 'agent');
  assert.deepEqual(started.agent, agent);
  assert.ok(all.indexOf(started) < all.findIndex(({ type }) => type === 'stdout'));
  const view = await api.admin.json<JobView>('GET', `/v1/jobs/${id}`);
  assert.deepEqual([view.kind, view.agent, view.command], ['agent', 'coder', 'do it']);
});

test('a node that has no such agent: rejected, with the word for it', async (t) => {
  const { api, nodes } = await fleetOf(t, 'a');
  const node = nodes.get('a');
  assert.ok(node);
  node.script = (route, _run, _request, response) => {
    if (route !== 'accept') return false;
    refuse(response, 404, 'no_such_agent');
    return true;
  };
  const { job } = await api.admin.json<JobView>('POST', '/v1/jobs', ask({ agent: 'nobody' }));
  await until(() => api.store.runs.byId(`${job}.0`)?.state === 'rejected', 'the refusal');
  assert.match(api.store.runs.byId(`${job}.0`)?.reason ?? '', /^no_such_agent: /);
});

test('requests that contradict themselves are refused', async (t) => {
  const { api } = await fleetOf(t, 'a');
  for (const body of [
    ask({ agent: undefined }),
    ask({ agent: 'Not A Name' }),
    ask({ kind: 'shell' }),
    ask({ stdin: true }),
    { kind: 'shell', command: 'true', target: { any: '@all' } },
  ]) {
    await assert.rejects(api.admin.json('POST', '/v1/jobs', body), { code: 'bad_request' }, JSON.stringify(body));
  }
  const key = { idempotencyKey: 'k' };
  await api.admin.json('POST', '/v1/jobs', ask(key));
  await assert.rejects(api.admin.json('POST', '/v1/jobs', ask({ ...key, agent: 'other' })), { code: 'conflict' });
});

test('any node: what a heartbeat says of runs is old, and makes nobody busy', async (t) => {
  const { api, nodes } = await fleetOf(t, 'a', 'b');
  for (const [name, runsActive] of [
    ['a', 3],
    ['b', 0],
  ] as const) {
    const session = api.sessions.get(nodes.get(name)?.id ?? '');
    assert.ok(session);
    await api.monitor.accept(session, { ...HEALTHY, runsActive });
  }
  const job = await api.admin.json<JobView>('POST', '/v1/jobs', ask({ target: { any: '@all' } }));
  assert.equal(job.runs[0]?.node, 'a');
});

test('any node: the one with the fewest runs, never an excluded one, and the same one for who asks again', async (t) => {
  const { api, nodes } = await fleetOf(t, 'a', 'b', 'c');
  const submit = async (changes: object = {}, target: object = {}): Promise<string | undefined> => {
    const body = ask({ ...changes, target: { any: '@all', ...target } });
    return (await api.admin.json<JobView>('POST', '/v1/jobs', body)).runs[0]?.node;
  };
  assert.equal(await submit({ idempotencyKey: 'k' }), 'a');
  assert.equal(await submit(), 'b');
  assert.equal(await submit(), 'c');
  assert.equal(await submit({}, { exclude: ['a'] }), 'b');
  assert.equal(await submit({}, { any: 'b,c' }), 'c');
  nodes.get('a')?.cut();
  await until(() => api.sessions.online('id-a') === undefined, 'the end of the tunnel');
  assert.equal(await submit({ idempotencyKey: 'k' }), 'a');
  assert.equal(await submit(), 'b');
  for (const [changes, target, code] of [
    [{ agent: 'nobody' }, {}, 'node_offline'],
    [{}, { exclude: ['b', 'c'] }, 'node_offline'],
    [{}, { exclude: ['id-b', 'id-c', 'gone'] }, 'node_offline'],
    [{}, { any: 'nobody' }, 'not_found'],
    [{}, { any: '(' }, 'bad_selector'],
  ] as const) {
    await assert.rejects(submit(changes, target), { code }, JSON.stringify({ changes, target }));
  }
});
