import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { openRequest, requestJson } from '../../../src/shared/http/request.ts';
import { createStreamAgent } from '../../../src/shared/http/streams.ts';
import { within } from '../../support/deadline.ts';
import { socketPair } from '../../support/socket-pair.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';

async function serve(t: TestContext, handler: http.RequestListener): Promise<string> {
  const socketPath = path.join(tempFolder(t), 's');
  const server = http.createServer(handler);
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  cleanUp(t, () => {
    server.close();
    server.closeAllConnections();
  });
  return socketPath;
}

test('JSON there and back; an empty answer is undefined', async (t) => {
  const socketPath = await serve(t, async (request, response) => {
    if (request.method === 'DELETE') return void response.writeHead(204).end();
    let body = '';
    for await (const chunk of request) body += chunk;
    response.end(
      JSON.stringify({
        body: JSON.parse(body),
        type: request.headers['content-type'],
        length: request.headers['content-length'],
      }),
    );
  });
  const body = { text: 'Grüße' };
  assert.deepEqual(await requestJson({ socketPath, method: 'POST', path: '/', body }), {
    body,
    type: 'application/json',
    length: String(Buffer.byteLength(JSON.stringify(body))),
  });
  assert.equal(await requestJson({ socketPath, method: 'DELETE', path: '/' }), undefined);
});

test('an error answer becomes the error that the other side meant; a foreign one is told as what it is', async (t) => {
  const answers: Record<string, [number, string]> = {
    '/known': [409, '{"error":{"code":"name_taken","message":"there is one","hint":"choose"}}'],
    '/unknown': [418, '{"error":{"code":"teapot","message":"x"}}'],
    '/inherited': [500, '{"error":{"code":"constructor","message":"x"}}'],
    '/null': [500, 'null'],
    '/html': [502, '<html>'],
    '/text': [400, '{"error":"Bad Request"}'],
  };
  const socketPath = await serve(t, (request, response) => {
    const [status, text] = answers[request.url ?? ''] ?? [200, 'not json'];
    response.writeHead(status).end(text);
  });
  const ask = (route: string) => requestJson({ socketPath, method: 'GET', path: route });
  await assert.rejects(ask('/known'), { code: 'name_taken', message: 'there is one', hint: 'choose' });
  for (const route of ['/unknown', '/inherited', '/null', '/html', '/text']) {
    await assert.rejects(ask(route), { code: 'internal', message: /HTTP \d+/ }, route);
  }
  await assert.rejects(ask('/other'), { code: 'connection_lost', message: /not JSON/ });
});

test('without an answer the deadline counts, whether or not there is a connection yet', async (t) => {
  const socketPath = await serve(t, () => {});
  const deadline = { method: 'GET', path: '/', answerDeadlineMs: 50 } as const;
  await assert.rejects(within(openRequest({ ...deadline, socketPath }), 'silent server'), { code: 'timeout' });
  const agent = createStreamAgent(() => new Promise(() => {}));
  await assert.rejects(within(openRequest({ ...deadline, agent }), 'connection that never opens'), { code: 'timeout' });
});

test('a connection that is gone before the request is on it does not wait for the deadline', async () => {
  const agent = createStreamAgent(async () => {
    const [near] = socketPair();
    near.destroy();
    await once(near, 'close');
    return near;
  });
  const request = requestJson({ agent, method: 'GET', path: '/' });
  await within(assert.rejects(request, { code: 'connection_lost' }), 'the failure');
});

test('an answer whose body stalls does not wait for ever', async (t) => {
  const socketPath = await serve(t, (request, response) => {
    response.writeHead(request.url === '/error' ? 500 : 200, { 'content-length': 10 });
    response.write('{');
  });
  // Only setTimeout inside request.ts is turned; sockets are real.
  for (const route of ['/', '/error']) {
    const head = openRequest({ socketPath, method: 'GET', path: '/', answerDeadlineMs: 5000 });
    (await head).destroy();
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const answer = requestJson({ socketPath, method: 'GET', path: route });
    const refused = assert.rejects(answer, { code: 'timeout' });
    // The head has to come first; the server answers at once.
    for (let round = 0; round < 200; round += 1) await new Promise((resolve) => setImmediate(resolve));
    t.mock.timers.tick(15_000);
    t.mock.timers.reset();
    await within(refused, 'stalled body');
  }
});

test('an abort ends it: before the start, without a connection, without an answer, in the body', async (t) => {
  const socketPath = await serve(t, (_request, response) => void response.write('first'));
  const silent = await serve(t, () => {});
  const agent = createStreamAgent(() => new Promise(() => {}));
  for (const where of [{ agent }, { socketPath: silent }]) {
    const controller = new AbortController();
    const refused = assert.rejects(openRequest({ ...where, method: 'GET', path: '/', signal: controller.signal }), {
      code: 'connection_lost',
    });
    setTimeout(() => controller.abort(), 20);
    await within(refused, 'aborted request');
    const late = openRequest({ ...where, method: 'GET', path: '/', signal: controller.signal });
    await within(assert.rejects(late, { code: 'connection_lost' }), 'request with an aborted signal');
  }
  const controller = new AbortController();
  const response = await openRequest({ socketPath, method: 'GET', path: '/', signal: controller.signal });
  const broken = once(response, 'error');
  controller.abort();
  await within(broken, 'the end of the body');
});

test('what the system says is kept as the cause; a FleetError of the connection passes as it is', async (t) => {
  const socketPath = path.join(tempFolder(t), 'nobody');
  await assert.rejects(requestJson({ socketPath, method: 'GET', path: '/' }), (error: Error & { code: string }) => {
    assert.equal(error.code, 'connection_lost');
    assert.equal((error.cause as NodeJS.ErrnoException).code, 'ENOENT');
    return true;
  });
  const { FleetError } = await import('../../../src/shared/errors.ts');
  const offline = new FleetError('node_offline', 'away');
  const agent = createStreamAgent(() => Promise.reject(offline));
  await assert.rejects(requestJson({ agent, method: 'GET', path: '/' }), (error) => error === offline);
});

test('a stream is sent as it is; a connection that breaks in the middle is an error', async (t) => {
  const socketPath = await serve(t, async (request, response) => {
    let bytes = 0;
    for await (const chunk of request) bytes += (chunk as Buffer).length;
    response.end(JSON.stringify({ bytes }));
  });
  const stream = Readable.from([Buffer.alloc(70_000), Buffer.alloc(3)]);
  assert.deepEqual(await requestJson({ socketPath, method: 'POST', path: '/', stream }), { bytes: 70_003 });
  const cutting = await serve(t, (request) => void request.once('data', () => request.destroy()));
  const endless = new PassThrough();
  endless.write('x');
  await assert.rejects(
    within(openRequest({ socketPath: cutting, method: 'POST', path: '/', stream: endless }), 'cut'),
    {
      code: 'connection_lost',
    },
  );
});

test('a body that cannot be read breaks the request off and is its error, not that of the process', async (t) => {
  const waiting = new PassThrough();
  const cut = Promise.withResolvers<boolean>();
  const socketPath = await serve(t, (request) => {
    request.once('close', () => cut.resolve(!request.complete)).resume();
    waiting.destroy(Object.assign(new Error('gone'), { code: 'EIO' }));
  });
  waiting.write('a little');
  await assert.rejects(requestJson({ socketPath, method: 'POST', path: '/', stream: waiting }), {
    code: 'connection_lost',
    message: 'cannot read the data to send: EIO',
  });
  assert.equal(await within(cut.promise, 'the server sees it'), true);
  // A descriptor that is open for writing only, as nohup leaves it as stdin: the error comes before there is a connection.
  const stream = new Readable({
    read() {
      this.destroy(Object.assign(new Error('EBADF: bad file descriptor, read'), { code: 'EBADF' }));
    },
  });
  const request = requestJson({ socketPath, method: 'POST', path: '/', stream });
  await assert.rejects(request, { message: 'cannot read the data to send: EBADF' });
});
