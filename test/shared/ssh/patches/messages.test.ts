import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Ssh2Connection } from '../../../../src/shared/ssh/patches/internals.ts';
import { filterMessages } from '../../../../src/shared/ssh/patches/messages.ts';
import { sshString } from '../../../../src/shared/ssh/ssh-wire.ts';
import { eventually, HostileClient, packet, startServer, within } from '../../../gateway/ssh/fixtures.ts';

const ALL_TYPES = Array.from({ length: 256 }, (_, type) => type);
const TRANSPORT = [1, 2, 3, 4, 7, 20];

/** What becomes of each payload. */
function setUp(role: 'server' | 'client', { ready = false, cut = false } = {}) {
  const passed: Buffer[] = [];
  const kills: string[] = [];
  const protocol = { _onPayload: (payload: Buffer) => void passed.push(payload) };
  filterMessages({
    internals: { _protocol: protocol } as unknown as Ssh2Connection,
    options: { role },
    isReady: () => ready,
    isCut: cut,
    kill: (violation) => kills.push(violation),
  });
  return { passed, kills, send: (payload: Buffer) => protocol._onPayload(payload) };
}

/** The types that reach ssh2. */
function typesThatPass(role: 'server' | 'client', state: { ready?: boolean; cut?: boolean }) {
  const { passed, kills, send } = setUp(role, state);
  for (const type of ALL_TYPES) send(Buffer.from([type]));
  return { types: passed.map(([type]) => type), kills: kills.length };
}

describe('what reaches ssh2', () => {
  test('of a stranger, only what leads to authentication; anything else cuts it', () => {
    const types = [...TRANSPORT, 5, 50].sort((a, b) => a - b);
    assert.deepEqual(typesThatPass('server', {}), { types, kills: 256 - types.length });
  });

  test('of a gateway that we wait for, only what leads to authentication', () => {
    const types = [...TRANSPORT, 6, 51, 52, 53, 60].sort((a, b) => a - b);
    assert.deepEqual(typesThatPass('client', {}), { types, kills: 256 - types.length });
  });

  test('later, no authentication any more, and nothing unknown', () => {
    const types = [...TRANSPORT, 80, 81, 82, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100];
    assert.deepEqual(typesThatPass('server', { ready: true }), { types, kills: 0 });
    assert.deepEqual(typesThatPass('client', { ready: true }), { types, kills: 0 });
  });

  test('nothing of a connection that is being cut', () => {
    assert.deepEqual(typesThatPass('server', { cut: true, ready: true }), { types: [], kills: 0 });
  });

  test('an empty message is nothing', () => {
    const { passed, kills, send } = setUp('server');
    send(Buffer.alloc(0));
    assert.deepEqual([passed.length, kills.length], [1, 0]);
  });

  test('host keys are cut off their request, whatever they are, and other requests are as they were', () => {
    const { passed, send } = setUp('server', { ready: true });
    const bare = packet(80, 'hostkeys-00@openssh.com', true);
    const requests = [
      packet(80, 'tcpip-forward', true, 'fleet-node', 1),
      packet(80, 'who-knows', false, 'body'),
      // Without a flag, and with a length that is a lie: for ssh2 to refuse.
      Buffer.concat([Buffer.from([80]), sshString('hostkeys-00@openssh.com')]),
      Buffer.from([80, 255, 255, 255, 255]),
    ];
    for (const request of requests) send(request);
    send(Buffer.concat([bare, Buffer.alloc(30_000, 'a:b\n')]));
    assert.deepEqual(passed, [...requests, bare]);
  });
});

describe('on the wire', () => {
  test('host keys from a client are not taken apart, and the request is refused', async (t) => {
    const gateway = await startServer();
    t.after(() => gateway.server.close());
    const hostile = await new HostileClient().connect(gateway.port);
    t.after(() => hostile.destroy());
    const answer = new Promise((resolve) => {
      Object.assign(hostile.internals._protocol._handlers, { REQUEST_FAILURE: () => resolve('refused') });
    });
    // The length of a first key says 4 GiB: who takes it apart ends the connection for it.
    hostile.send(Buffer.concat([packet(80, 'hostkeys-00@openssh.com', true), Buffer.alloc(30_000, 0xff)]));
    assert.equal(await within(20_000, Promise.race([answer, hostile.closed]), 'an answer'), 'refused');
  });

  test('a client that says it is authenticated is not, and is cut', async (t) => {
    const gateway = await startServer();
    t.after(() => gateway.server.close());
    const hostile = new HostileClient();
    t.after(() => hostile.destroy());
    hostile.start(gateway.port);
    hostile.client.once('handshake', () => hostile.send(packet(52)));
    await within(20_000, hostile.closed, 'cut');
    assert.equal(gateway.peers.length, 0);
    assert.deepEqual(gateway.server.stats.killed, { early_message: 1 });
  });

  test('a stranger that sends more than a handshake needs is cut', async (t) => {
    const gateway = await startServer({}, { limits: { maxUnauthenticatedBytes: 20_000 } });
    t.after(() => gateway.server.close());
    const hostile = new HostileClient();
    t.after(() => hostile.destroy());
    hostile.start(gateway.port, { authHandler: () => undefined });
    const ignore = packet(2, Buffer.alloc(6_000));
    hostile.client.once('handshake', () => {
      for (let count = 0; count < 4; count += 1) hostile.send(ignore);
    });
    await within(20_000, hostile.closed, 'cut');
    assert.deepEqual(gateway.server.stats.killed, { stranger_flood: 1 });
  });

  test('a key that nobody has paired may send no more either, and one that is paired may', async (t) => {
    const gateway = await startServer(({ user }) => ({ isStranger: user === 'stranger' }), {
      limits: { maxUnauthenticatedBytes: 20_000 },
    });
    t.after(() => gateway.server.close());
    const known = await new HostileClient().connect(gateway.port, { username: 'known' });
    const stranger = await new HostileClient().connect(gateway.port, { username: 'stranger' });
    t.after(() => known.destroy());
    for (let count = 0; count < 4; count += 1) {
      for (const client of [known, stranger]) client.send(packet(2, Buffer.alloc(6_000)));
    }
    await within(20_000, stranger.closed, 'cut');
    await eventually(() => (gateway.peers[0]?.bytesIn ?? 0) > 24_000, 'all of the other one arrived');
    assert.deepEqual(gateway.server.stats.killed, { stranger_flood: 1 });
    assert.equal(gateway.server.stats.connections, 1);
  });
});
