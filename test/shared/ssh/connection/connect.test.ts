import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, describe, test } from 'node:test';
import type { Connection, ServerConfig } from 'ssh2';
import { FleetError } from '../../../../src/shared/errors.ts';
import { SERVER_ALGORITHMS } from '../../../../src/shared/ssh/algorithms.ts';
import { internalsOf } from '../../../../src/shared/ssh/patches/internals.ts';
import { Server as SshServer, utils } from '../../../../src/shared/ssh/patches/ssh2.ts';
import { sshPublicKeyBlob } from '../../../../src/shared/ssh/ssh-key.ts';
import { connectPeer, newKeyText, packet, sendPacket, startServer, within } from '../../../gateway/ssh/fixtures.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A TCP server that treats each connection so. */
async function startTcp(onSocket: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onSocket(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as { port: number }).port;
}

/** ssh2's own server with nothing hardened, as a hostile or foreign gateway. */
async function startForeign(onConnection: (connection: Connection) => void, config: Partial<ServerConfig> = {}) {
  const server = new SshServer({ hostKeys: [newKeyText()], algorithms: SERVER_ALGORITHMS, ...config });
  server.on('connection', (connection) => {
    connection.on('error', () => {});
    onConnection(connection);
  });
  return startTcp((socket) => server.injectSocket(socket));
}

function acceptEverybody(connection: Connection): void {
  connection.on('authentication', (context) => context.accept());
  connection.on('request', (accept) => accept?.());
}

describe('connecting', () => {
  test('gives the key that the gateway proved to have', async () => {
    const gateway = await startServer();
    cleanups.push(() => gateway.server.close());
    const seen: Buffer[] = [];
    const connection = await connectPeer(gateway.port, { verifyHostKey: (blob) => void seen.push(blob) });
    assert.deepEqual(connection.hostKey, sshPublicKeyBlob(gateway.hostKey.publicKey));
    assert.deepEqual(seen, [connection.hostKey]);
    assert.equal(connection.remoteAddress, '127.0.0.1');
    assert.ok(connection.bytesIn > 0 && connection.bytesOut > 0);
    connection.close();
    assert.deepEqual(await connection.closed, { reason: 'local_close' });
  });

  test('a refused host key rejects with the very error that was thrown, before our key is shown', async () => {
    const refusal = new FleetError('host_key_changed', 'another key');
    let authenticating = false;
    const port = await startForeign((connection) => {
      connection.on('authentication', () => {
        authenticating = true;
      });
    });
    const verifyHostKey = (): void => {
      throw refusal;
    };
    await assert.rejects(connectPeer(port, { verifyHostKey }), (error) => error === refusal);
    assert.equal(authenticating, false);
  });

  test('a private key that cannot be used is a configuration error, and nobody is dialled', async () => {
    let dialled = false;
    const port = await startTcp(() => {
      dialled = true;
    });
    await assert.rejects(connectPeer(port, { privateKey: 'nonsense' }), { code: 'config_invalid' });
    assert.equal(dialled, false);
  });

  test('nobody listens: unreachable', async () => {
    const port = await startTcp(() => {});
    await cleanups.pop()?.();
    const expected = { code: 'gateway_unreachable', message: new RegExp(`127\\.0\\.0\\.1:${port}.*refused`) };
    await assert.rejects(connectPeer(port), expected);
  });

  test('an HTTP server answers: unreachable, and the message quotes it', async () => {
    const web = http.createServer((_request, response) => response.end());
    const port = await startTcp((socket) => void web.emit('connection', socket));
    await assert.rejects(connectPeer(port), { code: 'gateway_unreachable', message: /HTTP\/1\.1 400/, hint: /port/ });
  });

  test('a server that hangs up at once: unreachable', async () => {
    for (const hangUp of [(socket: Socket) => socket.end(), (socket: Socket) => socket.resetAndDestroy()]) {
      const port = await startTcp((socket) => void hangUp(socket));
      await assert.rejects(within(5_000, connectPeer(port), 'rejects'), { code: 'gateway_unreachable' });
    }
  });

  test('a server that hangs up in the middle of the handshake: unreachable', async () => {
    const port = await startForeign((connection) => connection.end());
    await assert.rejects(within(5_000, connectPeer(port), 'rejects'), { code: 'gateway_unreachable' });
  });

  test('an SSH server with no algorithm in common: unreachable, and the message says why', async () => {
    const port = await startForeign(() => {}, { algorithms: { cipher: ['aes256-ctr'] } });
    await assert.rejects(connectPeer(port), { code: 'gateway_unreachable', message: /cipher/ });
  });

  test('a server that refuses the key: forbidden', async () => {
    const port = await startForeign((connection) => {
      connection.on('authentication', (context) => context.reject(['publickey']));
    });
    await assert.rejects(within(5_000, connectPeer(port), 'rejects'), { code: 'forbidden' });
  });

  test('a server that says nothing, and one that never finishes the handshake: timeout', async () => {
    const silent = await startTcp(() => {});
    const half = await startTcp((socket) => void socket.write('SSH-2.0-half\r\n'));
    for (const port of [silent, half]) {
      const clock = new FakeClock();
      const rejected = assert.rejects(connectPeer(port, { clock }), { code: 'timeout' });
      await new Promise((resolve) => setTimeout(resolve, 50));
      await clock.advance(10_000);
      await within(5_000, rejected, 'timeout');
      assert.equal(clock.pendingTimers, 0);
    }
  });

  test('an abort ends the attempt, also one that came before it', async () => {
    const port = await startTcp(() => {});
    const controller = new AbortController();
    const rejected = assert.rejects(connectPeer(port, { signal: controller.signal }), { code: 'connection_lost' });
    controller.abort();
    await within(5_000, rejected, 'aborted');
    await assert.rejects(connectPeer(port, { signal: controller.signal }), { code: 'connection_lost' });
  });

  test('an abort later closes the connection', async () => {
    const gateway = await startServer();
    cleanups.push(() => gateway.server.close());
    const controller = new AbortController();
    const connection = await connectPeer(gateway.port, { signal: controller.signal });
    controller.abort();
    assert.equal((await within(5_000, connection.closed, 'closed')).reason, 'aborted');
  });
});

test('any byte from the gateway is proof of its life, and silence is not', async () => {
  let gateway: Connection | undefined;
  const port = await startForeign((connection) => {
    connection.on('authentication', (context) => context.accept());
    gateway = connection;
    // Never answers a keepalive, as when the answer waits behind megabytes of data.
    Object.assign(internalsOf(connection)._protocol._handlers, { GLOBAL_REQUEST: () => {} });
  });
  const node = await connectPeer(port, { limits: { keepaliveIntervalMs: 100, keepaliveCountMax: 1 } });
  let isOver = false;
  void node.closed.then(() => {
    isOver = true;
  });
  // SSH_MSG_IGNORE, RFC 4253, 11.2.
  const ignore = packet(2, 'x');
  for (let count = 0; count < 30; count += 1) {
    assert.ok(gateway);
    sendPacket(internalsOf(gateway), ignore);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(isOver, false);
  assert.equal((await within(5_000, node.closed, 'noticed')).reason, 'keepalive_timeout');
});

describe('a hostile gateway', () => {
  /** Connects to a foreign gateway and gives both ends. */
  async function meet(prepare: (connection: Connection) => void = () => {}) {
    const accepted = Promise.withResolvers<Connection>();
    const port = await startForeign((connection) => {
      acceptEverybody(connection);
      prepare(connection);
      connection.once('ready', () => accepted.resolve(connection));
    });
    const node = await connectPeer(port);
    cleanups.push(() => node.close());
    return { node, gateway: internalsOf(await accepted.promise) };
  }

  const forwardedOpen = (sender: number, packetSize = 32_768): Buffer =>
    packet(90, 'forwarded-tcpip', sender, 2 ** 21, packetSize, 'fleet-node', 1, '127.0.0.1', 1);

  test('packet size 0 in CHANNEL_OPEN cuts it', async () => {
    const { node, gateway } = await meet();
    await node.forward('fleet-node', 1, (channel) => channel.end('x'.repeat(1000)));
    sendPacket(gateway, forwardedOpen(0, 0));
    assert.equal((await within(5_000, node.closed, 'cut')).reason, 'packet_size');
  });

  test('packet size 0 in CHANNEL_OPEN_CONFIRMATION cuts it', async () => {
    const { node, gateway } = await meet();
    gateway._protocol._handlers.CHANNEL_OPEN = (_protocol, { sender }) =>
      sendPacket(gateway, packet(91, sender, 0, 2 ** 21, 0));
    await assert.rejects(node.openDirect('any', 1), { code: 'connection_lost' });
    assert.equal((await node.closed).reason, 'packet_size');
  });

  test('data past the window cuts it', async () => {
    const { node, gateway } = await meet();
    let channel: Duplex | undefined;
    await node.forward('fleet-node', 1, (opened) => {
      channel = opened.pause();
    });
    sendPacket(gateway, forwardedOpen(0));
    for (let count = 0; count < 400; count += 1) sendPacket(gateway, packet(94, 0, Buffer.alloc(32_000)));
    assert.equal((await within(5_000, node.closed, 'cut')).reason, 'window_overrun');
    assert.equal(channel?.destroyed, true);
  });

  test('a stderr stream that ssh2 would buffer without a bound cuts it', async () => {
    const { node, gateway } = await meet();
    await node.forward('fleet-node', 1, () => {});
    sendPacket(gateway, forwardedOpen(0));
    sendPacket(gateway, packet(95, 0, 1, 'to nobody'));
    assert.equal((await within(5_000, node.closed, 'cut')).reason, 'extended_data');
  });

  test('gets 64 channels and not one more, and none that was not asked for', async () => {
    const refusals: number[] = [];
    const { node, gateway } = await meet();
    let opened = 0;
    await node.forward('fleet-node', 1, () => {
      opened += 1;
    });
    const answered = Promise.withResolvers<void>();
    Object.assign(gateway._protocol._handlers, {
      CHANNEL_OPEN_FAILURE: (_protocol: unknown, _recipient: number, reason: number) => {
        refusals.push(reason);
        if (refusals.length === 38) answered.resolve();
      },
    });
    sendPacket(gateway, packet(90, 'session', 500, 2 ** 21, 32_768));
    sendPacket(gateway, packet(90, 'forwarded-tcpip', 501, 2 ** 21, 32_768, 'other', 1, '127.0.0.1', 1));
    for (let sender = 0; sender < 100; sender += 1) sendPacket(gateway, forwardedOpen(sender));
    await within(5_000, answered.promise, 'refusals');
    assert.equal(opened, 64);
    assert.deepEqual(refusals.slice(0, 2), [1, 1]);
    assert.ok(refusals.slice(2).every((reason) => reason === 4));
  });

  test('requests of its own are refused, and leave nothing behind', async () => {
    const { node, gateway } = await meet();
    const answers: string[] = [];
    const answered = Promise.withResolvers<void>();
    const answer = (word: string) => () => {
      answers.push(word);
      if (answers.length === 2) answered.resolve();
    };
    Object.assign(gateway._protocol._handlers, {
      REQUEST_SUCCESS: answer('success'),
      REQUEST_FAILURE: answer('failure'),
    });
    sendPacket(gateway, packet(80, 'hostkeys-00@openssh.com', true, node.hostKey));
    sendPacket(gateway, packet(80, 'keepalive@openssh.com', true));
    await within(5_000, answered.promise, 'answers');
    assert.deepEqual(answers, ['failure', 'failure']);
  });

  test('an open and a forward that it never answers time out', async () => {
    const clock = new FakeClock();
    const port = await startForeign((connection) => {
      connection.on('authentication', (context) => context.accept());
      Object.assign(internalsOf(connection)._protocol._handlers, { CHANNEL_OPEN: () => {}, GLOBAL_REQUEST: () => {} });
    });
    const node = await connectPeer(port, { clock });
    const open = assert.rejects(node.openDirect('any', 1), { code: 'timeout' });
    const forward = assert.rejects(
      node.forward('any', 1, () => {}),
      { code: 'timeout' },
    );
    await clock.advance(10_000);
    await within(5_000, Promise.all([open, forward]), 'timeouts');
    node.close();
    await node.closed;
    assert.equal(clock.pendingTimers, 0);
  });

  test('a forward and an open on a connection that is down reject', async () => {
    const { node } = await meet();
    node.close();
    await assert.rejects(
      node.forward('any', 1, () => {}),
      { code: 'connection_lost' },
    );
    await node.closed;
    await assert.rejects(node.openDirect('any', 1), { code: 'connection_lost' });
  });

  test('another host key in a later key exchange cuts it', async () => {
    const { node, gateway } = await meet();
    const other = utils.parseKey(newKeyText());
    Object.assign(gateway._protocol, { _hostKeys: { 'ssh-ed25519': other } });
    gateway._protocol.rekey();
    const { reason, error } = await within(5_000, node.closed, 'cut');
    assert.equal(reason, 'protocol_error');
    assert.equal((error as Error & { level?: string })?.level, 'handshake');
  });

  test('a flood of key exchanges cuts it', async () => {
    const { node, gateway } = await meet();
    gateway.on('rekey', () => gateway._protocol.rekey());
    gateway._protocol.rekey();
    assert.equal((await within(5_000, node.closed, 'cut')).reason, 'rekey_flood');
  });
});
