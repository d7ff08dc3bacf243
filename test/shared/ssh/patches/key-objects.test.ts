import assert from 'node:assert/strict';
import { createSecretKey, KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import type { ClientChannel } from 'ssh2';
import { SERVER_ALGORITHMS } from '../../../../src/shared/ssh/algorithms.ts';
import { internalsOf, type Ssh2Connection } from '../../../../src/shared/ssh/patches/internals.ts';
import { useKeyObjects } from '../../../../src/shared/ssh/patches/rekeying.ts';
import { Client, Server } from '../../../../src/shared/ssh/patches/ssh2.ts';
import { newKeyText, within } from '../../../gateway/ssh/fixtures.ts';
import { cleanUp } from '../../../support/temp-folder.ts';

test('ciphers of the negotiated keys, and of those after them, work with key objects', async (t) => {
  const server = new Server({ hostKeys: [newKeyText()], algorithms: SERVER_ALGORITHMS });
  const ends: Ssh2Connection[] = [];
  server.on('connection', (connection) => {
    ends.push(internalsOf(connection));
    connection.on('handshake', () => useKeyObjects(internalsOf(connection)));
    connection.on('error', () => {});
    connection.on('authentication', (context) => context.accept());
    connection.on('tcpip', (accept) => {
      const channel = accept();
      channel?.pipe(channel);
    });
  });
  const listener = createServer((socket) => server.injectSocket(socket)).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const client = new Client();
  cleanUp(t, () => {
    client.end();
    listener.close();
  });
  const { port } = listener.address() as { port: number };
  client.connect({ host: '127.0.0.1', port, username: 'x', privateKey: newKeyText(), algorithms: SERVER_ALGORITHMS });
  ends.push(internalsOf(client));
  client.on('handshake', () => useKeyObjects(internalsOf(client)));
  await within(10_000, once(client, 'ready'), 'login');
  const channel = await new Promise<ClientChannel>((resolve, reject) =>
    client.forwardOut('a', 1, 'b', 1, (error, opened) => (error === undefined ? resolve(opened) : reject(error))),
  );
  for (const text of ['before', 'after']) {
    channel.write(text);
    const [echo] = (await within(10_000, once(channel, 'data'), 'echo')) as [Buffer];
    assert.equal(echo.toString(), text);
    for (const { _protocol } of ends) {
      assert.ok(_protocol._cipher?._encKey instanceof KeyObject);
      assert.ok(_protocol._decipher?._decipherKey instanceof KeyObject);
    }
    if (text === 'after') break;
    const renewed = once(client, 'handshake');
    internalsOf(client)._protocol.rekey();
    await within(10_000, renewed, 'new keys');
  }
});

test('a key object stays what it is, and a cipher of another kind is left alone', () => {
  const key = createSecretKey(Buffer.alloc(16));
  const protocol = { _cipher: { _encKey: key }, _decipher: {} };
  useKeyObjects({ _protocol: protocol as unknown as Ssh2Connection['_protocol'] });
  assert.equal(protocol._cipher._encKey, key);
  assert.deepEqual(protocol._decipher, {});
});
