import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { afterEach, describe, test } from 'node:test';
import type { AuthHandlerMiddleware } from 'ssh2';
import { utils } from '../../../../src/shared/ssh/patches/ssh2.ts';
import { encodeOpenSshPrivateKey, sshPublicKeyBlob } from '../../../../src/shared/ssh/ssh-key.ts';
import { sshString } from '../../../../src/shared/ssh/ssh-wire.ts';
import {
  directTcpipOpen,
  eventually,
  HostileClient,
  newKeyPair,
  packet,
  startServer,
  type TestServer,
  within,
} from '../../../gateway/ssh/fixtures.ts';

const victim = sshPublicKeyBlob(newKeyPair().publicKey);

let gateway: TestServer;
let hostile: HostileClient;

afterEach(async () => {
  hostile.destroy();
  await gateway.server.close();
});

/** Connects, sends `payload` in place of an honest request, and gives the first answer. */
async function answerTo(
  payload: (client: HostileClient) => Buffer,
): Promise<'success' | 'failure' | 'key would do' | 'cut'> {
  hostile = new HostileClient();
  const { promise, resolve } = Promise.withResolvers<'success' | 'failure' | 'key would do' | 'cut'>();
  hostile.start(gateway.port, {
    authHandler: (() => hostile.send(payload(hostile))) as unknown as AuthHandlerMiddleware,
  });
  Object.assign(hostile.internals._protocol._handlers, {
    USERAUTH_SUCCESS: () => resolve('success'),
    USERAUTH_FAILURE: () => resolve('failure'),
    USERAUTH_PK_OK: () => resolve('key would do'),
  });
  void hostile.closed.then(() => resolve('cut'));
  // ssh2 drops answers to requests that it did not send itself.
  const protocol = hostile.internals._protocol as unknown as { _authsQueue: string[] };
  protocol._authsQueue.push('publickey');
  return within(5_000, promise, 'an answer');
}

function userAuth(algorithm: string, blob: Buffer, signature?: Buffer): Buffer {
  const fields = ['root', 'ssh-connection', 'publickey', signature !== undefined, algorithm, blob] as const;
  return signature === undefined ? packet(50, ...fields) : packet(50, ...fields, signature);
}

const signatureOf = (algorithm: string, bytes: Buffer): Buffer =>
  Buffer.concat([sshString(algorithm), sshString(bytes)]);

describe('forged signatures', () => {
  for (const algorithm of ['rsa-sha2-256', 'rsa-sha2-512', 'ssh-rsa', 'ssh-ed25519', 'ecdsa-sha2-nistp256']) {
    test(`an Ed25519 key labelled ${algorithm} with a made-up signature is refused`, async () => {
      gateway = await startServer();
      const forged = userAuth(algorithm, victim, signatureOf(algorithm, Buffer.alloc(64, 1)));
      const answer = await answerTo(() => forged);
      assert.ok(answer === 'failure' || answer === 'cut', answer);
      assert.equal(gateway.peers.length, 0);
      assert.equal(gateway.server.stats.unauthenticated, answer === 'cut' ? 0 : 1);
    });
  }

  test('an RSA key is refused already when it asks', async () => {
    gateway = await startServer();
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const { e = '', n = '' } = publicKey.export({ format: 'jwk' });
    const modulus = Buffer.concat([Buffer.from([0]), Buffer.from(n, 'base64url')]);
    const blob = Buffer.concat([sshString('ssh-rsa'), sshString(Buffer.from(e, 'base64url')), sshString(modulus)]);
    assert.ok(!(utils.parseKey(blob) instanceof Error));
    assert.equal(await answerTo(() => userAuth('rsa-sha2-256', blob)), 'failure');
  });

  test('a blob with bytes after the key is refused', async () => {
    gateway = await startServer();
    const padded = Buffer.concat([victim, Buffer.from('more')]);
    assert.equal(await answerTo(() => userAuth('ssh-ed25519', padded)), 'failure');
  });

  test('asking whether a key would do authenticates nobody', async () => {
    gateway = await startServer();
    assert.equal(await answerTo(() => userAuth('ssh-ed25519', victim)), 'key would do');
    assert.equal(gateway.peers.length, 0);
    assert.equal(gateway.server.stats.unauthenticated, 1);
  });

  test('a user name without end is refused', async () => {
    gateway = await startServer();
    const request = packet(50, 'x'.repeat(256), 'ssh-connection', 'publickey', false, 'ssh-ed25519', victim);
    assert.equal(await answerTo(() => request), 'failure');
  });
});

test('an honest signature gives exactly that key and name', async () => {
  gateway = await startServer();
  const pair = newKeyPair();
  const config = { username: 'jürgen', privateKey: encodeOpenSshPrivateKey(pair) };
  hostile = await new HostileClient().connect(gateway.port, config);
  const peer = await gateway.nextPeer();
  assert.deepEqual(peer.publicKey, Buffer.from(pair.publicKey));
  assert.equal(peer.user, 'jürgen');
  assert.match(peer.id, /^[0-9a-z]{12}$/);
});

test('passwords, and coming in without any method, are refused', async () => {
  gateway = await startServer();
  hostile = new HostileClient();
  let asked = 0;
  const methods: unknown[] = [];
  const authHandler = ((left: unknown) => {
    if (left !== null) methods.push(left);
    asked += 1;
    return [{ type: 'none', username: 'x' }, { type: 'password', username: 'x', password: 'x' }, false][asked - 1];
  }) as unknown as AuthHandlerMiddleware;
  hostile.start(gateway.port, { authHandler });
  await within(5_000, hostile.closed, 'closed');
  assert.deepEqual(methods, [['publickey'], ['publickey']]);
  assert.equal(gateway.peers.length, 0);
});

test('authentication requests are cut after the twelfth', async () => {
  gateway = await startServer();
  hostile = new HostileClient();
  let asked = 0;
  const authHandler = (() => {
    asked += 1;
    return { type: 'none', username: 'x' };
  }) as unknown as AuthHandlerMiddleware;
  hostile.start(gateway.port, { authHandler });
  await within(5_000, hostile.closed, 'cut');
  // Twelve were answered; the thirteenth was the one too many.
  assert.equal(asked, 13);
  await eventually(() => gateway.server.stats.connections === 0, 'socket gone');
  assert.deepEqual(gateway.server.stats.killed, { auth_flood: 1 });
});

describe('before authentication', () => {
  test('a channel open cuts the peer', async () => {
    gateway = await startServer({ direct: () => () => assert.fail('a stranger has a channel') });
    assert.equal(await answerTo(() => directTcpipOpen(0)), 'cut');
    assert.deepEqual(gateway.server.stats.killed, { early_message: 1 });
  });

  test('a global request cuts the peer', async () => {
    gateway = await startServer({ forward: () => assert.fail('a stranger has a forward') });
    assert.equal(await answerTo(() => packet(80, 'tcpip-forward', true, 'fleet-node', 1)), 'cut');
    assert.deepEqual(gateway.server.stats.killed, { early_message: 1 });
  });

  test('compression is not offered', async () => {
    gateway = await startServer();
    hostile = new HostileClient();
    const errors: string[] = [];
    hostile.client.on('error', (error: Error & { level?: string }) => errors.push(String(error.level)));
    hostile.start(gateway.port, { algorithms: { compress: ['zlib', 'zlib@openssh.com'] } });
    await within(5_000, hostile.closed, 'closed');
    assert.equal(errors[0], 'handshake');
  });
});
