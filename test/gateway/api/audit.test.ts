import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import type { QueryInput } from '../../../src/client/gateway-client.ts';
import { readAudit } from '../../../src/client/read-audit.ts';
import type { AuditHeadView, AuditRow } from '../../../src/domain/audit.ts';
import type { Authenticator, Caller } from '../../../src/gateway/api/authenticate.ts';
import { type Action, isAudited } from '../../../src/gateway/identity/permissions.ts';
import type { JobView } from '../../../src/protocol/job-messages.ts';
import type { Answer } from '../../../src/protocol/routes.ts';
import type { RequestOptions } from '../../../src/shared/http/request.ts';
import { settle, until } from '../../support/deadline.ts';
import { checkStore, rowsOf } from '../audit/fixtures.ts';
import { TestNode } from '../identity/fixtures.ts';
import { API_TOKEN, peerOf, type TestApi, testApi } from './harness.ts';

const actions = (api: TestApi): string[] => rowsOf(api.store).map(({ action }) => action);
const last = (api: TestApi): AuditRow => rowsOf(api.store).at(-1) ?? assert.fail('there is no row');

test('every route that changes something leaves a row, by its action alone', async (t) => {
  const api = await testApi(t);
  const changing = api.routes.filter(({ action, method }) => isAudited(action as Action, method));
  assert.ok(changing.length >= 8);
  for (const { method, url } of changing) {
    const before = rowsOf(api.store).length;
    await api.admin
      .json(method as RequestOptions['method'], url.replace(/:\w+/g, 'missing'), {})
      .catch(() => undefined);
    await settle();
    // A key rotation leaves two: one signed with either key.
    const rows = url.endsWith('/gateway/rotate-key') ? 2 : 1;
    assert.equal(rowsOf(api.store).length, before + rows, `${method} ${url}`);
    assert.equal(last(api).actor.name, 'local');
  }
  assert.equal(checkStore(api.store).intact, true);
});

test('a route that knows nothing of the audit log is in it, with or without a write, and with the names of what it was given', async (t) => {
  const api = await testApi(t, {
    addRoutes: (app, { store }) => {
      const config = { action: 'nodes.manage' as const };
      app.post('/v1/new/:thing', { config }, async () => {
        await store.write(() => undefined);
        await store.write(() => undefined);
        return {};
      });
      app.put('/v1/silent', { config }, async () => ({}));
      app.get('/v1/look', { config }, async () => ({}));
    },
  });
  await api.admin.json('POST', '/v1/new/x', { password: 'secret' });
  await api.admin.json('PUT', '/v1/silent');
  await api.admin.json('GET', '/v1/look');
  assert.deepEqual(
    rowsOf(api.store).map(({ action, outcome, details }) => [action, outcome, details]),
    [
      ['POST /v1/new/:thing', 'ok', { thing: 'x', fields: ['password'] }],
      ['PUT /v1/silent', 'ok', {}],
    ],
  );
});

test('a job: who, from where, the exact command, on which nodes, names of variables but no values; then its end', async (t) => {
  const api = await testApi(t);
  const { fake } = await api.addNode('web-1');
  await api.addNode('web-2');
  await fake.connect();
  await api.connect({ kind: 'tcp' }, API_TOKEN).json('POST', '/v1/jobs', {
    kind: 'shell',
    command: 'echo "a  b" | tee /x',
    target: { selector: 'web-[1-2]' },
    env: { TOKEN: 'canary' },
    user: 'ann',
  });
  const [submit, end] = rowsOf(api.store);
  assert.equal(submit?.action, 'job.submit');
  assert.deepEqual(submit.actor, { name: 'api', role: 'admin', via: 'tcp', key: null, address: null });
  const { job, ...details } = submit.details;
  assert.equal(typeof job, 'string');
  assert.deepEqual(details, {
    kind: 'shell',
    command: 'echo "a  b" | tee /x',
    target: 'web-[1-2]',
    nodes: 'web-[1-2]',
    runs: 2,
    user: 'ann',
    env: ['TOKEN'],
  });
  // web-2 is away, so its run has ended in the same transaction.
  assert.deepEqual([end?.action, end?.details.node, end?.details.state], ['run.end', 'web-2', 'expired']);
  assert.ok(!JSON.stringify(rowsOf(api.store)).includes('canary'));
  await until(() => fake.runs.has(`${job}.0`), 'the hand-over');
  fake.end(`${job}.0`, { exitCode: 3 });
  await until(() => last(api).details.node === 'web-1', 'the end of the run');
  assert.deepEqual([last(api).details.state, last(api).details.exitCode], ['exited', 3]);
});

test('a repeated job, a cancel and a look: two more rows', async (t) => {
  const api = await testApi(t);
  await api.addNode('a');
  const body = { kind: 'shell', command: 'c', target: { node: 'a' }, idempotencyKey: 'k', expiresMs: 60_000 };
  const { job } = await api.admin.json<JobView>('POST', '/v1/jobs', body);
  await api.admin.json('POST', '/v1/jobs', body);
  await api.admin.json('GET', `/v1/jobs/${job}`);
  await api.admin.json('POST', `/v1/jobs/${job}/cancel`);
  assert.deepEqual(actions(api), ['job.submit', 'job.repeat', 'run.end', 'job.cancel']);
  assert.deepEqual(rowsOf(api.store).at(-1)?.details, { job });
});

test('nodes and invites: what was changed, by name, id and key', async (t) => {
  const api = await testApi(t);
  const node = await api.addNode('a');
  await api.admin.json('PATCH', '/v1/nodes/a', { name: 'b', labels: { tier: 'web' } });
  await api.admin.json('POST', '/v1/nodes/b/revoke');
  await api.admin.json('DELETE', '/v1/nodes/b');
  const { code } = await api.admin.json<{ code: string }>('POST', '/v1/invites', {
    role: 'node',
    labels: {},
    ttlMs: 60_000,
    uses: 1,
  });
  assert.deepEqual(actions(api), ['node.change', 'node.revoke', 'node.remove', 'invite.create']);
  const [change, revoke, , invite] = rowsOf(api.store);
  assert.deepEqual(change?.details, { node: 'a', id: node.id, name: 'b', labels: { tier: 'web' } });
  assert.match(String(revoke?.details.key), /^SHA256:/);
  assert.ok(code.replaceAll('-', '').startsWith(String(invite?.details.invite)));
  assert.ok(!JSON.stringify(rowsOf(api.store)).includes(code.replaceAll('-', '').slice(4)), 'the id, never the secret');
});

test('pairing: who came in, by which invite, and what was refused; an invite that is burned', async (t) => {
  const api = await testApi(t);
  const code = await api.invite();
  const node = new TestNode(api);
  await node.pair({ code });
  const [pair] = rowsOf(api.store).filter(({ action }) => action === 'node.pair');
  assert.deepEqual([pair?.actor.role, pair?.actor.address, pair?.details.node], ['unknown', '192.0.2.1', 'web']);
  assert.match(pair?.actor.key ?? '', /^SHA256:/);
  assert.equal(pair?.details.invite, code.slice(0, 4));
  const other = await api.invite();
  for (let n = 0; n < 5; n += 1) {
    const wrong = { verify: (request: object) => ({ ...request, proof: randomBytes(32).toString('base64url') }) };
    await assert.rejects(new TestNode(api, `k${n}`).pair({ code: other }, wrong as never), { code: 'invite_invalid' });
  }
  assert.deepEqual([last(api).action, last(api).details], ['invite.burn', { invite: other.slice(0, 4), failures: 5 }]);
  const peer = peerOf(randomBytes(32));
  const body = {
    publicKey: peer.publicKey.toString('base64url'),
    nonce: randomBytes(32).toString('base64url'),
    protocol: 1,
    invite: 'zzzz',
  };
  await assert.rejects(api.connect({ kind: 'ssh', peer }).json('POST', '/v1/pair/challenge', body), {
    code: 'invite_invalid',
  });
  await settle();
  assert.deepEqual([last(api).action, last(api).outcome], ['POST /v1/pair/challenge', 'invite_invalid']);
});

test('who may not is in the log by name, also for a look; a stranger is a stranger', async (t) => {
  let caller: Caller = { role: 'viewer', name: 'vic', peer: peerOf(randomBytes(32)) };
  const api = await testApi(t, { authenticator: { identify: async () => caller } as unknown as Authenticator });
  const client = api.connect({ kind: 'socket' });
  for (let n = 0; n < 3; n += 1) {
    await assert.rejects(client.json('POST', '/v1/jobs', { kind: 'shell', command: 'x' }), { code: 'forbidden' });
  }
  caller = { role: 'node', name: 'web', nodeId: 'w', peer: peerOf(randomBytes(32)) };
  await assert.rejects(client.json('GET', '/v1/audit'), { code: 'forbidden' });
  await settle();
  assert.deepEqual(
    rowsOf(api.store).map(({ actor, action, outcome }) => [actor.name, actor.role, action, outcome]),
    [
      ['vic', 'viewer', 'job.submit', 'forbidden'],
      ['web', 'node', 'GET /v1/audit', 'forbidden'],
    ],
  );
  await api.refusals.close();
  assert.deepEqual(last(api).details, { more: 2 });
});

test('what cannot be recorded is not done: no job, no revoke, no approval, no end of the gateway', async (t) => {
  const api = await testApi(t);
  await api.addNode('a');
  const database = new Database(`${api.folder}/fleet.db`);
  t.after(() => database.close());
  database.exec("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no room'); END");
  const waiting = new TestNode(api, 'pending');
  assert.equal((await waiting.pair({})).status, 'pending');
  for (const [path, body] of [
    ['/v1/jobs', { kind: 'shell', command: 'c', target: { node: 'a' } }],
    ['/v1/nodes/a/revoke', {}],
    ['/v1/pending/web', { decision: 'approve' }],
    ['/v1/gateway/shutdown', {}],
  ] as const) {
    await assert.rejects(api.admin.json('POST', path, body), /no room/, path);
  }
  assert.deepEqual(api.store.jobs.list({ since: 0, limit: 10 }), []);
  assert.equal(api.store.nodes.byName('a')?.revokedAt, null);
  assert.equal(api.pending.list().length, 1);
  assert.equal(api.shutdowns(), 0);
  database.exec('DROP TRIGGER full');
  await api.admin.json('POST', '/v1/gateway/shutdown');
  await until(() => api.shutdowns() === 1, 'the end');
  assert.equal(last(api).action, 'gateway.shutdown');
});

test('the log is read in pages, forwards and backwards, by time, actor and action, and only by an admin', async (t) => {
  const api = await testApi(t);
  const start = api.clock.now();
  await Promise.all(
    Array.from({ length: 1_200 }, (_, n) =>
      api.store.write(() => {
        const actor = {
          name: n % 2 ? 'ann' : 'ben',
          role: 'operator',
          via: 'ssh',
          key: 'SHA256:k',
          address: 'x',
        } as const;
        api.store.audit.append({ actor, action: n % 3 ? 'job.submit' : 'node.revoke', outcome: 'ok', details: { n } });
      }),
    ),
  );
  await api.clock.advance(60_000);
  await api.admin.json('POST', '/v1/nodes/x/revoke').catch(() => undefined);
  await settle();
  const source = {
    auditPage: (query: QueryInput<'GET /v1/audit'>) => {
      const pairs = Object.entries(query).filter(([, value]) => value !== undefined);
      return api.admin.json<Answer<'GET /v1/audit'>>(
        'GET',
        `/v1/audit?${pairs.map((pair) => pair.join('=')).join('&')}`,
      );
    },
    auditHead: () => api.admin.json<AuditHeadView>('GET', '/v1/audit/head'),
  };
  const read = async (filter: QueryInput<'GET /v1/audit'>): Promise<number> => {
    let count = 0;
    for await (const line of readAudit(source, filter)) count += line.length > 0 ? 1 : 0;
    return count;
  };
  assert.equal(await read({}), 1_201);
  assert.equal(await read({ since: start }), 1_201);
  assert.equal(await read({ since: start + 1 }), 1);
  assert.equal(await read({ actor: 'ann' }), 600);
  assert.equal(await read({ actor: 'SHA256:k', action: 'job' }), 800);
  assert.equal(await read({ action: 'jo' }), 0);
  const page = await source.auditPage({ before: 1_101 });
  assert.deepEqual([JSON.parse(page.lines[0] ?? '').seq, page.lines.length, page.next], [1_100, 500, 601]);
  assert.equal((await source.auditHead()).head?.seq, 1_201);
  const node = await api.addNode('n');
  await assert.rejects(node.client.json('GET', '/v1/audit'), { code: 'forbidden' });
  await assert.rejects(api.admin.json('GET', '/v1/audit?since=9007199254740991'), { code: 'bad_request' });
});
