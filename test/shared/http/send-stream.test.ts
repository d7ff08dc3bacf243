import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { FleetError } from '../../../src/shared/errors.ts';
import { createApp } from '../../../src/shared/http/fastify-app.ts';
import { openRequest, requestJson } from '../../../src/shared/http/request.ts';
import { type SendStreamOptions, sendStream } from '../../../src/shared/http/send-stream.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { until, within } from '../../support/deadline.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';

/** A server with one route, which sends that stream; what became of the sending is in `outcomes`. */
async function serve(t: TestContext, options: Omit<SendStreamOptions, 'contentType'>) {
  const app = createApp(silentLogger, 1000);
  const outcomes: unknown[] = [];
  app.get('/', async (_request, reply) => {
    try {
      await sendStream(reply, { contentType: 'text/plain', ...options });
      outcomes.push('done');
    } catch (error) {
      if (!reply.sent) throw error;
      outcomes.push(error);
    }
    return reply;
  });
  await app.ready();
  const socketPath = path.join(tempFolder(t), 's');
  const server = http.createServer((request, response) => app.routing(request, response));
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  cleanUp(t, () => {
    server.close();
    server.closeAllConnections();
  });
  return { outcomes, request: { socketPath, method: 'GET', path: '/' } as const };
}

test('the head goes with the beginning of the body, or without it when that lets it wait', async (t) => {
  const begin = Promise.withResolvers<void>();
  const slow = await serve(t, {
    open: async function* () {
      await begin.promise;
      yield 'late';
    },
  });
  const response = await within(openRequest(slow.request), 'the head alone');
  begin.resolve();
  assert.equal(Buffer.concat(await response.toArray()).toString(), 'late');
  const empty = await serve(t, { open: async function* () {} });
  assert.equal((await (await within(openRequest(empty.request), 'an empty body')).toArray()).length, 0);
});

test('a body ends in order only when the iterator does', async (t) => {
  const failure = new Error('disk');
  const failing = await serve(t, {
    open: async function* () {
      yield 'part';
      throw failure;
    },
  });
  const broken = await openRequest(failing.request);
  await assert.rejects(within(broken.toArray(), 'the broken body'));
  assert.deepEqual(failing.outcomes, [failure]);
  const whole = await serve(t, {
    open: async function* () {
      yield 'one ';
      yield Buffer.from('two');
    },
  });
  const response = await openRequest(whole.request);
  assert.equal(Buffer.concat(await response.toArray()).toString(), 'one two');
  assert.equal(response.headers['content-type'], 'text/plain');
  assert.deepEqual(whole.outcomes, ['done']);
});

test('what is thrown at once is an ordinary error', async (t) => {
  const { request, outcomes } = await serve(t, {
    open: () => {
      throw new FleetError('not_found', 'no such log');
    },
  });
  await assert.rejects(requestJson(request), { code: 'not_found' });
  assert.deepEqual(outcomes, []);
});

test('a reader that is slow holds the iterator up; one that leaves ends it, whether it yields or waits', async (t) => {
  for (const waits of [false, true]) {
    let yielded = 0;
    let ended = false;
    const { request, outcomes } = await serve(t, {
      open: async function* (signal) {
        try {
          for (;;) {
            yielded += 1;
            yield Buffer.alloc(64 * 1024);
            if (waits && yielded === 3) await once(signal, 'abort');
          }
        } finally {
          ended = true;
        }
      },
    });
    const response = await openRequest(request);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.ok(yielded < 100, `${yielded} chunks without a reader`);
    response.destroy();
    await until(() => ended, 'the end of the iterator');
    await until(() => outcomes.length === 1, 'the end of the sending');
    assert.deepEqual(outcomes, ['done']);
  }
});

test('for a reader that takes nothing, what can be read again is let go of, and no ping is added', async (t) => {
  let released = 0;
  const { request } = await serve(t, {
    ping: { text: '.', intervalMs: 1 },
    open: async function* (_signal, whenBlocked) {
      whenBlocked(() => {
        released += 1;
      });
      // More than the buffers of a socket hold.
      for (let count = 0; count < 100; count += 1) yield Buffer.alloc(64 * 1024, 'x');
    },
  });
  const response = await openRequest(request);
  await until(() => released === 1, 'the reader is taken for one that does not read');
  // A hundred pings would be due.
  await new Promise((resolve) => setTimeout(resolve, 100));
  const text = Buffer.concat(await response.toArray()).toString();
  assert.ok(text.replaceAll('x', '').length < 50, 'pings of when it was not read');
  assert.equal(text.replaceAll('.', '').length, 100 * 64 * 1024);
  assert.equal(released, 1);
});

test('pings while there is nothing else, and none after the end', async (t) => {
  const gate = Promise.withResolvers<void>();
  const { request } = await serve(t, {
    ping: { text: '.', intervalMs: 5 },
    open: async function* () {
      yield 'a';
      await gate.promise;
      yield 'b';
    },
  });
  const response = await openRequest(request);
  let text = '';
  response.on('data', (chunk: Buffer) => {
    text += chunk;
  });
  await until(() => text.length > 3, 'some pings');
  gate.resolve();
  await within(once(response, 'end'), 'the end');
  assert.match(text, /^a\.{2,}b$/);
});
