/** Many followers of one key that read nothing, over real SSH connections: what they take of the gateway's memory is bounded. */
import assert from 'node:assert/strict';
import type http from 'node:http';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { encodeFrame, FRAME_TYPE } from '../../src/protocol/frames.ts';
import type { JobView } from '../../src/protocol/job-messages.ts';
import { openRequest } from '../../src/shared/http/request.ts';
import { createStreamAgent } from '../../src/shared/http/streams.ts';
import type { Sharing } from '../../src/shared/ssh/patches/internals.ts';
import type { SshPeer } from '../../src/shared/ssh/server/ssh-session.ts';
import { encodeOpenSshPrivateKey } from '../../src/shared/ssh/ssh-key.ts';
import { until } from '../support/deadline.ts';
import { cleanUp } from '../support/temp-folder.ts';
import { testApi } from './api/harness.ts';
import {
  connectPeer,
  directTcpipOpen,
  HostileClient,
  newKeyPair,
  packet,
  settled,
  startServer,
} from './ssh/fixtures.ts';

const MIB = 1024 * 1024;
const FOLLOWERS = 24;
const FRAMES = 128;
const SSH_CHANNEL_DATA = 94;

test('followers that read nothing hold a little each; one that reads gets it whole', {
  timeout: 120_000,
}, async (t) => {
  const api = await testApi(t);
  const key = newKeyPair();
  const publicKey = Buffer.from(key.publicKey);
  await api.store.write(() =>
    api.store.people.insert({ id: 'v', name: 'vic', role: 'viewer', publicKey, createdAt: 1 }),
  );
  const { token } = await api.tokens.issue({ subject: 'v', role: 'viewer', publicKey });
  const headers = { authorization: `Bearer ${token}` };
  await api.addNode('a');
  const submit = { kind: 'shell', command: 'x', target: { node: 'a' }, expiresMs: 3_600_000 };
  const { job } = await api.admin.json<JobView>('POST', '/v1/jobs', submit);
  const run = () => api.store.runs.byId(`${job}.0`) ?? assert.fail('there is no run');
  // 8 MiB of output in frames of 64 KiB, four to a chunk.
  for (let count = 0; count < FRAMES; count += 4) {
    const frames = Buffer.concat(
      Array.from({ length: 4 }, () => encodeFrame(FRAME_TYPE.stdout, Buffer.alloc(64 * 1024, 'x'))),
    );
    await api.store.write(() => api.store.runs.appendLog(run(), run().logBytes, frames, 256 * 1024, 0));
  }
  const gateway = await startServer((peer: SshPeer) => ({
    maxChannels: 256,
    direct: () => (channel) => api.serve({ kind: 'ssh', peer }, channel),
  }));
  cleanUp(t, () => gateway.server.close());
  const privateKey = encodeOpenSshPrivateKey(key);
  const request = [
    `POST /v1/jobs/${job}/follow HTTP/1.1`,
    'host: fleet',
    `authorization: ${headers.authorization}`,
    'content-type: application/json',
    'content-length: 2',
    '',
    '{}',
  ].join('\r\n');
  for (let count = 0; count < FOLLOWERS; count += 1) {
    const client = await new HostileClient().connect(gateway.port, { privateKey });
    cleanUp(t, () => client.destroy());
    client.internals._sock.pause();
    // It grants all the window there is.
    client.send(directTcpipOpen(0, { window: 0xffff_ffff }));
    client.send(packet(SSH_CHANNEL_DATA, 0, request));
  }
  const waiting = (): number => gateway.peers.reduce((sum, peer) => sum + (peer as unknown as Sharing).waitingBytes, 0);
  await until(() => waiting() > 0, 'followers are ahead of their readers');
  const held = await settled(waiting, 'they stop');
  assert.ok(held <= 9 * MIB + FOLLOWERS * 200 * 1024, `${held} bytes wait in sockets`);

  const honest = await connectPeer(gateway.port, { privateKey });
  cleanUp(t, () => honest.close());
  const agent: http.Agent = createStreamAgent(() => honest.openDirect('api', 1));
  const follow = await openRequest({ agent, headers, method: 'POST', path: `/v1/jobs/${job}/follow`, body: {} });
  const whole = text(follow);
  await api.admin.json('POST', `/v1/jobs/${job}/cancel`);
  const events = (await whole)
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const data = events.flatMap((event) => (event.type === 'stdout' ? [event.data as string] : []));
  assert.equal(data.join('').length, FRAMES * 64 * 1024);
  assert.ok(data.every((piece) => piece.length <= 32 * 1024));
});
