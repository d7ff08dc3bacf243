import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { connectPeer, within } from '../../../gateway/ssh/fixtures.ts';
import { KEXINIT, readList } from '../../../gateway/ssh/plain-client.ts';

test('a client’s list of algorithms is there before the gateway has said a word', async (t) => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  const attempt = connectPeer(port).catch((error: Error) => error);
  const [socket] = (await within(20_000, once(server, 'connection'), 'a connection')) as [Socket];
  const line = 'SSH-2.0-fleet\r\n';
  let heard = Buffer.alloc(0);
  const isWhole = (): boolean =>
    heard.length > line.length + 4 && heard.length >= line.length + 4 + heard.readUInt32BE(line.length);
  while (!isWhole()) {
    const [chunk] = (await within(20_000, once(socket, 'data'), 'the list')) as [Buffer];
    heard = Buffer.concat([heard, chunk]);
  }
  assert.equal(heard.subarray(0, line.length).toString(), line);
  const payload = heard.subarray(line.length + 5);
  assert.equal(payload[0], KEXINIT);
  assert.ok(readList(payload).kex.includes('kex-strict-c-v00@openssh.com'));
  socket.destroy();
  assert.ok((await attempt) instanceof Error);
});
