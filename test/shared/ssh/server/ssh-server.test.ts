import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { afterEach, describe, test } from 'node:test';
import { PublicPort } from '../../../../src/gateway/ssh/public-port.ts';
import { systemClock } from '../../../../src/shared/clock.ts';
import { silentLogger } from '../../../../src/shared/logger.ts';
import {
  connectPeer,
  directTcpipOpen,
  eventually,
  HostileClient,
  newKeyText,
  packet,
  startServer,
  type TestServer,
  within,
} from '../../../gateway/ssh/fixtures.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

let gateway: TestServer;

afterEach(() => gateway.server.close());

function newServer(): PublicPort {
  return new PublicPort({
    hostKey: newKeyText(),
    clock: systemClock,
    logger: silentLogger,
    onPeer: () => ({ maxChannels: 1 }),
  });
}

describe('listening', () => {
  test('a taken port is a conflict, and says what to do', async () => {
    gateway = await startServer();
    const second = newServer();
    await assert.rejects(second.listen('127.0.0.1', gateway.port), { code: 'conflict', hint: /port/ });
    await second.close();
  });

  test('an address of another machine is a configuration error', async () => {
    gateway = await startServer();
    const server = newServer();
    await assert.rejects(server.listen('192.0.2.1', 0), { code: 'config_invalid', hint: /0\.0\.0\.0/ });
    await server.close();
  });

  test('a host key that cannot be read is a configuration error', async () => {
    gateway = await startServer();
    const options = {
      hostKey: 'nonsense',
      clock: systemClock,
      logger: silentLogger,
      onPeer: () => ({ maxChannels: 1 }),
    };
    assert.throws(() => new PublicPort(options), { code: 'config_invalid' });
  });
});

describe('forwards', () => {
  test('a channel carries the exact name that was asked for, and only names that were', async () => {
    const asked: object[] = [];
    gateway = await startServer({
      forward: (forward) => {
        asked.push(forward);
        return forward.host !== 'other';
      },
    });
    const node = await connectPeer(gateway.port);
    const peer = await gateway.nextPeer();
    await assert.rejects(peer.openForwarded('fleet-node', 1), { code: 'channel_open_failed' });
    const received: Duplex[] = [];
    await node.forward('fleet-node', 1, (channel) => received.push(channel));
    await assert.rejects(
      node.forward('other', 2, () => {}),
      { code: 'forbidden' },
    );
    assert.deepEqual(asked, [
      { host: 'fleet-node', port: 1 },
      { host: 'other', port: 2 },
    ]);
    const channel = await peer.openForwarded('fleet-node', 1);
    channel.end('ping');
    assert.equal(String((await once(received[0] as Duplex, 'data'))[0]), 'ping');
    for (const [host, port] of [
      ['other', 2],
      ['fleet-node', 2],
      ['FLEET-NODE', 1],
    ] as const) {
      await assert.rejects(peer.openForwarded(host, port), { code: 'channel_open_failed' });
    }
    node.close();
  });

  test('a cancelled forward is gone', async () => {
    gateway = await startServer({ forward: () => true });
    const client = await new HostileClient().connect(gateway.port);
    const peer = await gateway.nextPeer();
    await new Promise((resolve) => client.client.forwardIn('fleet-node', 1, resolve));
    await new Promise((resolve) => client.client.unforwardIn('fleet-node', 1, resolve));
    await assert.rejects(peer.openForwarded('fleet-node', 1), { code: 'channel_open_failed' });
    const again = await new Promise((resolve) => client.client.unforwardIn('fleet-node', 1, resolve));
    assert.ok(again instanceof Error);
    client.destroy();
  });

  test('a peer cannot hold more than 16 forwards, nor one of port 0', async () => {
    gateway = await startServer({ forward: () => true });
    const node = await connectPeer(gateway.port);
    await assert.rejects(
      node.forward('any', 0, () => {}),
      { code: 'forbidden' },
    );
    for (let port = 1; port <= 16; port += 1) await node.forward('any', port, () => {});
    await assert.rejects(
      node.forward('any', 17, () => {}),
      { code: 'forbidden' },
    );
    await node.forward('any', 1, () => {});
    node.close();
  });

  test('every global request is answered, in order, whatever it is', async () => {
    gateway = await startServer({ forward: () => true });
    const client = await new HostileClient().connect(gateway.port);
    const answers: string[] = [];
    Object.assign(client.internals._protocol._handlers, {
      REQUEST_SUCCESS: () => answers.push('success'),
      REQUEST_FAILURE: () => answers.push('failure'),
    });
    client.send(packet(80, 'keepalive@openssh.com', true));
    client.send(packet(80, 'tcpip-forward', true, 'a', 1));
    client.send(packet(80, 'streamlocal-forward@openssh.com', true, '/tmp/x'));
    client.send(packet(80, 'tcpip-forward', false, 'b', 1));
    client.send(packet(80, 'cancel-tcpip-forward', true, 'b', 1));
    client.send(packet(80, 'no-more-sessions@openssh.com', true));
    client.send(packet(80, 'who-knows', true));
    await eventually(() => answers.length === 6, 'answers');
    assert.deepEqual(answers, ['failure', 'success', 'failure', 'success', 'success', 'failure']);
    client.destroy();
  });
});

describe('channels that nobody serves', () => {
  const types: [string, Buffer][] = [
    ['session', packet(90, 'session', 0, 2 ** 21, 32_768)],
    ['x11', packet(90, 'x11', 0, 2 ** 21, 32_768, '127.0.0.1', 1)],
    ['direct-streamlocal', packet(90, 'direct-streamlocal@openssh.com', 0, 2 ** 21, 32_768, '/run/x', '', 0)],
    ['unknown', packet(90, 'who-knows', 0, 2 ** 21, 32_768)],
    ['direct-tcpip to a refused destination', directTcpipOpen(0, { host: 'nowhere' })],
  ];

  for (const [name, open] of types) {
    test(`${name} is administratively prohibited`, async () => {
      gateway = await startServer({ direct: () => undefined });
      const client = await new HostileClient().connect(gateway.port);
      const { promise, resolve } = Promise.withResolvers<number>();
      Object.assign(client.internals._protocol._handlers, {
        CHANNEL_OPEN_FAILURE: (_protocol: unknown, _recipient: number, reason: number) => resolve(reason),
      });
      client.send(open);
      assert.equal(await within(5_000, promise, 'an answer'), 1);
      client.destroy();
    });
  }

  test('without a handler, direct-tcpip is refused as well', async () => {
    gateway = await startServer({});
    const node = await connectPeer(gateway.port);
    await assert.rejects(node.openDirect('any', 1), { code: 'channel_open_failed' });
    node.close();
  });
});

test('a gateway that has said everything on a channel still hears the rest', async () => {
  const heard = Promise.withResolvers<string>();
  gateway = await startServer({
    direct: () => (channel) => {
      const chunks: Buffer[] = [];
      channel.on('data', (chunk: Buffer) => chunks.push(chunk));
      channel.on('end', () => heard.resolve(String(Buffer.concat(chunks))));
      channel.end('nothing more from here');
    },
  });
  const client = await new HostileClient().connect(gateway.port);
  const ended = Promise.withResolvers<void>();
  Object.assign(client.internals._protocol._handlers, {
    CHANNEL_EOF: () => ended.resolve(),
    CHANNEL_CLOSE: () => heard.resolve('closed'),
  });
  client.send(directTcpipOpen(0));
  await within(20_000, ended.promise, 'EOF');
  client.send(packet(94, 0, 'the rest'));
  client.send(packet(96, 0));
  assert.equal(await within(20_000, heard.promise, 'the rest'), 'the rest');
  client.destroy();
});

describe('the end', () => {
  test('a lifetime ends the connection by itself', async () => {
    const clock = new FakeClock();
    gateway = await startServer({ lifetimeMs: 30_000 }, { clock });
    const node = await connectPeer(gateway.port);
    const peer = await gateway.nextPeer();
    await clock.advance(29_999);
    assert.equal(gateway.server.stats.connections, 1);
    await clock.advance(1);
    assert.equal(await within(5_000, peer.closed, 'closed'), 'lifetime');
    assert.equal((await node.closed).reason, 'remote_closed');
    assert.equal(clock.pendingTimers, 0);
  });

  test('an eviction says its reason, and the first reason stays', async () => {
    gateway = await startServer();
    const node = await connectPeer(gateway.port);
    const peer = await gateway.nextPeer();
    peer.close('evicted');
    peer.close('again');
    assert.equal(await peer.closed, 'evicted');
    await node.closed;
    await assert.rejects(node.openDirect('any', 1), { code: 'connection_lost' });
  });

  test('channels of a lost connection fail on both ends', async () => {
    const errors: unknown[] = [];
    const direct = () => (channel: Duplex) => {
      channel.resume().on('error', (error) => errors.push(error));
    };
    gateway = await startServer({ direct });
    const node = await connectPeer(gateway.port);
    const peer = await gateway.nextPeer();
    const channel = await node.openDirect('any', 1);
    channel.on('error', (error) => errors.push(error)).resume();
    const closed = once(channel, 'close').catch(() => {});
    peer.close('evicted');
    await closed;
    await eventually(() => errors.length === 2, 'both failed');
    assert.deepEqual(
      errors.map((error) => (error as { code?: string }).code),
      ['connection_lost', 'connection_lost'],
    );
    assert.equal(channel.destroyed, true);
  });

  test('opening on a dead connection rejects at once, and an open that waits rejects when it dies', async () => {
    gateway = await startServer({ forward: () => true });
    const client = await new HostileClient().connect(gateway.port);
    const peer = await gateway.nextPeer();
    await new Promise((resolve) => client.client.forwardIn('fleet-node', 1, resolve));
    client.internals._protocol._handlers.CHANNEL_OPEN = () => {};
    const waiting = peer.openForwarded('fleet-node', 1);
    const rejected = assert.rejects(waiting, { code: 'connection_lost' });
    await new Promise((resolve) => setImmediate(resolve));
    client.destroy();
    await within(5_000, rejected, 'rejected');
    await peer.closed;
    await assert.rejects(peer.openForwarded('fleet-node', 1), { code: 'connection_lost' });
  });

  test('an open that is never answered times out, and its late channel is closed', async () => {
    const clock = new FakeClock();
    gateway = await startServer({ forward: () => true }, { clock });
    const client = await new HostileClient().connect(gateway.port);
    const peer = await gateway.nextPeer();
    await new Promise((resolve) => client.client.forwardIn('fleet-node', 1, resolve));
    const { _handlers } = client.internals._protocol;
    const opened = Promise.withResolvers<number>();
    const closed = Promise.withResolvers<number>();
    _handlers.CHANNEL_OPEN = (_protocol, { sender }) => opened.resolve(sender);
    Object.assign(_handlers, { CHANNEL_CLOSE: (_protocol: unknown, recipient: number) => closed.resolve(recipient) });
    const open = peer.openForwarded('fleet-node', 1);
    const rejected = assert.rejects(open, { code: 'timeout' });
    const sender = await opened.promise;
    await clock.advance(10_000);
    await rejected;
    client.send(packet(91, sender, 77, 2 ** 21, 32_768));
    assert.equal(await within(5_000, closed.promise, 'late channel closed'), 77);
    client.destroy();
  });

  test('close() turns new peers away, says goodbye, and resolves when all sockets are closed', async () => {
    gateway = await startServer();
    const node = await connectPeer(gateway.port);
    const peer = await gateway.nextPeer();
    await within(5_000, Promise.all([gateway.server.close(), gateway.server.close()]), 'closed');
    assert.equal(await peer.closed, 'server_closing');
    assert.equal((await node.closed).reason, 'remote_closed');
    assert.equal(gateway.server.stats.connections, 0);
    await assert.rejects(connectPeer(gateway.port), { code: 'gateway_unreachable' });
  });

  test('close() does not wait for a peer that never hangs up', async () => {
    gateway = await startServer({}, { limits: { closeGraceMs: 50 } });
    const client = await new HostileClient().connect(gateway.port);
    client.internals._sock.pause();
    client.internals._sock.removeAllListeners('end');
    await within(5_000, gateway.server.close(), 'closed');
    client.destroy();
  });
});
