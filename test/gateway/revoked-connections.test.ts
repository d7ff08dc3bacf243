/** A whole gateway: whatever ends a key ends all its connections at once, those of strangers that just paired and requests under way included. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { GATEWAY_API } from '../../src/domain/limits.ts';
import type { JobView } from '../../src/protocol/job-messages.ts';
import { systemClock } from '../../src/shared/clock.ts';
import { openRequest } from '../../src/shared/http/request.ts';
import { createStreamAgent } from '../../src/shared/http/streams.ts';
import { silentLogger } from '../../src/shared/logger.ts';
import type { SshConnection } from '../../src/shared/ssh/connection/client-connection.ts';
import { connectSsh } from '../../src/shared/ssh/connection/connect.ts';
import { beat, TestGateway, TestMachine } from '../node/tunnel/real-gateway.ts';
import { within } from '../support/deadline.ts';
import { TestPerson } from '../support/person.ts';
import { cleanUp } from '../support/temp-folder.ts';

async function connectWith(t: TestContext, port: number, keyFile: string): Promise<SshConnection> {
  const connection = await connectSsh({
    host: '127.0.0.1',
    port,
    user: 'x',
    privateKey: readFileSync(keyFile, 'utf8'),
    verifyHostKey: () => undefined,
    clock: systemClock,
    logger: silentLogger,
  });
  cleanUp(t, () => connection.close());
  return connection;
}

async function untilGone(connections: readonly SshConnection[]): Promise<void> {
  await within(Promise.all(connections.map(({ closed }) => closed)), 'every connection of the key is gone');
}

/** A node with its tunnel, and two more connections: one that only authenticated, one that was a stranger's when it came. */
async function nodeWithMore(t: TestContext, gateway: TestGateway) {
  const machine = new TestMachine(t);
  const keyFile = `${machine.folder}/key`;
  machine.options(gateway.port);
  const stranger = await connectWith(t, gateway.port, keyFile);
  const { connection, client } = await machine.open(gateway.port, { code: await gateway.invite() });
  const idle = await connectWith(t, gateway.port, keyFile);
  return { machine, keyFile, client, connections: [stranger, connection, idle] };
}

for (const [what, path, method] of [
  ['nodes revoke', '/v1/nodes/web/revoke', 'POST'],
  ['keys revoke', '/v1/keys/web/revoke', 'POST'],
  ['nodes rm', '/v1/nodes/web', 'DELETE'],
] as const) {
  test(`${what} ends every connection of the node's key`, { timeout: 60_000 }, async (t) => {
    const gateway = await new TestGateway(t).start();
    const { connections } = await nodeWithMore(t, gateway);
    const bystander = await new TestMachine(t).open(gateway.port, { code: await gateway.invite(), name: 'other' });
    await gateway.api(method, path);
    await untilGone(connections);
    await bystander.client.heartbeat(beat());
  });
}

test('a node that leaves, and one that has a new key, keep no connection of the old one', {
  timeout: 60_000,
}, async (t) => {
  const gateway = await new TestGateway(t).start();
  const leaving = await nodeWithMore(t, gateway);
  await leaving.client.leave();
  await untilGone(leaving.connections);

  const machine = new TestMachine(t);
  const { connection } = await machine.open(gateway.port, { code: await gateway.invite() });
  const old = [connection, await connectWith(t, gateway.port, `${machine.folder}/key`)];
  const keys = machine.keys;
  keys.prepare();
  const { opened } = await machine.attemptKeyed(gateway.port, keys);
  assert.ok('connection' in opened);
  await untilGone(old);
  await opened.client.heartbeat(beat());
});

test('keys revoke ends a person’s streams, uploads and bodies that are under way', { timeout: 60_000 }, async (t) => {
  const gateway = await new TestGateway(t).start();
  await new TestMachine(t).open(gateway.port, { code: await gateway.invite() });
  const person = new TestPerson(t);
  await person.login(gateway.port, await gateway.invite({ role: 'operator', name: 'olga' }));
  const { headers } = await person.transport(gateway.port).route();
  const connections = [
    await connectWith(t, gateway.port, person.paths.key),
    await connectWith(t, gateway.port, person.paths.key),
  ];
  const [one, two] = connections.map((connection) => {
    return createStreamAgent(() => connection.openDirect(GATEWAY_API.host, GATEWAY_API.port));
  });
  const submit = { kind: 'shell', command: 'cat', target: { node: 'web' }, expiresMs: 3_600_000, stdin: true };
  const { job } = await gateway.api<JobView>('POST', '/v1/jobs', submit);
  const send = (agent: typeof one, path: string, type: string, begin: string) => {
    const stream = new PassThrough();
    stream.write(begin);
    const answer = openRequest({ agent, method: 'POST', path, stream, headers: { ...headers, 'content-type': type } });
    return { stream, answer };
  };
  const follower = await openRequest({ agent: one, headers, method: 'POST', path: `/v1/jobs/${job}/follow`, body: {} });
  const stdin = send(one, `/v1/jobs/${job}/stdin`, 'application/octet-stream', 'begin');
  const second = send(two, '/v1/jobs', 'application/json', '{"kind":"shell","command":"rm","target":{"node":"web"}');
  const ends = [stdin, second].map(({ answer }) =>
    assert.rejects(within(answer, 'it breaks off'), { code: 'connection_lost' }),
  );
  const broken = assert.rejects(text(follower));
  await gateway.api('POST', '/v1/keys/olga/revoke');
  second.stream.end(',"expiresMs":60000}');
  await Promise.all([...ends, broken]);
  await untilGone(connections);
  const { jobs } = await gateway.api<{ jobs: JobView[] }>('GET', '/v1/jobs');
  assert.deepEqual(
    jobs.map((one) => one.job),
    [job],
  );
});
