/** Every route that changes something, with a deed that fails: no row may say that it was done. */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { type TestContext, test } from 'node:test';
import Database from 'better-sqlite3';
import type { AuditRow } from '../../../src/domain/audit.ts';
import { type Action, isAudited } from '../../../src/gateway/identity/permissions.ts';
import type { JobView } from '../../../src/protocol/job-messages.ts';
import type { RequestOptions } from '../../../src/shared/http/request.ts';
import { settle, until } from '../../support/deadline.ts';
import { rowsOf } from '../audit/fixtures.ts';
import { TestNode } from '../identity/fixtures.ts';
import { type TestApi, testApi } from './harness.ts';

const JOB = { kind: 'shell', command: 'x', target: { node: 'a' }, expiresMs: 3_600_000 };
const OUT_OF_REACH = { kind: 'webhook', url: 'http://127.0.0.1:1/' };

/** How each route is asked in a way that would work, and with what its deed is made to fail: with the tables, unless told. */
interface Attempt {
  path?: (api: TestApi) => Promise<string> | string;
  body?: object;
  breaks?: (t: TestContext, api: TestApi) => void;
  /** It answers, and says what came of it. */
  answers?: boolean;
}

const ATTEMPTS: Record<string, Attempt> = {
  'POST /v1/jobs': { body: JOB },
  'POST /v1/jobs/:job/cancel': { path: async (api) => `/v1/jobs/${await submit(api)}/cancel` },
  'POST /v1/jobs/:job/stdin': {},
  'POST /v1/invites': { body: { role: 'node', labels: {}, ttlMs: 60_000, uses: 1 } },
  'DELETE /v1/invites/:invite': { path: async (api) => `/v1/invites/${(await api.invite()).slice(0, 4)}` },
  'POST /v1/keys/:key/revoke': { path: () => '/v1/keys/a/revoke' },
  'POST /v1/alerts/silences': { body: { what: 'a', forMs: 60_000 } },
  'POST /v1/alerts/unsilence': { body: { what: 'a' } },
  'POST /v1/alerts/test': { body: {}, breaks: () => undefined, answers: true },
  'POST /v1/schedules': { body: { cron: '@daily', action: { kind: 'job', request: JOB } } },
  'PATCH /v1/schedules/:schedule': { path: () => '/v1/schedules/x', body: { paused: true } },
  'DELETE /v1/schedules/:schedule': { path: () => '/v1/schedules/x' },
  'POST /v1/schedules/:schedule/run': {
    path: () => '/v1/schedules/x/run',
    // The entry is stored, and no job comes of it.
    breaks: (t, api) => breakTables(t, api, ['jobs']),
    answers: true,
  },
  'POST /v1/gateway/rotate-key': { breaks: breakKeys },
  'POST /v1/gateway/reload': { breaks: () => undefined },
  'PATCH /v1/nodes/:node': { path: () => '/v1/nodes/a', body: { name: 'b', labels: { x: 'y' } } },
  'POST /v1/nodes/:node/revoke': { path: () => '/v1/nodes/a/revoke' },
  'POST /v1/nodes/:node/reset': { path: suspected },
  'DELETE /v1/nodes/:node': { path: () => '/v1/nodes/a' },
  'POST /v1/pending/:which': { path: () => '/v1/pending/nobody', body: { decision: 'approve' } },
  // Its deed is the answer: the end comes when that is out.
  'POST /v1/gateway/shutdown': { breaks: breakAudit },
};

/** Two machines seem to use the node's key. */
function suspected({ store, clock }: TestApi): string {
  const holder = { hostname: 'h', address: 'x', machineId: null, at: clock.now() };
  const suspicion = { kind: 'behind', since: clock.now(), count: 1, late: holder, before: holder } as const;
  store.epochs.put({ nodeId: 'id-a', confirmed: '1-x', offered: null, branch: 0, holder, suspicion });
  return '/v1/nodes/a/reset';
}

async function submit(api: TestApi, changes: object = {}): Promise<string> {
  return (await api.admin.json<JobView>('POST', '/v1/jobs', { ...JOB, ...changes })).job;
}

/** Nothing can be changed in these tables any more; in all but the audit log's unless named. */
function breakTables(t: TestContext, api: TestApi, names?: readonly string[]): void {
  const database = new Database(`${api.folder}/fleet.db`);
  t.after(() => database.close());
  const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").pluck().all() as string[];
  const broken = names ?? tables.filter((name) => !/^(audit|sqlite_)/.test(name));
  for (const name of broken) {
    for (const change of ['INSERT', 'UPDATE', 'DELETE']) {
      database.exec(
        `CREATE TRIGGER no_${change}_${name} BEFORE ${change} ON ${name} BEGIN SELECT RAISE(ABORT, 'no'); END`,
      );
    }
  }
}

function breakAudit(t: TestContext, api: TestApi): void {
  breakTables(t, api, ['audit']);
}

function breakKeys(_t: TestContext, api: TestApi): void {
  api.keys.rotate = () => {
    throw new Error('read-only file system');
  };
}

test('no route leaves a row that says ok when its deed has failed', { timeout: 120_000 }, async (t) => {
  const { routes } = await testApi(t);
  const changing = routes.filter(({ action, method }) => isAudited(action as Action, method));
  assert.deepEqual(changing.map(({ method, url }) => `${method} ${url}`).sort(), Object.keys(ATTEMPTS).sort());
  for (const { method, url } of changing) {
    const what = `${method} ${url}`;
    if (what === 'POST /v1/jobs/:job/stdin') continue;
    const { path = () => url, body, breaks = breakTables, answers = false } = ATTEMPTS[what] ?? {};
    const api = await testApi(t, { alerts: { notify: [{ ...OUT_OF_REACH, name: 'hook' }] }, failingReload: true });
    await api.addNode('a');
    await api.admin.json('POST', '/v1/schedules', { name: 'x', cron: '@daily', action: { kind: 'job', request: JOB } });
    await api.admin.json('POST', '/v1/alerts/silences', { what: 'a', forMs: 60_000 });
    const asked = await path(api);
    const before = rowsOf(api.store).length;
    breaks(t, api);
    const answer = api.admin.json(method as RequestOptions['method'], asked, body);
    if (answers) await answer;
    else await assert.rejects(answer, what);
    await settle();
    const rows = rowsOf(api.store).slice(before);
    assert.deepEqual(rows.filter(isOk), [], what);
    if (breaks !== breakAudit) assert.ok(rows.length > 0, `${what} leaves a row that says what came of it`);
  }
});

/** Of what was asked; what the gateway does by itself on the way is its own. */
function isOk({ outcome, actor }: AuditRow): boolean {
  return outcome === 'ok' && actor.name === 'local';
}

test('a decision that fails, or cannot be recorded, is not made', async (t) => {
  const api = await testApi(t);
  const waiting = new TestNode(api, 'pending');
  assert.equal((await waiting.pair({})).status, 'pending');
  for (const decision of ['approve', 'reject']) {
    await assert.rejects(api.admin.json('POST', '/v1/pending/nobody', { decision }), { code: 'not_found' });
  }
  await api.addNode('taken');
  const taken = { decision: 'approve', name: 'taken' };
  await assert.rejects(api.admin.json('POST', '/v1/pending/web', taken), { code: 'name_taken' });
  await settle();
  assert.deepEqual([...new Set(rowsOf(api.store).map(({ outcome }) => outcome))].sort(), ['name_taken', 'not_found']);
  assert.equal(api.pending.list().length, 1);
  breakAudit(t, api);
  await assert.rejects(api.admin.json('POST', '/v1/pending/web', { decision: 'reject' }));
  assert.equal(api.pending.list().length, 1, 'it waits as before');
});

test('a new signing key that cannot be recorded is taken back; one that cannot be written leaves no row', async (t) => {
  const api = await testApi(t);
  const { id } = api.keys.current;
  breakAudit(t, api);
  await assert.rejects(api.admin.json('POST', '/v1/gateway/rotate-key'));
  assert.equal(api.keys.current.id, id);
  assert.equal(api.keys.acceptedRaw().length, 1);
});

test('stdin: it has begun, and then what became of it', async (t) => {
  const api = await testApi(t);
  const { fake } = await api.addNode('a');
  const outcomes = (): string[] =>
    rowsOf(api.store).flatMap(({ action, outcome }) => (action === 'job.stdin' ? [outcome] : []));
  const send = (job: string, stream: PassThrough): Promise<unknown> =>
    api.admin.open('POST', `/v1/jobs/${job}/stdin`, undefined, {
      stream,
      headers: { 'content-type': 'application/octet-stream' },
    });
  const cut = await submit(api, { stdin: true });
  const broken = new PassThrough().on('error', () => undefined);
  const lost = assert.rejects(send(cut, broken));
  broken.write('rm');
  await until(() => outcomes().length === 1, 'it has begun');
  await api.admin.json('POST', `/v1/jobs/${cut}/cancel`);
  broken.destroy(new Error('gone'));
  await lost.catch(() => undefined);
  await until(() => outcomes().length === 2, 'its end');
  assert.equal(outcomes()[0], 'begun');
  assert.ok(['not_running', 'connection_lost'].includes(outcomes()[1] ?? ''), outcomes().join());
  await fake.connect();
  const job = await submit(api, { stdin: true });
  const whole = new PassThrough();
  const sent = send(job, whole);
  whole.end('all of it');
  await until(() => fake.runs.has(`${job}.0`), 'the hand-over');
  await sent;
  await until(() => outcomes().length === 4, 'its end');
  assert.deepEqual(outcomes().slice(2), ['begun', 'ok']);
});

test('a test of receivers names those that it did not reach', async (t) => {
  const notify = [
    { ...OUT_OF_REACH, name: 'hook' },
    { name: 'program', kind: 'command', command: ['true'] },
  ];
  const api = await testApi(t, { alerts: { notify } });
  await api.admin.json('POST', '/v1/alerts/test', { receiver: 'program' });
  await api.admin.json('POST', '/v1/alerts/test', {});
  assert.deepEqual(
    rowsOf(api.store).map(({ outcome, details }) => [outcome, details]),
    [
      ['begun', { receiver: 'program' }],
      ['ok', { receiver: 'program', failed: [] }],
      ['begun', {}],
      ['failed', { failed: ['hook'] }],
    ],
  );
});
