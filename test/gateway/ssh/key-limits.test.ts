/** What all connections of one key take together. Measured in channels and bytes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { afterEach, describe, test } from 'node:test';
import type { Channel } from 'ssh2';
import { NODE_MAX_CONNECTIONS } from '../../../src/gateway/ssh/access.ts';
import type { SshConnection } from '../../../src/shared/ssh/connection/client-connection.ts';
import type { Sharing } from '../../../src/shared/ssh/patches/internals.ts';
import { KeyConnections } from '../../../src/shared/ssh/server/peers.ts';
import type { SshPeer } from '../../../src/shared/ssh/server/ssh-session.ts';
import { until, within } from '../../support/deadline.ts';
import {
  connectPeer,
  directTcpipOpen,
  HostileClient,
  newKeyText,
  settled,
  startServer,
  type TestServer,
} from './fixtures.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

let gateway: TestServer;
let closers: (() => void)[] = [];

afterEach(async () => {
  for (const close of closers) close();
  closers = [];
  await gateway.server.close();
});

async function connectAs(privateKey: string): Promise<SshConnection> {
  const connection = await connectPeer(gateway.port, { privateKey });
  closers.push(() => connection.close());
  return connection;
}

async function attackAs(privateKey: string): Promise<HostileClient> {
  const client = await new HostileClient().connect(gateway.port, { privateKey });
  closers.push(() => client.destroy());
  return client;
}

function openDirect({ client }: HostileClient): Promise<Channel> {
  return new Promise((resolve, reject) => {
    client.forwardOut('127.0.0.1', 1, 'any', 1, (error, channel) => (error ? reject(error) : resolve(channel)));
  });
}

const sharing = (peer: SshPeer): Sharing => peer as unknown as Sharing;
const total = (count: (peer: SshPeer) => number): number => gateway.peers.reduce((sum, peer) => sum + count(peer), 0);

describe('connections of one key', () => {
  test('share its channels; each may have two, so that a machine that comes back is heard', async () => {
    let accepted = 0;
    const accept = (): void => {
      accepted += 1;
    };
    gateway = await startServer({ maxChannels: 10, direct: () => accept });
    const key = newKeyText();
    const refusals: unknown[] = [];
    for (let connection = 0; connection < 3; connection += 1) {
      const client = await attackAs(key);
      const opens = Array.from({ length: 50 }, () =>
        openDirect(client).catch((error: Error & { reason?: unknown }) => refusals.push(error.reason)),
      );
      await Promise.all(opens);
    }
    assert.equal(accepted, 10 + 2 + 2);
    assert.deepEqual(new Set(refusals), new Set([4]));
    // Another key has its own.
    const other = await attackAs(newKeyText());
    for (let count = 0; count < 10; count += 1) await openDirect(other);
  });

  test('get their channels back from those that end', async () => {
    gateway = await startServer({ maxChannels: 4, direct: () => () => undefined });
    const key = newKeyText();
    const first = await attackAs(key);
    for (let count = 0; count < 4; count += 1) await openDirect(first);
    const second = await attackAs(key);
    for (let count = 0; count < 2; count += 1) await openDirect(second);
    await assert.rejects(openDirect(second));
    first.destroy();
    await gateway.peers[0]?.closed;
    for (let count = 0; count < 2; count += 1) await openDirect(second);
  });

  test('are four for a node', async () => {
    gateway = await startServer({ maxConnections: NODE_MAX_CONNECTIONS });
    const key = newKeyText();
    for (let count = 0; count < 4; count += 1) await connectAs(key);
    const fifth = await connectAs(key);
    await within(fifth.closed, 'the fifth is cut');
    assert.equal(await gateway.peers[4]?.closed, 'too_many_connections');
    assert.deepEqual(gateway.server.stats.killed, { too_many_connections: 1 });
    assert.equal(gateway.server.stats.connections, 4);
  });
});

/** Writes for as long as somebody takes it. */
function flood(channel: Duplex): void {
  const chunk = Buffer.alloc(64 * KIB);
  const write = (): void => {
    while (channel.writable && channel.write(chunk));
  };
  channel.on('drain', write);
  write();
}

describe('what waits for one key', () => {
  test('is bounded over all connections that do not read, and one of them that does gets everything', async () => {
    const keyTransmitBytes = 512 * KIB;
    gateway = await startServer(
      {
        direct: ({ host }) => (host === 'flood' ? flood : (channel) => void channel.end(Buffer.alloc(4 * MIB))),
      },
      { limits: { keyTransmitBytes } },
    );
    const key = newKeyText();
    const COUNT = 20;
    for (let connection = 0; connection < COUNT; connection += 1) {
      const client = await attackAs(key);
      client.internals._sock.pause();
      client.send(directTcpipOpen(0, { host: 'flood', window: 0xffff_ffff }));
    }
    await until(() => gateway.peers.every((peer) => sharing(peer).channelCount === 1), 'all have their channel');
    const waiting = await settled(() => total((peer) => sharing(peer).waitingBytes), 'the writers stop');
    // Of each connection the floor and a slice on top, and one that was let in when the key had just enough left.
    assert.ok(waiting <= keyTransmitBytes + COUNT * 200 * KIB, `${waiting} bytes wait`);
    const honest = await connectAs(key);
    const channel = await honest.openDirect('api', 1);
    let received = 0;
    channel.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    await within(once(channel, 'end'), 'the whole answer');
    assert.equal(received, 4 * MIB);
  });

  test('is bounded in what it sends and nobody reads, and what is read later comes whole', async () => {
    const keyReceiveBytes = 4 * MIB;
    const channels: Duplex[] = [];
    gateway = await startServer(
      { maxChannels: 64, direct: () => (channel) => void channels.push(channel) },
      { limits: { keyReceiveBytes } },
    );
    const key = newKeyText();
    const COUNT = 30;
    const sent = Buffer.alloc(3 * MIB, 'x');
    const connections = [await connectAs(key), await connectAs(key), await connectAs(key)];
    for (let count = 0; count < COUNT; count += 1) {
      (await connections[count % 3]?.openDirect('api', 1))?.end(sent);
    }
    const received = await settled(() => total((peer) => peer.bytesIn), 'all that may be sent has come');
    // Those that came when there were fewer had a larger share: 1.5 MiB each until it is used up.
    assert.ok(received < 4 * keyReceiveBytes, `${received} bytes for ${keyReceiveBytes}`);
    const [first] = channels;
    assert.ok(first);
    let bytes = 0;
    for await (const chunk of first) bytes += (chunk as Buffer).length;
    assert.equal(bytes, sent.length);
  });
});

describe('the end of a key', () => {
  test('ends each of its connections at once, with what goes on over them, and nobody else’s', async () => {
    const keys = new KeyConnections();
    const heard: string[] = [];
    const ended: Promise<unknown>[] = [];
    gateway = await startServer(
      {
        direct: () => (channel) => {
          channel.on('data', (chunk: Buffer) => void heard.push(chunk.toString()));
          ended.push(new Promise((resolve) => channel.once('close', resolve)));
        },
      },
      { keys },
    );
    const key = newKeyText();
    const mine = [await connectAs(key), await connectAs(key), await connectAs(key)];
    const other = await connectAs(newKeyText());
    const channels = await Promise.all([...mine, other].map((connection) => connection.openDirect('api', 1)));
    await until(() => ended.length === 4, 'channels');
    // One is being closed politely already, and has a moment left.
    gateway.peers[1]?.close('lifetime');
    const publicKey = gateway.peers[0]?.publicKey ?? Buffer.alloc(0);
    keys.cut(publicKey, 'revoked');
    for (const channel of channels) channel.write('after the end');
    await within(Promise.all(ended.slice(0, 3)), 'channels of the key are gone');
    await within(Promise.all(mine.map(({ closed }) => closed)), 'connections are gone');
    assert.deepEqual(await Promise.all(gateway.peers.slice(0, 3).map(({ closed }) => closed)), [
      'revoked',
      'lifetime',
      'revoked',
    ]);
    await until(() => heard.length > 0, 'the other is heard');
    assert.deepEqual(heard, ['after the end']);
    assert.equal(keys.count(publicKey), 0);
    assert.equal(gateway.server.stats.connections, 1);
  });
});
