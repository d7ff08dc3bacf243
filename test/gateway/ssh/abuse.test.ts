import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { afterEach, describe, test } from 'node:test';
import type { Channel } from 'ssh2';
import { silentLogger } from '../../../src/shared/logger.ts';
import type { SshConnection } from '../../../src/shared/ssh/connection/client-connection.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import {
  connectPeer,
  directTcpipOpen,
  eventually,
  HostileClient,
  packet,
  settled,
  startServer,
  type TestServer,
  within,
} from './fixtures.ts';

let gateway: TestServer;
let hostile: HostileClient;
let honest: SshConnection | undefined;

afterEach(async () => {
  hostile.destroy();
  honest?.close();
  honest = undefined;
  await gateway.server.close();
});

async function isCutFor(reason: string): Promise<void> {
  await within(20_000, hostile.closed, `cut for ${reason}`);
  await eventually(() => gateway.server.stats.connections === (honest === undefined ? 0 : 1), 'socket gone');
  assert.deepEqual(gateway.server.stats.killed, { [reason]: 1 });
}

/** Reads nothing, and writes as much as it may. */
function writer(state: { bytes: number }) {
  return (channel: Duplex): void => {
    const write = (): void => {
      const chunk = Buffer.alloc(65_536);
      do state.bytes += chunk.length;
      while (channel.write(chunk) && state.bytes < 4e9);
    };
    channel.on('drain', write);
    write();
  };
}

function openDirect(): Promise<Channel> {
  return new Promise((resolve, reject) => {
    hostile.client.forwardOut('127.0.0.1', 1, 'any', 1, (error, channel) => (error ? reject(error) : resolve(channel)));
  });
}

describe('channel messages', () => {
  test('a maximum packet size of 0 in CHANNEL_OPEN cuts the peer instead of freezing the process', async () => {
    gateway = await startServer({ direct: () => (channel) => channel.end('x'.repeat(1000)) });
    hostile = await new HostileClient().connect(gateway.port);
    hostile.send(directTcpipOpen(0, { packetSize: 0 }));
    await isCutFor('packet_size');
  });

  test('one below the smallest packet size that is allowed cuts the peer, too', async () => {
    gateway = await startServer({ direct: () => (channel) => channel.end('x') });
    hostile = await new HostileClient().connect(gateway.port);
    hostile.send(directTcpipOpen(0, { packetSize: 1023 }));
    await isCutFor('packet_size');
  });

  test('a maximum packet size of 0 in CHANNEL_OPEN_CONFIRMATION cuts the peer, and the open fails', async () => {
    gateway = await startServer({ forward: () => true });
    hostile = await new HostileClient().connect(gateway.port);
    const peer = await gateway.nextPeer();
    hostile.internals._protocol._handlers.CHANNEL_OPEN = (_protocol, { sender }) => {
      hostile.send(packet(91, sender, 0, 2 ** 21, 0));
    };
    await new Promise((resolve) => hostile.client.forwardIn('fleet-node', 1, resolve));
    await assert.rejects(within(20_000, peer.openForwarded('fleet-node', 1), 'open'), { code: 'connection_lost' });
    await isCutFor('packet_size');
  });

  test('the smallest packet size that is allowed works', async () => {
    gateway = await startServer({ direct: () => (channel) => channel.end('x'.repeat(5000)) });
    hostile = await new HostileClient().connect(gateway.port);
    const sizes: number[] = [];
    hostile.internals._protocol._handlers.CHANNEL_DATA = (_protocol, _recipient, data) => sizes.push(data.length);
    hostile.send(directTcpipOpen(0, { packetSize: 1024 }));
    await eventually(() => sizes.length === 5, 'data');
    assert.deepEqual(sizes, [1024, 1024, 1024, 1024, 904]);
  });

  test('a peer that takes packets of any size gets no larger ones than every implementation takes', async () => {
    gateway = await startServer({ direct: () => (channel) => channel.end(Buffer.alloc(100_000)) });
    hostile = await new HostileClient().connect(gateway.port);
    const sizes: number[] = [];
    hostile.internals._protocol._handlers.CHANNEL_DATA = (_protocol, _recipient, data) => sizes.push(data.length);
    hostile.send(directTcpipOpen(0, { packetSize: 0xffff_ffff }));
    await eventually(() => sizes.reduce((sum, size) => sum + size, 0) === 100_000, 'data');
    assert.equal(Math.max(...sizes), 32_768);
  });

  test('what came before EOF and CLOSE can still be read, however late', async () => {
    let channel: Duplex | undefined;
    const direct = () => (opened: Duplex) => {
      channel = opened.pause();
    };
    gateway = await startServer({ direct });
    hostile = await new HostileClient().connect(gateway.port);
    await openDirect();
    for (let count = 0; count < 20; count += 1) hostile.send(packet(94, 0, Buffer.alloc(10_000, 'late')));
    hostile.send(packet(96, 0));
    hostile.send(packet(97, 0));
    await settled(() => gateway.peers[0]?.bytesIn ?? 0, 'all arrived');
    assert.ok(channel);
    const chunks: Buffer[] = [];
    for await (const chunk of channel) chunks.push(chunk as Buffer);
    assert.ok(Buffer.concat(chunks).equals(Buffer.alloc(200_000, 'late')));
    await eventually(() => channel?.closed === true, 'closed');
  });

  test('a peer that ignores the window is cut before it fills the memory', async () => {
    let channel: Duplex | undefined;
    gateway = await startServer({
      direct: () => (opened) => {
        channel = opened.pause();
      },
    });
    hostile = await new HostileClient().connect(gateway.port);
    await openDirect();
    const data = packet(94, 0, Buffer.alloc(32_000));
    for (let count = 0; count < 400 && gateway.server.stats.connections > 0; count += 1) {
      hostile.send(data);
      if (count % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await isCutFor('window_overrun');
    assert.ok((channel?.readableLength ?? Number.NaN) <= 2 ** 17);
    assert.equal(channel?.destroyed, true);
  });

  test('a window past 2^32 − 1 cuts the peer', async () => {
    gateway = await startServer({ direct: () => () => {} });
    hostile = await new HostileClient().connect(gateway.port);
    await openDirect();
    hostile.send(packet(93, 0, 0xffff_ffff));
    await isCutFor('window_overflow');
  });

  test('data after EOF cuts the peer', async () => {
    gateway = await startServer({ direct: () => () => {} });
    hostile = await new HostileClient().connect(gateway.port);
    await openDirect();
    hostile.send(packet(96, 0));
    hostile.send(packet(94, 0, 'late'));
    await isCutFor('data_after_eof');
  });

  test('data for a channel that we have closed is thrown away, and earns no new window', async () => {
    gateway = await startServer({ direct: () => (channel) => void channel.destroy() });
    hostile = await new HostileClient().connect(gateway.port);
    const seen: string[] = [];
    Object.assign(hostile.internals._protocol._handlers, {
      CHANNEL_CLOSE: () => seen.push('close'),
      CHANNEL_WINDOW_ADJUST: () => seen.push('window'),
    });
    hostile.send(directTcpipOpen(0));
    await eventually(() => seen.length === 1, 'closed');
    for (let count = 0; count < 50; count += 1) hostile.send(packet(94, 0, Buffer.alloc(32_000)));
    await settled(() => gateway.peers[0]?.bytesIn ?? 0, 'all arrived');
    assert.deepEqual(seen, ['close']);
    assert.equal(gateway.server.stats.connections, 1);
  });

  test('messages for channels that never were are ignored', async () => {
    gateway = await startServer({ direct: () => (channel) => channel.end('fine') });
    hostile = await new HostileClient().connect(gateway.port);
    for (const type of [93, 94, 96, 97]) hostile.send(packet(type, 4711, type === 94 ? 'data' : 1));
    const channel = await openDirect();
    const [data] = await once(channel, 'data');
    assert.equal(String(data), 'fine');
  });

  test('a flood of channel opens gets its limit and not one more', async () => {
    let accepted = 0;
    gateway = await startServer({
      maxChannels: 64,
      direct: () => () => {
        accepted += 1;
      },
    });
    hostile = await new HostileClient().connect(gateway.port);
    const refusals: unknown[] = [];
    await Promise.all(
      Array.from({ length: 1000 }, () =>
        openDirect().catch((error: Error & { reason?: unknown }) => refusals.push(error.reason)),
      ),
    );
    assert.equal(accepted, 64);
    assert.equal(refusals.length, 936);
    assert.ok(refusals.every((reason) => reason === 4));
  });
});

describe('a peer that does not read', () => {
  test('holds up only its own channels, at the high-water mark', async () => {
    const written = { bytes: 0 };
    gateway = await startServer({
      direct: ({ host }) => (host === 'flood' ? writer(written) : (channel) => void channel.end('served')),
    });
    hostile = await new HostileClient().connect(gateway.port);
    hostile.internals._sock.pause();
    // The peer grants all the window there is.
    hostile.send(directTcpipOpen(0, { host: 'flood', window: 0xffff_ffff }));
    hostile.send(directTcpipOpen(1, { host: 'flood', window: 0xffff_ffff }));
    await eventually(() => written.bytes > 4e6, 'writing');
    const stoppedAt = await settled(() => written.bytes, 'the writers stop');
    honest = await connectPeer(gateway.port);
    const channel = await honest.openDirect('api', 1);
    const [data] = await within(20_000, once(channel, 'data'), 'another peer is served');
    assert.equal(String(data), 'served');
    // 4 MiB wait in the socket, the kernel's buffers are full, and each channel holds a little.
    assert.ok(written.bytes < 24e6, `${written.bytes} bytes were taken`);
    assert.equal(written.bytes, stoppedAt);
  });

  test('and begins a key exchange that it never finishes cannot make us queue either', async () => {
    const written = { bytes: 0 };
    let channel: Duplex | undefined;
    const direct = () => (opened: Duplex) => {
      channel = opened;
    };
    gateway = await startServer({ direct }, { limits: { keepaliveIntervalMs: 100 } });
    hostile = await new HostileClient().connect(gateway.port);
    const { _protocol } = hostile.internals;
    hostile.send(directTcpipOpen(0, { window: 0xffff_ffff }));
    await eventually(() => channel !== undefined, 'channel');
    // KEXINIT goes out, and the answer is never followed up.
    _protocol.rekey();
    Object.assign(_protocol, { _parse: (_chunk: Buffer, _start: number, end: number) => end });
    await settled(() => gateway.peers[0]?.bytesIn ?? 0, 'KEXINIT arrived');
    assert.ok(channel);
    writer(written)(channel);
    await isCutFor('keepalive_timeout');
    assert.ok(written.bytes <= 131_072, `${written.bytes} bytes were taken`);
    assert.equal(channel.destroyed, true);
  });

  test('and never answers our key exchange cannot make us queue replies', async () => {
    gateway = await startServer({}, { limits: { rekeyBytes: 10_000, maxQueuedPackets: 100 } });
    hostile = await new HostileClient().connect(gateway.port);
    Object.assign(hostile.internals._protocol, { _parse: (_chunk: Buffer, _start: number, end: number) => end });
    const request = packet(80, 'keepalive@openssh.com', true);
    for (let count = 0; count < 5_000 && gateway.server.stats.connections > 0; count += 1) {
      hostile.send(request);
      if (count % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await isCutFor('unread_replies');
  });

  test('and ends its half of the TCP connection is gone after a moment', async () => {
    const written = { bytes: 0 };
    gateway = await startServer({ direct: () => writer(written) }, { limits: { closeGraceMs: 50 } });
    hostile = await new HostileClient().connect(gateway.port);
    const peer = await gateway.nextPeer();
    hostile.internals._sock.pause();
    hostile.send(directTcpipOpen(0, { window: 0xffff_ffff }));
    await settled(() => written.bytes, 'the writer stops');
    hostile.internals._sock.end();
    assert.equal(await within(20_000, peer.closed, 'closed'), 'remote_closed');
  });

  test('and provokes replies is cut', async () => {
    gateway = await startServer({}, { limits: { transmitKillBytes: 65_536 } });
    hostile = await new HostileClient().connect(gateway.port);
    const { _sock } = hostile.internals;
    _sock.pause();
    const request = packet(80, 'keepalive@openssh.com', true);
    while (gateway.server.stats.connections > 0) {
      for (let count = 0; count < 1000; count += 1) hostile.send(request);
      await new Promise((resolve) => setImmediate(resolve));
      if (_sock.writableLength > 0)
        await Promise.race([once(_sock, 'drain'), once(_sock, 'close'), once(_sock, 'error')]);
    }
    hostile.destroy();
    await isCutFor('unread_replies');
  });
});

describe('key exchanges', () => {
  test('a flood of them cuts the peer', async () => {
    // A clock that stands still: on a slow machine, time would earn the peer more of them.
    gateway = await startServer({}, { clock: new FakeClock() });
    hostile = await new HostileClient().connect(gateway.port);
    let exchanges = 0;
    hostile.client.on('handshake', () => {
      exchanges += 1;
      hostile.internals._protocol.rekey();
    });
    hostile.internals._protocol.rekey();
    await isCutFor('rekey_flood');
    assert.ok(exchanges <= 11, `${exchanges} exchanges`);
  });

  test('the server exchanges keys by itself, in the middle of a transfer', async () => {
    const size = 10_000_000;
    gateway = await startServer(
      { direct: () => (channel) => void channel.end(Buffer.alloc(size, 'fleet')) },
      { limits: { rekeyBytes: 1_000_000 } },
    );
    hostile = await new HostileClient().connect(gateway.port);
    let exchanges = 0;
    hostile.client.on('handshake', () => {
      exchanges += 1;
    });
    const chunks: Buffer[] = [];
    for await (const chunk of await openDirect()) chunks.push(chunk as Buffer);
    assert.ok(Buffer.concat(chunks).equals(Buffer.alloc(size, 'fleet')));
    assert.ok(exchanges >= 3, `${exchanges} exchanges`);
  });
});

describe('handlers of the owner', () => {
  test('a defect in one ends that connection and is logged as what it is', async () => {
    const errors: unknown[] = [];
    const logger = { ...silentLogger, error: (facts: { err?: unknown }) => errors.push(facts.err) };
    const defect = new Error('defect');
    gateway = await startServer(
      {
        direct: () => {
          throw defect;
        },
      },
      { logger: { ...logger, child: () => ({ ...logger, child: () => silentLogger }) } },
    );
    hostile = await new HostileClient().connect(gateway.port);
    hostile.client.forwardOut('127.0.0.1', 1, 'any', 1, () => {});
    await within(20_000, hostile.closed, 'closed');
    assert.deepEqual(errors, [defect]);
    assert.equal(await gateway.peers[0]?.closed, 'handler_failed');
  });
});
