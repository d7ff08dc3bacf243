import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { AdmissionControl, addressKey } from '../../../src/gateway/ssh/admission.ts';
import { SSH_LIMITS } from '../../../src/shared/ssh/limits.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { connectPeer, eventually, startServer, type TestServer, within } from './fixtures.ts';

describe('counting', () => {
  const limits = { maxConnections: 10, maxUnauthenticated: 6, maxUnauthenticatedPerAddress: 3 };

  test('strangers are limited per address, in total, and all together', () => {
    const control = new AdmissionControl(limits);
    const enter = (address: string) => control.enter(address);
    const first = [enter('a'), enter('a'), enter('a')];
    assert.equal(enter('a'), undefined);
    const others = [enter('b'), enter('b'), enter('c')];
    assert.equal(enter('d'), undefined);
    for (const admission of [...first, ...others]) admission?.authenticated();
    assert.equal(control.unauthenticated, 0);
    for (const address of ['d', 'e', 'f', 'g']) assert.ok(enter(address));
    assert.equal(enter('h'), undefined);
    first[0]?.left();
    assert.ok(enter('h'));
  });

  test('no order of coming, authenticating and leaving, each even twice, makes the counts wrong', () => {
    const acts = fc.array(fc.record({ who: fc.nat(7), act: fc.constantFrom('enter', 'authenticated', 'left') }));
    fc.assert(
      fc.property(acts, (steps) => {
        const control = new AdmissionControl(limits);
        const inside = new Map<number, { admission: ReturnType<AdmissionControl['enter']>; stranger: boolean }>();
        for (const { who, act } of steps) {
          const known = inside.get(who);
          if (act === 'enter' && known === undefined) {
            const admission = control.enter(String(who % 3));
            if (admission !== undefined) inside.set(who, { admission, stranger: true });
          } else if (act === 'authenticated' && known !== undefined) {
            known.admission?.authenticated();
            known.stranger = false;
          } else if (act === 'left' && known !== undefined) {
            known.admission?.left();
            known.admission?.left();
            inside.delete(who);
          }
          assert.equal(control.connections, inside.size);
          assert.equal(control.unauthenticated, [...inside.values()].filter(({ stranger }) => stranger).length);
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
      await clock.advance(SSH_LIMITS.graceMs);
      await within(5_000, closed, 'closed');
      await eventually(() => gateway.server.stats.connections === 0, 'socket gone');
      assert.equal(gateway.server.stats.unauthenticated, 0);
      assert.equal(clock.pendingTimers, 0);
    });
  }

  test('a peer that has authenticated may stay', async () => {
    const clock = new FakeClock();
    gateway = await startServer({}, { clock });
    const peer = await connectPeer(gateway.port);
    await clock.advance(SSH_LIMITS.graceMs * 2);
    assert.equal(gateway.server.stats.connections, 1);
    assert.deepEqual(gateway.server.stats.killed, {});
    peer.close();
    await peer.closed;
  });

  test('the 33rd stranger of one address is refused, until one of them authenticates or leaves', async () => {
    gateway = await startServer();
    const first = await dial();
    for (let count = 1; count < SSH_LIMITS.maxUnauthenticatedPerAddress; count += 1) await dial();
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

  test('connections over the total are refused', async () => {
    gateway = await startServer({}, { limits: { maxConnections: 2 } });
    const peers = [await connectPeer(gateway.port), await connectPeer(gateway.port)];
    await assert.rejects(connectPeer(gateway.port), { code: 'gateway_unreachable' });
    assert.deepEqual([gateway.server.stats.connections, gateway.server.stats.refused], [2, 1]);
    for (const peer of peers) peer.close();
    await Promise.all(peers.map((peer) => peer.closed));
  });
});
