import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connectPeer, eventually, startServer, within } from './fixtures.ts';

const KEEPALIVE = { keepaliveIntervalMs: 100, keepaliveCountMax: 2 };

let child: ChildProcess | undefined;

afterEach(async () => {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
});

/** A process of its own that can be stopped: `peer PORT` connects, `gateway` listens and tells its port. */
async function startOther(...args: string[]): Promise<string> {
  child = fork(fileURLToPath(new URL('./liveness-child.ts', import.meta.url)), args);
  const [message] = await within(10_000, once(child, 'message'), 'the other process is up');
  return String(message);
}

test('a peer that is stopped is noticed, and its socket is destroyed though it never hangs up', async () => {
  const { server, port, nextPeer } = await startServer({}, { limits: KEEPALIVE });
  await startOther('peer', String(port));
  const peer = await nextPeer();
  child?.kill('SIGSTOP');
  assert.equal(await within(5_000, peer.closed, 'noticed'), 'keepalive_timeout');
  await eventually(() => server.stats.connections === 0, 'socket destroyed');
  await within(5_000, server.close(), 'closed');
});

test('a gateway that is stopped is noticed by the node', async () => {
  const port = Number(await startOther('gateway'));
  const node = await connectPeer(port, { limits: KEEPALIVE });
  const opening = node.openDirect('any', 1);
  const channel = await opening;
  channel.on('error', () => {}).resume();
  const closed = once(channel, 'close').catch(() => {});
  child?.kill('SIGSTOP');
  const { reason } = await within(5_000, node.closed, 'noticed');
  assert.equal(reason, 'keepalive_timeout');
  await closed;
});

test('a node that is told to close does not wait for a gateway that is stopped', async () => {
  const port = Number(await startOther('gateway'));
  const node = await connectPeer(port, { limits: { closeGraceMs: 50 } });
  child?.kill('SIGSTOP');
  node.close();
  node.close();
  assert.equal((await within(5_000, node.closed, 'closed')).reason, 'local_close');
});

test('a connection that is idle but alive stays', async () => {
  const limits = { keepaliveIntervalMs: 20, keepaliveCountMax: 2 };
  const { server, port, nextPeer } = await startServer({}, { limits });
  const node = await connectPeer(port, { limits });
  const peer = await nextPeer();
  const before = peer.bytesIn;
  await eventually(() => peer.bytesIn > before + 500, 'many keepalives');
  assert.equal(server.stats.connections, 1);
  node.close();
  await server.close();
});
