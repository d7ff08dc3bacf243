import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { after, afterEach, describe, test } from 'node:test';
import { connectPeer, eventually, HostileClient, startServer, type TestServer, within } from './fixtures.ts';
import { sha256 } from './http-fixtures.ts';
import { readList } from './plain-client.ts';
import { outputOf, StockClients } from './stock-clients.ts';
import { afterServerList, startTamperingProxy, type Tampering, type TamperingProxy } from './tampering-proxy.ts';

const CLIENT_MARKER = 'kex-strict-c-v00@openssh.com';
const SERVER_MARKER = 'kex-strict-s-v00@openssh.com';
const GCM = ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'];
const STRICT = /will use strict KEX ordering/;
/** As on a line on which every client is late. */
const NO_PATIENCE = { limits: { kexInitHoldMs: 1, rekeyBurst: 1000 } };

const clients = new StockClients();
after(() => clients.close());

let gateway: TestServer;
let proxy: TamperingProxy;

afterEach(async () => {
  clients.stop();
  proxy?.close();
  await gateway.server.close();
});

async function startBehindProxy(tampering: Tampering, options = {}): Promise<void> {
  gateway = await startServer({ direct: () => (channel) => void channel.pipe(channel) }, options);
  proxy = await startTamperingProxy(gateway.port, tampering);
}

/** The same bytes through ssh2's echo, with keys exchanged on the way. */
async function echoOver(channel: Duplex, bytes: Buffer): Promise<Buffer> {
  const chunks: Buffer[] = [];
  channel.end(bytes);
  for await (const chunk of channel) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Keeps the packet's length. */
function withoutMarker(list: Buffer): Buffer {
  const altered = list.toString('latin1').replace(/kex-strict-([cs])-v00/, 'kex-nothing-$1-v0');
  assert.notEqual(altered, list.toString('latin1'));
  return Buffer.from(altered, 'latin1');
}

describe('a client that is in time', () => {
  test('OpenSSH has strict key exchange', async () => {
    await startBehindProxy({});
    const child = clients.ssh(proxy.port, '-vvv', '-W', 'echo:1');
    child.stdin.end('hello');
    const { out, err } = await outputOf(child);
    assert.equal(out.toString(), 'hello', err);
    assert.match(err, STRICT);
  });

  test('OpenSSH has it, too, when the lines before are late', async () => {
    await startBehindProxy({ lineDelayMs: 50 });
    const child = clients.ssh(proxy.port, '-vvv', '-W', 'echo:1');
    child.stdin.end('hello');
    const { out, err } = await outputOf(child);
    assert.equal(out.toString(), 'hello', err);
    assert.match(err, STRICT);
  });

  for (const lineDelayMs of [0, 50]) {
    test(`a node has strict key exchange, and AES-GCM, with lines that are ${lineDelayMs} ms late`, async () => {
      const lists: { kex: string[]; ciphers: string[] }[] = [];
      const keep = (list: Buffer): Buffer => {
        lists.push(readList(list.subarray(5)));
        return list;
      };
      await startBehindProxy({ clientList: keep, serverList: keep, lineDelayMs });
      const node = await connectPeer(proxy.port);
      const [client, server] = lists;
      assert.ok(client?.kex.includes(CLIENT_MARKER));
      assert.deepEqual(client?.ciphers, GCM);
      assert.ok(server?.kex.includes(SERVER_MARKER));
      node.close();
      await node.closed;
    });
  }
});

describe('a client whose list comes after ours', () => {
  test('OpenSSH has AES-GCM without strict key exchange, also after keys were exchanged anew', async () => {
    await startBehindProxy({ clientList: afterServerList }, NO_PATIENCE);
    const child = clients.ssh(proxy.port, '-vvv', '-o', 'RekeyLimit=64K', '-W', 'echo:1');
    const bytes = randomBytes(300_000);
    child.stdin.end(bytes);
    const { out, err } = await outputOf(child);
    assert.equal(sha256(out), sha256(bytes), err.slice(-2_000));
    assert.doesNotMatch(err, STRICT);
    const ciphers = [...err.matchAll(/kex: (?:server->client|client->server) cipher: (\S+)/g)].map(([, name]) => name);
    assert.ok(ciphers.length >= 4, 'at least one more exchange');
    assert.deepEqual([...new Set(ciphers)], ['aes128-gcm@openssh.com']);
  });

  test('a client that only has aes256-gcm gets it', async () => {
    await startBehindProxy({ clientList: afterServerList }, NO_PATIENCE);
    const child = clients.ssh(
      proxy.port,
      '-vv',
      '-c',
      'chacha20-poly1305@openssh.com,aes256-gcm@openssh.com',
      '-W',
      'a:1',
    );
    child.stdin.end('hello');
    const { out, err } = await outputOf(child);
    assert.equal(out.toString(), 'hello', err);
    assert.match(err, /kex: client->server cipher: aes256-gcm@openssh\.com/);
  });

  test('a node goes on as ever, also after keys were exchanged anew', async () => {
    await startBehindProxy({ clientList: afterServerList }, NO_PATIENCE);
    const node = await connectPeer(proxy.port, { limits: { rekeyBytes: 64 * 1024 } });
    const bytes = randomBytes(500_000);
    const echo = await within(30_000, echoOver(await node.openDirect('echo', 1), bytes), 'the echo');
    assert.equal(sha256(echo), sha256(bytes));
    node.close();
    await node.closed;
  });

  test('is never offered more later on, and is not strict', async () => {
    await startBehindProxy({ clientList: afterServerList }, NO_PATIENCE);
    const lines: string[] = [];
    const client = await new HostileClient().connect(proxy.port, { debug: (line) => void lines.push(line) });
    const handshake = new Promise((resolve) => client.client.once('handshake', resolve));
    client.internals._protocol.rekey();
    await within(20_000, handshake, 'another key exchange');
    assert.equal(client.internals._protocol._strictMode, false);
    const offers = (what: string): string[] =>
      lines.flatMap((line) => line.match(new RegExp(`\\(remote\\) ${what}: (.*)`))?.slice(1) ?? []);
    assert.deepEqual(offers('S->C cipher'), [GCM.join(','), GCM.join(',')]);
    assert.ok(!offers('KEX method').join().includes(SERVER_MARKER));
    client.destroy();
  });

  test('dbclient, which only has ChaCha20, is refused, and both ends say why', async () => {
    await startBehindProxy({ clientList: afterServerList }, NO_PATIENCE);
    const { code, err } = await outputOf(clients.dbclient(proxy.port, '-B', 'echo:1'));
    assert.notEqual(code, 0);
    assert.match(err, /No matching algo/);
    await eventually(() => gateway.server.stats.connections === 0, 'the gateway has refused it');
    assert.deepEqual(gateway.server.stats.killed, { needs_strict_kex: 1 });
  });
});

describe('somebody in the middle who takes an announcement away is noticed:', () => {
  for (const [whose, tampering] of [
    ['the client’s', { clientList: withoutMarker }],
    ['the server’s', { serverList: withoutMarker }],
  ] as const) {
    test(`${whose}, by OpenSSH`, async () => {
      await startBehindProxy(tampering);
      const { code, err } = await outputOf(clients.ssh(proxy.port, '-W', 'echo:1'));
      assert.notEqual(code, 0);
      assert.match(err, /incorrect signature|signature/i);
      assert.equal(gateway.peers.length, 0);
    });

    test(`${whose}, by a node`, async () => {
      await startBehindProxy(tampering);
      await assert.rejects(connectPeer(proxy.port), { code: 'gateway_unreachable' });
      assert.equal(gateway.peers.length, 0);
    });
  }
});
