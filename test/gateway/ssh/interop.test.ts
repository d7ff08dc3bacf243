import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import type { Duplex } from 'node:stream';
import { after, afterEach, describe, test } from 'node:test';
import { startServer, type TestServer, within } from './fixtures.ts';
import { channelAgent, createTestHttpServer, exchange, sha256 } from './http-fixtures.ts';
import { outputOf, StockClients } from './stock-clients.ts';

const clients = new StockClients();
after(() => clients.close());

let gateway: TestServer;

afterEach(async () => {
  clients.stop();
  await gateway.server.close();
});

function ssh(...args: string[]) {
  return clients.ssh(gateway.port, ...args);
}

/** Reads to the end, and only then answers: both the question's size and 1 MB. */
function answerAfterEnd(answer: Buffer) {
  return (channel: Duplex): void => {
    let bytes = 0;
    channel.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    // A moment later: what does not stay half open has closed by then.
    channel.on('end', () =>
      setImmediate(() => {
        channel.write(`${bytes}\n`);
        channel.end(answer);
      }),
    );
  };
}

describe('stock OpenSSH', () => {
  test('-W gets the whole answer after its stdin has ended', async () => {
    const answer = randomBytes(1_000_000);
    gateway = await startServer({ direct: () => answerAfterEnd(answer) });
    const child = ssh('-W', 'fleet-gateway:1');
    child.stdin.end(Buffer.alloc(3_000_000));
    const { code, out, err } = await outputOf(child);
    assert.equal(code, 0, err);
    assert.equal(out.subarray(0, 8).toString(), '3000000\n');
    assert.equal(sha256(out.subarray(8)), sha256(answer));
  });

  test('-W to a refused destination fails with words', async () => {
    gateway = await startServer({ direct: () => undefined });
    const { code, err } = await outputOf(ssh('-W', 'nowhere:1'));
    assert.notEqual(code, 0);
    assert.match(err, /administratively prohibited/);
  });

  test('a shell and a command are refused', async () => {
    gateway = await startServer({ direct: () => undefined });
    const { code, err } = await outputOf(ssh('-T'));
    assert.notEqual(code, 0);
    assert.match(err, /open failed|prohibited/);
  });

  test('-R stands in for a node: the gateway speaks HTTP to a port behind it', async () => {
    const http = createTestHttpServer();
    const behind: Server = createServer(http.accept).listen(0, '127.0.0.1');
    await once(behind, 'listening');
    const { port } = behind.address() as { port: number };
    gateway = await startServer({ forward: ({ host, port: bound }) => host === 'fleet-node' && bound === 1 });
    const child = ssh('-N', '-o', 'ExitOnForwardFailure=yes', '-R', `fleet-node:1:127.0.0.1:${port}`);
    const peer = await within(30_000, gateway.nextPeer(), 'ssh connects');
    const agent = channelAgent(() => peer.openForwarded('fleet-node', 1));
    // The forward is asked for a moment after the authentication.
    const first = await retry(() => exchange(agent, '/hello'));
    assert.equal(first.body.toString(), 'hello /hello');
    const body = randomBytes(2_000_000);
    assert.equal((await exchange(agent, '/digest', body)).body.toString(), sha256(body));
    const { body: down } = await exchange(agent, '/bytes');
    assert.equal(sha256(down), http.digest);
    agent.destroy();
    child.kill('SIGTERM');
    await within(5_000, peer.closed, 'closed');
    behind.close();
    behind.unref();
  });

  test('-R of another name is refused, and ExitOnForwardFailure ends the client', async () => {
    gateway = await startServer({ forward: ({ host }) => host === 'fleet-node' });
    const { code, err } = await outputOf(ssh('-N', '-o', 'ExitOnForwardFailure=yes', '-R', 'other:1:127.0.0.1:9'));
    assert.notEqual(code, 0);
    assert.match(err, /forwarding failed/);
  });

  test('a client that exchanges keys every 64 KB loses nothing', async () => {
    const answer = randomBytes(500_000);
    gateway = await startServer({ direct: () => answerAfterEnd(answer) }, { limits: { rekeyBurst: 1000 } });
    const child = ssh('-o', 'RekeyLimit=64K', '-W', 'fleet-gateway:1');
    child.stdin.end(Buffer.alloc(500_000));
    const { code, out, err } = await outputOf(child);
    assert.equal(code, 0, err);
    assert.equal(sha256(out.subarray(7)), sha256(answer));
  });
});

describe('dropbear', () => {
  test('dbclient -B connects, and gets the whole answer after its stdin has ended', async () => {
    const answer = randomBytes(300_000);
    gateway = await startServer({ direct: () => answerAfterEnd(answer) });
    const child = clients.dbclient(gateway.port, '-B', 'fleet-gateway:1');
    child.stdin.end(Buffer.alloc(300_000));
    const { out, err } = await outputOf(child);
    assert.equal(out.subarray(0, 7).toString(), '300000\n', err);
    assert.equal(sha256(out.subarray(7)), sha256(answer));
  });

  test('dbclient connects without -B, and its forward is taken', async () => {
    gateway = await startServer({ forward: ({ host }) => host === 'fleet-node' });
    clients.dbclient(gateway.port, '-N', '-R', 'fleet-node:1:127.0.0.1:9');
    const peer = await within(30_000, gateway.nextPeer(), 'dbclient connects');
    // Nobody listens behind it: the channel is answered, by a refusal of the other end and not of ours.
    await retry(async () => {
      const error = await peer.openForwarded('fleet-node', 1).catch((reason: Error) => reason);
      assert.ok(error instanceof Error && !/did not ask/.test(error.message));
    });
  });
});

async function retry<T>(act: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
