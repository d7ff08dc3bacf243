import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { Duplex } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import type { SshConnection } from '../../../src/shared/ssh/connection/client-connection.ts';
import type { SshPeer } from '../../../src/shared/ssh/server/ssh-session.ts';
import { connectPeer, eventually, settled, startServer, type TestServer, within } from './fixtures.ts';
import { channelAgent, createTestHttpServer, exchange, sha256, TWENTY_MEGABYTES } from './http-fixtures.ts';

const LIMITS = { rekeyBytes: 4 * 1024 * 1024, rekeyBurst: 10_000 };

let gateway: TestServer;
let node: SshConnection;
let peer: SshPeer;
const onGateway = createTestHttpServer();
const onNode = createTestHttpServer();

before(async () => {
  const handlers = { direct: () => onGateway.accept, forward: () => true };
  // Both ends exchange keys every few megabytes while all of this runs.
  gateway = await startServer(handlers, { limits: LIMITS });
  node = await connectPeer(gateway.port, { limits: LIMITS });
  peer = await gateway.nextPeer();
  await node.forward('fleet-node', 1, onNode.accept);
});

after(async () => {
  node.close();
  await gateway.server.close();
});

const directions = [
  { name: 'node → gateway', open: (): Promise<Duplex> => node.openDirect('fleet-gateway', 1), far: onGateway },
  { name: 'gateway → node', open: (): Promise<Duplex> => peer.openForwarded('fleet-node', 1), far: onNode },
];

for (const { name, open, far } of directions) {
  describe(name, () => {
    test('requests one after the other use one channel', async () => {
      let opened = 0;
      const agent = channelAgent(() => {
        opened += 1;
        return open();
      });
      for (let count = 0; count < 20; count += 1) {
        const { body, reused } = await exchange(agent, `/${count}`);
        assert.equal(body.toString(), `hello /${count}`);
        assert.equal(reused, count > 0);
      }
      assert.equal(opened, 1);
      agent.destroy();
    });

    test('20 MB arrive unharmed, up and down at once', async () => {
      const agent = channelAgent(open);
      const body = randomBytes(TWENTY_MEGABYTES);
      const [up, down] = await within(
        20_000,
        Promise.all([exchange(agent, '/digest', body), exchange(agent, '/bytes')]),
        '20 MB each way',
      );
      assert.equal(up.body.toString(), sha256(body));
      assert.equal(sha256(down.body), far.digest);
      agent.destroy();
    });

    test('50 requests at once', async () => {
      const agent = channelAgent(open);
      const bodies = Array.from({ length: 50 }, () => randomBytes(100_000));
      const answers = await within(10_000, Promise.all(bodies.map((body) => exchange(agent, '/digest', body))), '50');
      assert.deepEqual(
        answers.map(({ body }) => body.toString()),
        bodies.map((body) => sha256(body)),
      );
      agent.destroy();
    });

    test('a request that is aborted in the middle closes its channel on both ends', async () => {
      const before = far.state.aborted;
      const agent = channelAgent(open);
      const request = http.get({ agent, path: '/endless', host: 'fleet' });
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      await once(response, 'data');
      request.destroy();
      response.on('error', () => {});
      await eventually(() => far.state.aborted > before, 'the far side heard of it');
      // The connection is as good as before.
      assert.equal((await exchange(agent, '/after')).body.toString(), 'hello /after');
      agent.destroy();
    });

    test('a reader that pauses holds the writer up at the window, and can go on', async () => {
      const before = far.state.endlessBytes;
      const agent = channelAgent(open);
      const request = http.get({ agent, path: '/endless', host: 'fleet' });
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      response.on('error', () => {});
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      await eventually(() => bytes > 5_000_000, 'flows');
      response.pause();
      const sentWhilePaused = (): number => far.state.endlessBytes - before - bytes;
      const ahead = await settled(sentWhilePaused, 'the writer stops');
      // Two windows of 2 MiB in ssh2, 2 MiB in the writer's channel, and some buffers.
      assert.ok(ahead < 8 * 1024 * 1024, `${ahead} bytes ahead of the reader`);
      const readBefore = bytes;
      response.resume();
      await eventually(() => bytes > readBefore + 10_000_000, 'flows again');
      request.destroy();
      agent.destroy();
    });

    test('setTimeout of node:http notices a server that says nothing', async () => {
      const agent = channelAgent(open);
      const request = http.get({ agent, path: '/hang', host: 'fleet', timeout: 50 });
      request.on('error', () => {});
      await within(5_000, once(request, 'timeout'), 'timeout');
      request.destroy();
      agent.destroy();
    });

    test('an idle channel that the server closes leaves the pool', async () => {
      const agent = channelAgent(open);
      const { promise, resolve } = Promise.withResolvers<Duplex>();
      far.server.once('connection', resolve);
      await exchange(agent, '/first');
      assert.equal(Object.values(agent.freeSockets).flat().length, 1);
      (await promise).end();
      await eventually(() => Object.values(agent.freeSockets).flat().length === 0, 'pool is empty');
      assert.equal((await exchange(agent, '/second')).reused, false);
      agent.destroy();
    });
  });
}

test('nobody was cut for all this', () => {
  assert.deepEqual(gateway.server.stats.killed, {});
  assert.equal(gateway.server.stats.connections, 1);
});

test('channels do not pile up', async () => {
  const channels = Array.from({ length: 100 }, async () => {
    const agent = channelAgent(() => node.openDirect('fleet-gateway', 1), { keepAlive: false });
    return exchange(agent, '/short');
  });
  // 64 at once are allowed, so some of these are refused; afterwards there is room again.
  await Promise.allSettled(channels);
  const agent = channelAgent(() => node.openDirect('fleet-gateway', 1), { keepAlive: false });
  for (let count = 0; count < 100; count += 1) assert.equal((await exchange(agent, '/again')).status, 200);
});
