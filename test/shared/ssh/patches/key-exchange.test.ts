import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { SSH_LIMITS } from '../../../../src/shared/ssh/limits.ts';
import type { Ssh2Connection } from '../../../../src/shared/ssh/patches/internals.ts';
import { HeldKexInit } from '../../../../src/shared/ssh/patches/key-exchange.ts';
import { eventually, packet, startServer, type TestServer, within } from '../../../gateway/ssh/fixtures.ts';
import { ECDH_REPLY, ecdhInit, KEXINIT, kexInit, PlainClient, readList } from '../../../gateway/ssh/plain-client.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const IDENT = 'SSH-2.0-test\r\n';
const CURVES = ['curve25519-sha256@libssh.org', 'curve25519-sha256'];
const CLIENT_MARKER = 'kex-strict-c-v00@openssh.com';
const SERVER_MARKER = 'kex-strict-s-v00@openssh.com';
const GCM = ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'];
const CHACHA = 'chacha20-poly1305@openssh.com';
const IGNORE = packet(2, 'nothing');
/** The hold is over at once, as it is for a client that is late. */
const NO_PATIENCE = { limits: { kexInitHoldMs: 1 } };

let gateway: TestServer;
let client: PlainClient;

afterEach(async () => {
  client.socket.destroy();
  // Idempotent: not every test has one of its own.
  await gateway.server.close();
});

/** A client that has said `parts`, and has heard the server's line. */
async function open(...parts: (string | Buffer)[]): Promise<PlainClient> {
  client = new PlainClient(gateway.port);
  client.send(...parts);
  assert.equal(await client.line(), 'SSH-2.0-fleet');
  return client;
}

/** What the server offers next. */
async function nextList(): Promise<{ kex: string[]; ciphers: string[] }> {
  const payload = await client.payload();
  assert.equal(payload?.[0], KEXINIT);
  return readList(payload);
}

describe('the server’s list', () => {
  test('announces strict key exchange to a client that has', async () => {
    gateway = await startServer();
    await open(IDENT, kexInit({ kex: [...CURVES, CLIENT_MARKER], ciphers: [CHACHA] }));
    assert.deepEqual(await nextList(), { kex: [...CURVES, SERVER_MARKER], ciphers: [...GCM, CHACHA] });
  });

  test('offers nothing that needs it to a client that has not', async () => {
    gateway = await startServer();
    await open(IDENT, kexInit({ kex: CURVES, ciphers: [CHACHA, ...GCM] }));
    assert.deepEqual(await nextList(), { kex: CURVES, ciphers: GCM });
    client.send(ecdhInit());
    assert.equal((await client.payload())?.[0], ECDH_REPLY);
  });

  test('comes after 2 s, and offers nothing that needs it, when the client waits for it', async () => {
    const clock = new FakeClock();
    gateway = await startServer({}, { clock });
    await open(IDENT);
    // The login grace is the other one.
    await eventually(() => clock.pendingTimers === 2, 'the list is held');
    await clock.advance(1_999);
    assert.equal(clock.pendingTimers, 2);
    await clock.advance(1);
    assert.deepEqual(await nextList(), { kex: CURVES, ciphers: GCM });
    client.send(kexInit({ kex: CURVES, ciphers: GCM }), ecdhInit());
    assert.equal((await client.payload())?.[0], ECDH_REPLY);
    assert.equal(clock.pendingTimers, 1);
  });

  test('is held for each connection by itself', async () => {
    gateway = await startServer();
    await open(IDENT, kexInit({ kex: CURVES, ciphers: GCM }));
    await nextList();
    const plain = client;
    await open(IDENT, kexInit({ kex: [...CURVES, CLIENT_MARKER], ciphers: GCM }));
    assert.ok((await nextList()).kex.includes(SERVER_MARKER));
    plain.socket.destroy();
  });
});

describe('strict key exchange is', () => {
  test('on when both have announced it: whatever does not belong into the exchange ends it', async () => {
    gateway = await startServer();
    await open(IDENT, kexInit({ kex: [...CURVES, CLIENT_MARKER], ciphers: GCM }));
    await nextList();
    client.send(IGNORE, ecdhInit());
    assert.notEqual((await client.payload())?.[0], ECDH_REPLY);
    await within(20_000, client.closed, 'the end');
  });

  test('off when the client announces it too late for the server to answer', async () => {
    gateway = await startServer({}, NO_PATIENCE);
    await open(IDENT);
    assert.ok(!(await nextList()).kex.includes(SERVER_MARKER));
    client.send(kexInit({ kex: [...CURVES, CLIENT_MARKER], ciphers: [CHACHA, ...GCM] }));
    client.send(IGNORE, ecdhInit());
    assert.equal((await client.payload())?.[0], ECDH_REPLY);
  });
});

test('a guess that comes with the client’s list is skipped, as dropbear expects it, and the next exchange is answered', async () => {
  gateway = await startServer();
  const list = kexInit({ kex: ['curve25519-sha256', CLIENT_MARKER], ciphers: GCM, guesses: true });
  await open(IDENT, list, ecdhInit(), ecdhInit());
  await nextList();
  assert.equal((await client.payload())?.[0], ECDH_REPLY);
});

describe('refused:', () => {
  const lines: object[] = [];
  const logger = { info() {}, debug() {}, error() {}, warn: (facts: object) => void lines.push(facts) };
  const options = { logger: { ...logger, child: () => logger } as never };

  for (const { name, patience, marker } of [
    { name: 'a client of ChaCha20 that is late', patience: NO_PATIENCE, marker: [CLIENT_MARKER] },
    { name: 'a client of ChaCha20 that knows no strict key exchange', patience: {}, marker: [] },
  ]) {
    test(`${name}, with our list and a word in the log`, async () => {
      lines.length = 0;
      gateway = await startServer({}, { ...options, ...patience });
      const list = kexInit({ kex: [...CURVES, ...marker], ciphers: [CHACHA] });
      const waits = marker.length > 0;
      await open(IDENT, ...(waits ? [] : [list]));
      assert.deepEqual((await nextList()).ciphers, GCM);
      if (waits) client.send(list);
      // SSH_MSG_DISCONNECT, SSH_DISCONNECT_KEY_EXCHANGE_FAILED.
      assert.deepEqual((await client.payload())?.subarray(0, 5), Buffer.from([1, 0, 0, 0, 3]));
      client.socket.end();
      await eventually(() => gateway.server.stats.connections === 0, 'closed');
      assert.deepEqual(gateway.server.stats.killed, { needs_strict_kex: 1 });
      assert.deepEqual(lines, [{ reason: 'needs_strict_kex' }]);
    });
  }

  for (const type of [2, 30, 50, 90]) {
    test(`a message of type ${type} before the client’s list, and all that comes with it`, async () => {
      gateway = await startServer({ direct: () => assert.fail('a channel') });
      await open(IDENT, packet(type, 'early'), kexInit({ kex: CURVES, ciphers: GCM }));
      assert.equal(await client.payload(), undefined);
      assert.deepEqual(gateway.server.stats.killed, { early_message: 1 });
    });
  }

  test('whatever else comes of a connection that is being cut', () => {
    const passed: Buffer[] = [];
    const protocol = {
      _cipher: { encrypt: () => assert.fail('an answer') },
      _decipher: { _onPayload: (payload: Buffer) => void passed.push(payload) },
    };
    const guard = {
      internals: { _protocol: protocol } as unknown as Ssh2Connection,
      options: { limits: SSH_LIMITS, clock: new FakeClock() },
      isCut: false,
      kill: () => {
        guard.isCut = true;
      },
      blame: () => assert.fail('blamed'),
    };
    new HeldKexInit(guard).hold();
    protocol._decipher._onPayload(IGNORE);
    assert.ok(guard.isCut);
    protocol._decipher._onPayload(kexInit({ kex: CURVES, ciphers: [CHACHA] }));
    assert.deepEqual(passed, []);
  });

  test('the same from a client that has waited for ours', async () => {
    gateway = await startServer({}, NO_PATIENCE);
    await open(IDENT);
    await nextList();
    client.send(IGNORE);
    assert.equal(await client.payload(), undefined);
    assert.deepEqual(gateway.server.stats.killed, { early_message: 1 });
  });

  test('a list that is broken, and not for its ciphers', async () => {
    gateway = await startServer();
    await open(IDENT, kexInit({ kex: CURVES, ciphers: GCM }).subarray(0, 30));
    await nextList();
    assert.equal((await client.payload())?.[0], 1);
    client.socket.end();
    await eventually(() => gateway.server.stats.connections === 0, 'closed');
    assert.deepEqual(gateway.server.stats.killed, {});
  });

  test('a client that sends no list at all, when its time to log in is over', async () => {
    gateway = await startServer({}, { limits: { graceMs: 100, kexInitHoldMs: 1 } });
    await open(IDENT);
    await nextList();
    await within(20_000, client.closed, 'cut');
    assert.deepEqual(gateway.server.stats.killed, { grace: 1 });
  });
});
