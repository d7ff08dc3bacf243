import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testApi } from './harness.ts';

const PROCESS = { pid: 7, user: 'root', cpuPct: 12.5, memPct: 1, rssBytes: 4096, command: 'nginx' };
const DEADLINE = { timeout: 20_000 };

/** A gateway with one connected node that answers so. */
async function withNode(t: Parameters<typeof testApi>[0], statusCode: number, answer: unknown) {
  const api = await testApi(t);
  const node = await api.addNode('node-1');
  const asked: (string | undefined)[] = [];
  node.fake.script = (_route, _run, request, response) => {
    if (!request.url?.startsWith('/v1/processes')) return false;
    asked.push(request.url);
    response.writeHead(statusCode, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answer));
    return true;
  };
  await node.fake.connect();
  return { ...api, asked };
}

test(
  'a connected node is asked, with the limit and the order, and nothing goes into the audit log',
  DEADLINE,
  async (t) => {
    const { admin, asked, store } = await withNode(t, 200, { processes: [PROCESS] });
    const before = store.audit.head();
    assert.deepEqual(await admin.json('GET', '/v1/nodes/node-1/processes'), { node: 'node-1', processes: [PROCESS] });
    await admin.json('GET', '/v1/nodes/node-1/processes?limit=3&sort=mem');
    assert.deepEqual(asked, ['/v1/processes?limit=10&sort=cpu', '/v1/processes?limit=3&sort=mem']);
    assert.deepEqual(store.audit.head(), before);
  },
);

test('what is wrong with the question, the gateway says without asking', DEADLINE, async (t) => {
  const { admin, asked } = await withNode(t, 200, { processes: [] });
  await assert.rejects(admin.json('GET', '/v1/nodes/node-1/processes?limit=51'), { code: 'bad_request' });
  await assert.rejects(admin.json('GET', '/v1/nodes/node-1/processes?sort=name'), { code: 'bad_request' });
  await assert.rejects(admin.json('GET', '/v1/nodes/nobody/processes'), { code: 'not_found' });
  assert.deepEqual(asked, []);
});

test('a node that is offline cannot be asked', DEADLINE, async (t) => {
  const { admin, addNode } = await testApi(t);
  await addNode('node-1');
  await assert.rejects(admin.json('GET', '/v1/nodes/node-1/processes'), { code: 'node_offline' });
});

test('an older node does not know the route, and that is told', DEADLINE, async (t) => {
  const { admin } = await withNode(t, 404, {
    error: { code: 'not_found', message: 'no such route: GET /v1/processes' },
  });
  await assert.rejects(admin.json('GET', '/v1/nodes/node-1/processes'), {
    code: 'protocol_unsupported',
    message: /node-1 is too old/,
  });
});

test('an answer that is no list of processes goes no further', DEADLINE, async (t) => {
  const { admin } = await withNode(t, 200, { processes: Array.from({ length: 51 }, () => PROCESS) });
  await assert.rejects(admin.json('GET', '/v1/nodes/node-1/processes'), { code: 'protocol_unsupported' });
});

test('what the node itself says is wrong is passed on', DEADLINE, async (t) => {
  const { admin } = await withNode(t, 504, { error: { code: 'timeout', message: 'the machine does not tell' } });
  await assert.rejects(admin.json('GET', '/v1/nodes/node-1/processes'), { code: 'timeout' });
});
