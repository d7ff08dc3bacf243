import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { postWebhook } from '../../../../src/gateway/monitoring/alerts/send.ts';
import { systemClock } from '../../../../src/shared/clock.ts';
import { within } from '../../../support/deadline.ts';
import { cleanUp } from '../../../support/temp-folder.ts';

async function serve(t: TestContext, server: net.Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanUp(t, () => {
    if (server instanceof http.Server) server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/path?x=1`;
}

function post(url: string, more: { signal?: AbortSignal; deadlineMs?: number } = {}) {
  const options = { clock: systemClock, signal: new AbortController().signal, ...more };
  return within(postWebhook({ url, headers: { 'webhook-id': 'm1' }, body: '{"ä":1}' }, options), 'the attempt', 20_000);
}

test('sends body and headers, and takes any 2xx', async (t) => {
  const seen: unknown[] = [];
  const url = await serve(
    t,
    http.createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
      seen.push([request.method, request.url, request.headers['webhook-id'], Buffer.concat(chunks).toString()]);
      response.writeHead(202).end('thanks');
    }),
  );
  assert.deepEqual(await post(url), { kind: 'delivered' });
  assert.deepEqual(seen, [['POST', '/path?x=1', 'm1', '{"ä":1}']]);
});

test('a redirect is not followed', async (t) => {
  let requests = 0;
  const url = await serve(
    t,
    http.createServer((_request, response) => {
      requests += 1;
      response.writeHead(302, { location: '/elsewhere' }).end();
    }),
  );
  assert.deepEqual(await post(url), { kind: 'refused', error: 'HTTP 302' });
  assert.equal(requests, 1);
});

test('an endless answer does not delay delivery', async (t) => {
  const url = await serve(
    t,
    http.createServer((_request, response) => void response.writeHead(200).write('x'.repeat(100_000))),
  );
  assert.deepEqual(await post(url), { kind: 'delivered' });
});

test('silence ends at the deadline; garbage, a cut connection and a closed port are failures; none names the URL', async (t) => {
  const silent = await serve(
    t,
    net.createServer((socket) => cleanUp(t, () => socket.destroy())),
  );
  assert.deepEqual(await post(silent, { deadlineMs: 50 }), { kind: 'failed', error: 'no answer within 50 ms' });
  const garbage = await serve(
    t,
    net.createServer((socket) => socket.on('error', () => {}).end('\u0000\u0001 no HTTP\r\n\r\n')),
  );
  const cut = await serve(
    t,
    net.createServer((socket) => socket.on('error', () => {}).destroy()),
  );
  const closed = net.createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const nobody = `http://127.0.0.1:${(closed.address() as AddressInfo).port}/SECRET`;
  await new Promise((resolve) => closed.close(resolve));
  for (const url of [garbage, cut, nobody]) {
    const attempt = await post(url);
    assert.equal(attempt.kind, 'failed');
    assert.doesNotMatch(JSON.stringify(attempt), /127\.0\.0\.1|SECRET/);
  }
});

test('a stopping gateway ends the attempt', async (t) => {
  const silent = await serve(
    t,
    net.createServer((socket) => cleanUp(t, () => socket.destroy())),
  );
  const controller = new AbortController();
  const attempt = post(silent, { signal: controller.signal });
  controller.abort();
  assert.deepEqual(await attempt, { kind: 'failed', error: 'the gateway stopped' });
  assert.deepEqual(await post(silent, { signal: controller.signal }), { kind: 'failed', error: 'the gateway stopped' });
});
