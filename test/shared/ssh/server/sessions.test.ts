import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { afterEach, test } from 'node:test';
import type { ClientChannel } from 'ssh2';
import {
  eventually,
  HostileClient,
  packet,
  startServer,
  type TestServer,
  within,
} from '../../../gateway/ssh/fixtures.ts';

let server: TestServer;
let peer: HostileClient;

afterEach(async () => {
  peer.destroy();
  await server.server.close();
});

type Callback = (error: Error | undefined, channel: ClientChannel) => void;

function open(start: (callback: Callback) => unknown): Promise<ClientChannel> {
  return new Promise((resolve, reject) => start((error, channel) => (error ? reject(error) : resolve(channel))));
}

function echo(channel: Duplex): void {
  channel.pipe(channel);
}

test('a peer opens the programs and subsystems of its access, and nothing else', async () => {
  const commands: (string | undefined)[] = [];
  server = await startServer({
    session: ({ command }) => {
      commands.push(command);
      return command === 'no' ? undefined : echo;
    },
    subsystem: (name) => (name === 'sftp' ? echo : undefined),
  });
  peer = await new HostileClient().connect(server.port);
  const { client } = peer;
  for (const start of [
    (callback: Callback) => client.exec('cat', callback),
    (callback: Callback) => client.shell(false, callback),
    (callback: Callback) => client.subsys('sftp', callback),
  ]) {
    const channel = await open(start);
    const sent = Buffer.alloc(3_000_000, 'x');
    channel.end(sent);
    const got: Buffer[] = [];
    channel.on('data', (chunk: Buffer) => got.push(chunk));
    await within(20_000, once(channel, 'close'), 'the echo');
    assert.ok(Buffer.concat(got).equals(sent));
  }
  await assert.rejects(open((callback) => client.exec('no', callback)));
  await assert.rejects(open((callback) => client.subsys('other', callback)));
  await assert.rejects(open((callback) => client.exec('cat', { pty: true }, callback)));
  await assert.rejects(open((callback) => client.forwardOut('a', 1, 'b', 2, callback)));
  assert.deepEqual(commands, ['cat', undefined, 'no']);
});

test('a subsystem alone opens no program', async () => {
  server = await startServer({ subsystem: () => echo });
  peer = await new HostileClient().connect(server.port);
  await assert.rejects(open((callback) => peer.client.exec('cat', callback)));
});

test('a session that starts nothing gives its place back', async () => {
  server = await startServer({ session: () => echo, maxChannels: 4 });
  peer = await new HostileClient().connect(server.port);
  const closes: number[] = [];
  Object.assign(peer.internals._protocol._handlers, {
    CHANNEL_OPEN_CONFIRMATION: (_: unknown, { sender }: { sender: number }) => peer.send(packet(97, sender)),
    CHANNEL_CLOSE: (_: unknown, recipient: number) => void closes.push(recipient),
  });
  for (let id = 0; id < 20; id += 1) {
    peer.send(packet(90, 'session', id, 2 ** 21, 32_768));
    await eventually(() => closes.length === id + 1, `session ${id} is closed`);
  }
  assert.deepEqual(
    closes,
    Array.from({ length: 20 }, (_, id) => id),
  );
});

test('data before a program is requested, and past the window, has no effect or cuts the peer', async () => {
  const received: number[] = [];
  server = await startServer({
    session: () => (channel) =>
      void channel.once('data', ({ length }) => {
        received.push(length);
        channel.pause();
      }),
  });
  peer = await new HostileClient().connect(server.port);
  const confirmed = new Promise<number>((resolve) =>
    Object.assign(peer.internals._protocol._handlers, {
      CHANNEL_OPEN_CONFIRMATION: (_: unknown, { sender }: { sender: number }) => resolve(sender),
    }),
  );
  peer.send(packet(90, 'session', 7, 2 ** 21, 32_768));
  const id = await confirmed;
  peer.send(packet(94, id, 'early'));
  peer.send(packet(98, id, 'exec', false, 'cat'));
  peer.send(packet(94, id, 'late'));
  await eventually(() => received.length === 1, 'data');
  assert.deepEqual(received, [4]);
  for (let sent = 0; sent < 64; sent += 1) peer.send(packet(94, id, Buffer.alloc(32_000)));
  await within(20_000, peer.closed, 'the cut');
  assert.deepEqual(server.server.stats.killed, { window_overrun: 1 });
});
