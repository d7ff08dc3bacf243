/** What the requests of one key take together, over all its connections. Measured in requests and bytes. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type http from 'node:http';
import { PassThrough } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { isTerminal } from '../../../src/domain/states.ts';
import type { PersonRole } from '../../../src/domain/vocabulary.ts';
import { BODY_DEADLINE_MS } from '../../../src/gateway/api/api.ts';
import { Authenticator } from '../../../src/gateway/api/authenticate.ts';
import type { JobView } from '../../../src/protocol/job-messages.ts';
import type { FleetError } from '../../../src/shared/errors.ts';
import { until, within } from '../../support/deadline.ts';
import { rowsOf } from '../audit/fixtures.ts';
import { type Client, peerOf, type TestApi, testApi } from './harness.ts';

const JSON_TYPE = { 'content-type': 'application/json' };

async function addPerson(api: TestApi, name: string, role: PersonRole) {
  const publicKey = randomBytes(32);
  const id = `id-${name}`;
  await api.store.write(() => api.store.people.insert({ id, name, role, publicKey, createdAt: 1 }));
  const { token } = await api.tokens.issue({ subject: id, role, publicKey });
  /** A connection of its own each time. */
  const connect = (): Client => api.connect({ kind: 'ssh', peer: peerOf(publicKey) }, token);
  return { id, publicKey, connect };
}

/** A request whose body has begun and does not end. */
function endless(t: TestContext, client: Client, path: string, headers: Record<string, string> = JSON_TYPE) {
  const stream = new PassThrough();
  t.after(() => void stream.destroy());
  stream.write('{"from": {');
  const answer: Promise<http.IncomingMessage> = client.open('POST', path, undefined, {
    stream,
    headers,
    answerDeadlineMs: 600_000,
  });
  const outcome = answer.then(
    () => 'answered',
    ({ code }: FleetError) => code,
  );
  return { stream, answer, outcome };
}

test('bodies that never end: of one key eight are waited for, however many connections bring them, and those are cut in time', async (t) => {
  const api = await testApi(t);
  const viewer = await addPerson(api, 'vic', 'viewer');
  const other = await addPerson(api, 'ann', 'viewer');
  const outcomes: string[] = [];
  const clients = Array.from({ length: 5 }, () => viewer.connect());
  const all = clients.flatMap((client) =>
    Array.from({ length: 12 }, async () => {
      outcomes.push(await endless(t, client, '/v1/jobs/x/follow').outcome);
    }),
  );
  await until(() => outcomes.length === 52, 'the others are refused');
  assert.deepEqual(new Set(outcomes), new Set(['busy']));
  assert.ok(await other.connect().json('GET', '/v1/nodes'), 'nobody else is held up');
  assert.ok(await viewer.connect().json('GET', '/v1/nodes'), 'nor what has no body');
  await api.clock.advance(BODY_DEADLINE_MS);
  await within(Promise.all(all), 'none is left');
  assert.equal(outcomes.filter((code) => code === 'connection_lost').length, 8);
  await assert.rejects(viewer.connect().json('POST', '/v1/jobs/x/follow', {}), { code: 'not_found' });
});
test('a body is late whatever the route, role and way in; a stream of stdin is not', async (t) => {
  const api = await testApi(t);
  await api.addNode('a');
  const viewer = await addPerson(api, 'vic', 'viewer');
  const submit = { kind: 'shell', command: 'cat', target: { node: 'a' }, expiresMs: 3_600_000, stdin: true };
  const { job } = await api.admin.json<JobView>('POST', '/v1/jobs', submit);
  const late = [
    endless(t, api.admin, '/v1/jobs'),
    endless(t, api.admin, '/v1/jobs', { 'content-type': 'application/octet-stream' }),
    endless(t, viewer.connect(), '/v1/jobs/x/follow'),
    // Refused at its head, and it goes on all the same.
    endless(t, viewer.connect(), '/v1/nodes/a/revoke'),
  ];
  const stdin = endless(t, api.admin, `/v1/jobs/${job}/stdin`, { 'content-type': 'application/octet-stream' });
  const [, , , refused] = late;
  assert.equal(await refused?.outcome, 'forbidden');
  await until(() => api.store.runs.ofJob(job).length === 1, 'the job');
  await api.clock.advance(BODY_DEADLINE_MS);
  const sockets = late.map(({ stream, outcome }) => within(outcome, 'cut').then(() => stream));
  await Promise.all(sockets);
  assert.equal(await Promise.race([stdin.outcome, Promise.resolve('waits')]), 'waits');
  assert.ok(!api.store.runs.ofJob(job).some(({ state }) => isTerminal(state)));
  // Nobody wants it any more: what is left of it has the time of every other body.
  await api.admin.json('POST', `/v1/jobs/${job}/cancel`);
  assert.equal(await within(stdin.outcome, 'its answer'), 'answered');
  const { socket } = await stdin.answer;
  await until(async () => {
    await api.clock.advance(BODY_DEADLINE_MS);
    return socket.destroyed;
  }, 'what is still sent is cut');
});

test('requests of one key that are under way are counted over its connections', async (t) => {
  const api = await testApi(t);
  await api.addNode('a');
  const viewer = await addPerson(api, 'vic', 'viewer');
  const submit = { kind: 'shell', command: 'x', target: { node: 'a' }, expiresMs: 3_600_000 };
  const { job } = await api.admin.json<JobView>('POST', '/v1/jobs', submit);
  const path = `/v1/jobs/${job}/follow`;
  const followers: http.IncomingMessage[] = [];
  const [one, two] = [viewer.connect(), viewer.connect()];
  for (let count = 0; count < 256; count += 1)
    followers.push(await (count % 2 === 0 ? one : two).open('POST', path, {}));
  await assert.rejects(viewer.connect().open('POST', path, {}), { code: 'busy' });
  followers[0]?.destroy();
  await until(
    async () =>
      viewer
        .connect()
        .open('POST', path, {})
        .then(
          (answer) => {
            answer.destroy();
            return true;
          },
          () => false,
        ),
    'one has ended, so one fits',
  );
  for (const follower of followers) follower.destroy();
});

test('a key that is revoked between the head of a request and its end does nothing with it', async (t) => {
  const api = await testApi(t);
  await api.addNode('a');
  const operator = await addPerson(api, 'olga', 'operator');
  const body = JSON.stringify({ kind: 'shell', command: 'x', target: { node: 'a' }, expiresMs: 60_000 });
  const stream = new PassThrough();
  stream.write(body.slice(0, 10));
  const headers = { ...JSON_TYPE, 'content-length': String(body.length) };
  // A peer whose cut does nothing: only the second look at the key is tested here.
  const answer = operator.connect().open('POST', '/v1/jobs', undefined, { stream, headers });
  const failed = assert.rejects(answer, { code: 'key_revoked' });
  await until(() => api.store.people.byId(operator.id)?.revokedAt === null, 'the head is there');
  await new Promise((resolve) => setTimeout(resolve, 50));
  await api.store.write(() => api.store.people.revoke({ id: operator.id, at: 1 }));
  stream.end(body.slice(10));
  await failed;
  assert.deepEqual(api.store.jobs.list({ since: 0, limit: 10 }), []);
  assert.ok(!rowsOf(api.store).some(({ action, outcome }) => action === 'job.submit' && outcome === 'ok'));
});

test('nor one that is revoked, or has another role, while its token is looked at', async (t) => {
  const api = await testApi(t);
  const admin = await addPerson(api, 'anna', 'admin');
  const { token } = await api.tokens.issue({ subject: admin.id, role: 'admin', publicKey: admin.publicKey });
  let meanwhile = (): void => {};
  const tokens = {
    verify: async (...given: Parameters<typeof api.tokens.verify>) => {
      const verified = await api.tokens.verify(...given);
      meanwhile();
      return verified;
    },
  } as typeof api.tokens;
  const identify = (peer = peerOf(admin.publicKey)) =>
    new Authenticator({ store: api.store, tokens, apiToken: 'x' }).identify(
      { kind: 'ssh', peer },
      `Bearer ${token}`,
      'fleet.read',
      api.clock.now(),
    );
  const caller = await identify();
  caller.recheck?.();
  api.store.people.setRole({ id: admin.id, role: 'viewer' });
  assert.throws(() => caller.recheck?.(), { code: 'forbidden' });
  meanwhile = () => api.store.people.revoke({ id: admin.id, at: 1 });
  await assert.rejects(identify(), { code: 'key_revoked' });
});
