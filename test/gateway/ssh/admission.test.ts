import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { type Admission, AdmissionControl, PORT_LIMITS } from '../../../src/gateway/ssh/admission.ts';
import { addressKey } from '../../../src/shared/address.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { connectPeer, eventually, newKeyText, startServer, type TestServer, within } from './fixtures.ts';

describe('counting', () => {
  const limits = { maxConnections: 10, maxUnauthenticated: 6, maxUnauthenticatedPerAddress: 3, crowdedGraceMs: 2_000 };

  function setUp() {
    const state = { nowMs: 0, evicted: [] as string[] };
    const control = new AdmissionControl(limits, () => state.nowMs);
    const enter = (address: string, name = address) => control.enter(address, () => state.evicted.push(name));
    return { state, control, enter };
  }

  test('strangers are limited per address, in total, and all together', () => {
    const { control, enter } = setUp();
    const first = [enter('a'), enter('a'), enter('a')];
    assert.equal(enter('a'), undefined);
    const others = [enter('b'), enter('b'), enter('c')];
    assert.equal(enter('d'), undefined);
    for (const admission of [...first, ...others]) admission?.known();
    assert.equal(control.unauthenticated, 0);
    for (const address of ['d', 'e', 'f', 'g']) assert.ok(enter(address));
    assert.equal(enter('h'), undefined);
    first[0]?.left();
    assert.ok(enter('h'));
  });

  test('an address that is full lets a newcomer in once its oldest stranger has had its time', () => {
    const { state, enter } = setUp();
    enter('a', 'first');
    state.nowMs = 1;
    enter('a', 'second')?.known();
    enter('a', 'third');
    enter('a', 'fourth');
    state.nowMs = limits.crowdedGraceMs - 1;
    assert.equal(enter('a'), undefined);
    state.nowMs = limits.crowdedGraceMs;
    assert.ok(enter('a'));
    assert.deepEqual(state.evicted, ['first']);
    assert.equal(enter('a'), undefined);
    state.nowMs += 1;
    assert.ok(enter('a'));
    assert.deepEqual(state.evicted, ['first', 'third']);
  });

  test('a port that is full lets a newcomer in at the cost of the address that has the most strangers', () => {
    const { state, control, enter } = setUp();
    for (const address of ['lonely', 'crowd', 'crowd', 'crowd', 'pair', 'pair']) enter(address);
    assert.equal(enter('newcomer'), undefined);
    state.nowMs = limits.crowdedGraceMs;
    assert.ok(enter('newcomer'));
    assert.deepEqual(state.evicted, ['crowd']);
    assert.equal(control.unauthenticated, 6);
  });

  test('who is known is never replaced, though all places are taken', () => {
    const { state, enter } = setUp();
    for (let count = 0; count < limits.maxConnections; count += 1) enter(String(count % 5))?.known();
    state.nowMs = limits.crowdedGraceMs * 10;
    assert.equal(enter('newcomer'), undefined);
    assert.deepEqual(state.evicted, []);
  });

  test('no order of coming, becoming known, waiting and leaving, each even twice, makes the counts wrong', () => {
    const act = fc.constantFrom('enter', 'known', 'left', 'wait');
    fc.assert(
      fc.property(fc.array(fc.record({ who: fc.nat(11), act })), (steps) => {
        const state = { nowMs: 0 };
        const control = new AdmissionControl(limits, () => state.nowMs);
        const inside = new Map<number, { admission: Admission; stranger: boolean }>();
        for (const { who, act } of steps) {
          const present = inside.get(who);
          if (act === 'wait') state.nowMs += 700;
          else if (act === 'enter' && present === undefined) {
            // As the server does: the place of an evicted one is free at once, and its socket closes.
            const admission = control.enter(String(who % 3), () => {
              inside.get(who)?.admission.left();
              inside.delete(who);
            });
            if (admission !== undefined) inside.set(who, { admission, stranger: true });
          } else if (act === 'known' && present !== undefined) {
            present.admission.known();
            present.admission.known();
            present.stranger = false;
          } else if (act === 'left' && present !== undefined) {
            present.admission.left();
            present.admission.left();
            inside.delete(who);
          }
          assert.equal(control.connections, inside.size);
          const strangers = [...inside].filter(([, { stranger }]) => stranger);
          assert.equal(control.unauthenticated, strangers.length);
          assert.ok(strangers.length <= limits.maxUnauthenticated);
          for (const address of [0, 1, 2]) assert.ok(strangers.filter(([one]) => one % 3 === address).length <= 3);
        }
      }),
    );
  });
});

describe('addresses', () => {
  test('an IPv6 /64 is one address, however it is written', () => {
    const same = ['2001:db8:0:1::1', '2001:db8::1:ffff:0:0:2', '2001:0db8:0000:0001:1:2:3:4', '2001:db8:0:1::%eth0'];
    assert.deepEqual([...new Set(same.map(addressKey))], ['2001:db8:0:1']);
    assert.notEqual(addressKey('2001:db8:0:2::1'), '2001:db8:0:1');
    assert.equal(addressKey('::1'), '0:0:0:0');
  });

  test('an IPv4 address is itself', () => {
    assert.equal(addressKey('192.0.2.7'), '192.0.2.7');
    assert.equal(addressKey('::ffff:192.0.2.7'), '::ffff:192.0.2.7');
  });
});

describe('the public port', () => {
  let gateway: TestServer;
  const sockets: Socket[] = [];

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await gateway.server.close();
  });

  /** `closed` resolves when the socket is gone, by a reset too. */
  async function dial(...messages: string[]): Promise<{ socket: Socket; closed: Promise<unknown> }> {
    const socket = connect(gateway.port, '127.0.0.1');
    sockets.push(socket);
    socket.on('error', () => {});
    socket.resume();
    const closed = new Promise((resolve) => socket.once('close', resolve));
    await Promise.race([new Promise((resolve) => socket.once('connect', resolve)), closed]);
    for (const message of messages) {
      socket.write(message);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return { socket, closed };
  }

  const strangers: [string, string[]][] = [
    ['says nothing', []],
    ['only identifies itself', ['SSH-2.0-slow\r\n']],
    ['drips its identification', ['S', 'S', 'H', '-', '2']],
    ['talks garbage', ['GET / HTTP/1.1\r\nHost: x\r\n\r\n']],
    ['talks binary garbage after its identification', ['SSH-2.0-x\r\n', '\u0000'.repeat(100)]],
  ];

  for (const [what, messages] of strangers) {
    test(`a peer that ${what} is gone when its time is over`, async () => {
      const clock = new FakeClock();
      gateway = await startServer({}, { clock });
      const { socket, closed } = await dial(...messages);
      await eventually(() => gateway.server.stats.unauthenticated === 1 || socket.closed, 'arrived');
      await clock.advance(PORT_LIMITS.graceMs);
      await within(5_000, closed, 'closed');
      await eventually(() => gateway.server.stats.connections === 0, 'socket gone');
      assert.equal(gateway.server.stats.unauthenticated, 0);
      assert.equal(clock.pendingTimers, 0);
    });
  }

  test('a slow peer has all of its time', async () => {
    const clock = new FakeClock();
    gateway = await startServer({}, { clock });
    await dial('SSH-2.0-slow\r\n');
    await eventually(() => gateway.server.stats.unauthenticated === 1, 'arrived');
    await clock.advance(PORT_LIMITS.graceMs - 1);
    assert.deepEqual(gateway.server.stats.killed, {});
    await clock.advance(1);
    assert.deepEqual(gateway.server.stats.killed, { grace: 1 });
  });

  test('a peer that has authenticated may stay', async () => {
    const clock = new FakeClock();
    gateway = await startServer({}, { clock });
    const peer = await connectPeer(gateway.port);
    await clock.advance(PORT_LIMITS.graceMs * 2);
    assert.equal(gateway.server.stats.connections, 1);
    assert.deepEqual(gateway.server.stats.killed, {});
    peer.close();
    await peer.closed;
  });

  test('the 33rd stranger of one address is refused, until one of them authenticates or leaves', async () => {
    gateway = await startServer();
    const first = await dial();
    for (let count = 1; count < PORT_LIMITS.maxUnauthenticatedPerAddress; count += 1) await dial();
    await eventually(() => gateway.server.stats.unauthenticated === 32, 'all in');
    const refused = await dial();
    await within(5_000, refused.closed, 'refused');
    assert.equal(gateway.server.stats.refused, 1);
    await assert.rejects(connectPeer(gateway.port), { code: 'gateway_unreachable' });
    first.socket.destroy();
    await eventually(() => gateway.server.stats.unauthenticated === 31, 'one left');
    const peer = await connectPeer(gateway.port);
    await eventually(() => gateway.server.stats.unauthenticated === 31, 'authenticated');
    peer.close();
    await peer.closed;
  });

  test('a port full of idle strangers lets an honest machine of the same address in', async () => {
    const clock = new FakeClock();
    gateway = await startServer({}, { clock, limits: { maxUnauthenticatedPerAddress: 3 } });
    const idle = [await dial(), await dial('SSH-2.0-slow\r\n'), await dial()];
    await eventually(() => gateway.server.stats.unauthenticated === 3, 'all in');
    await assert.rejects(connectPeer(gateway.port), { code: 'gateway_unreachable' });
    await clock.advance(PORT_LIMITS.crowdedGraceMs);
    const peer = await connectPeer(gateway.port);
    await within(5_000, idle[0]?.closed ?? Promise.reject(new Error('no socket')), 'the oldest is gone');
    assert.deepEqual(gateway.server.stats.killed, { crowded: 1 });
    peer.close();
    await peer.closed;
  });

  test('a key that anybody can make does not take its owner out of the limits of strangers', async () => {
    gateway = await startServer({ isStranger: true }, { limits: { maxUnauthenticatedPerAddress: 2 } });
    const peers = [await connectPeer(gateway.port), await connectPeer(gateway.port)];
    assert.equal(gateway.server.stats.unauthenticated, 2);
    await assert.rejects(connectPeer(gateway.port), { code: 'gateway_unreachable' });
    peers[0]?.close();
    await eventually(() => gateway.server.stats.unauthenticated === 1, 'one left');
    peers.push(await connectPeer(gateway.port));
    for (const peer of peers) peer.close();
    await Promise.all(peers.map((peer) => peer.closed));
  });

  test('one key that is known cannot take the places of others', async () => {
    gateway = await startServer({}, { limits: { maxConnectionsPerKey: 2 } });
    const privateKey = newKeyText();
    const peers = [await connectPeer(gateway.port, { privateKey }), await connectPeer(gateway.port, { privateKey })];
    const third = await connectPeer(gateway.port, { privateKey });
    await within(20_000, third.closed, 'the third is closed');
    assert.equal(await gateway.peers[2]?.closed, 'too_many_connections');
    peers.push(await connectPeer(gateway.port));
    peers[0]?.close();
    await gateway.peers[0]?.closed;
    peers.push(await connectPeer(gateway.port, { privateKey }));
    assert.equal(gateway.server.stats.connections, 3);
    for (const peer of peers) peer.close();
    await Promise.all(peers.map((peer) => peer.closed));
  });

  test('whatever a refused peer does meanwhile, nothing of it is left', async () => {
    gateway = await startServer({}, { limits: { maxConnections: 1 } });
    const peer = await connectPeer(gateway.port);
    const acts: ((socket: Socket) => unknown)[] = [
      () => {},
      (socket) => socket.end('bye'),
      (socket) => socket.destroy(),
      (socket) => socket.resetAndDestroy(),
      (socket) => socket.write(Buffer.alloc(100_000)),
    ];
    const refused = [];
    for (let count = 0; count < 50; count += 1) {
      const { socket, closed } = await dial();
      acts[count % acts.length]?.(socket);
      refused.push(closed);
    }
    await within(20_000, Promise.all(refused), 'all are gone');
    peer.close();
    await peer.closed;
    await within(20_000, gateway.server.close(), 'the server has no socket left');
    await eventually(() => !process.getActiveResourcesInfo().includes('TCPSocketWrap'), 'no socket is left');
  });

  test('connections over the total are refused', async () => {
    gateway = await startServer({}, { limits: { maxConnections: 2 } });
    const peers = [await connectPeer(gateway.port), await connectPeer(gateway.port)];
    await assert.rejects(connectPeer(gateway.port), { code: 'gateway_unreachable' });
    assert.deepEqual([gateway.server.stats.connections, gateway.server.stats.refused], [2, 1]);
    for (const peer of peers) peer.close();
    await Promise.all(peers.map((peer) => peer.closed));
  });
});
