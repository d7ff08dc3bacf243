import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HealthReport } from '../../../src/gateway/monitoring/report/build.ts';
import type { AlertTestView, AlertView, SilenceView } from '../../../src/protocol/alerts.ts';
import type { HealthView } from '../../../src/protocol/views.ts';
import { cleanUp } from '../../support/temp-folder.ts';
import { WebhookReceiver } from '../../support/webhook-receiver.ts';
import { testApi } from './harness.ts';

const ROW = {
  rule: 'away',
  severity: 'critical' as const,
  since: 0,
  clearSince: null,
  firedAt: 1,
  resolvedAt: null,
  summary: 'offline',
  reason: null,
  isNotified: true,
};
const ALERTS = {
  rules: [
    { name: 'away', when: { status: 'offline' } },
    { name: 'a', when: { clone: true } },
  ],
};

async function setUp(t: Parameters<typeof testApi>[0]) {
  const api = await testApi(t, { alerts: ALERTS });
  await api.addNode('a');
  await api.addNode('b');
  await api.store.write(() => {
    api.store.alerts.put({ ...ROW, id: 'aaaa111111', nodeId: 'id-a', nodeName: 'a', state: 'firing', since: 10 });
    api.store.alerts.put({ ...ROW, id: 'aaaa222222', nodeId: 'id-b', nodeName: 'b', state: 'pending', since: 30 });
    api.store.alerts.put({
      ...ROW,
      id: 'bbbb333333',
      nodeId: 'id-b',
      nodeName: 'b',
      state: 'resolved',
      since: 20,
      resolvedAt: 25,
    });
  });
  const list = async (query = '') =>
    (await api.admin.json<{ alerts: AlertView[] }>('GET', `/v1/alerts${query}`)).alerts.map(({ id }) => id);
  const silence = (what: string) => api.admin.json<SilenceView>('POST', '/v1/alerts/silences', { what, forMs: 60_000 });
  return { api, list, silence };
}

test('alerts: all by time, the active by weight; health has those that fire', async (t) => {
  const { api, list } = await setUp(t);
  assert.deepEqual(await list(), ['aaaa222222', 'bbbb333333', 'aaaa111111']);
  assert.deepEqual(await list('?active=true'), ['aaaa111111', 'aaaa222222']);
  assert.deepEqual(await list('?limit=1'), ['aaaa222222']);
  await assert.rejects(list('?limit=0'), { code: 'bad_request' });
  const firing = async (query: string) =>
    (await api.admin.json<HealthView>('GET', `/v1/health${query}`)).alerts.map(({ id }) => id);
  assert.deepEqual(
    [await firing(''), await firing('?node=a'), await firing('?node=b')],
    [['aaaa111111'], ['aaaa111111'], []],
  );
});

test('the report of a period has its alerts, and each node how many', async (t) => {
  const { api } = await setUp(t);
  const { alerts, totals, nodes } = await api.admin.json<HealthReport>('GET', '/v1/health/report?format=json');
  assert.deepEqual(
    alerts.map(({ node, state }) => [node, state]),
    [['a', 'firing']],
  );
  assert.deepEqual(totals.alerts, { fired: 1, firing: 1, critical: 1 });
  assert.deepEqual(nodes.map(({ name, alerts: { firing } }) => `${name} ${firing}`).sort(), ['a 1', 'b 0']);
});

test('silences: by rule, node and alert; the same again takes its place; one that is over is gone', async (t) => {
  const { api, silence } = await setUp(t);
  assert.deepEqual(
    [(await silence('away')).kind, (await silence('b')).kind, (await silence('aaaa1')).what],
    ['rule', 'node', 'aaaa111111'],
  );
  await silence('away');
  const listed = async () => (await api.admin.json<{ silences: SilenceView[] }>('GET', '/v1/alerts/silences')).silences;
  assert.equal((await listed()).length, 3);
  const [alert] = (await api.admin.json<{ alerts: AlertView[] }>('GET', '/v1/alerts?active=true')).alerts;
  assert.notEqual(alert?.silencedUntil, null);
  await api.admin.json('POST', '/v1/alerts/unsilence', { what: 'aaaa1' });
  assert.equal((await listed()).length, 2);
  await api.clock.advance(60_000);
  assert.deepEqual(await listed(), []);
  await assert.rejects(api.admin.json('POST', '/v1/alerts/unsilence', { what: 'away' }), { code: 'not_found' });
});

test('what a person means must be clear', async (t) => {
  const { silence, api } = await setUp(t);
  await assert.rejects(silence('a'), { code: 'ambiguous' }, 'a rule and a node');
  assert.equal((await silence('id-a')).kind, 'node');
  await assert.rejects(silence('aaaa'), { code: 'ambiguous' }, 'two alerts');
  await assert.rejects(silence('nothing'), { code: 'not_found' });
  for (const body of [{ what: 'b' }, { what: 'b', forMs: 0 }, { what: 'b', forMs: 1e15 }, { forMs: 1 }]) {
    await assert.rejects(api.admin.json('POST', '/v1/alerts/silences', body), { code: 'bad_request' });
  }
});

test('a silence is in the audit log', async (t) => {
  const { api, silence } = await setUp(t);
  await silence('b');
  const rows = api.store.auditRows.after(0, 100).map((row) => JSON.stringify(row));
  const silenced = rows.find((row) => row.includes('alert.silence'));
  assert.match(silenced ?? '', /60000/);
});

test('a test goes to each receiver, and says what each answered', async (t) => {
  const receiver = await new WebhookReceiver().listen();
  cleanUp(t, () => receiver.close());
  const notify = [
    { name: 'hook', kind: 'webhook', url: receiver.url },
    { name: 'script', kind: 'command', command: ['false'] },
  ];
  const api = await testApi(t, { alerts: { notify } });
  const ask = async (body: object) =>
    (await api.admin.json<{ results: AlertTestView[] }>('POST', '/v1/alerts/test', body)).results.map(
      ({ receiver: name, delivered, error }) => [name, delivered, error],
    );
  assert.deepEqual(await ask({}), [
    ['hook', true, null],
    ['script', false, 'exit code 1'],
  ]);
  assert.deepEqual(await ask({ receiver: 'hook' }), [['hook', true, null]]);
  await assert.rejects(ask({ receiver: 'nobody' }), { code: 'not_found' });
  assert.match(receiver.received[0]?.id ?? '', /^msg_/);
});

test("a refusal of a node's token is noted, those of others are not", async (t) => {
  const api = await testApi(t);
  const node = await api.addNode('a');
  await assert.rejects(api.connect({ kind: 'tcp' }, 'wrong').json('GET', '/v1/nodes'), { code: 'token_invalid' });
  const path = api.routes.find(({ action, method }) => action === 'node.self' && method !== 'HEAD');
  assert.ok(path !== undefined);
  await assert.rejects(
    api.connect({ kind: 'ssh', peer: node.peer }, 'no token').json(path.method as 'POST', path.url, {}),
    { code: 'token_invalid' },
  );
  assert.deepEqual(api.refusedTokens, ['id-a']);
});
