import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';

import type { Duplex } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { requestJson } from '../../../src/shared/http/request.ts';
import {
  createStreamAgent,
  FIRST_REQUEST_DEADLINE_MS,
  SERVER_OPTIONS,
  StreamAcceptor,
} from '../../../src/shared/http/streams.ts';
import { settle, within } from '../../support/deadline.ts';
import { socketPair } from '../../support/socket-pair.ts';
import { cleanUp } from '../../support/temp-folder.ts';

function acceptorOf(t: TestContext): { accept(): Duplex; accepted: Duplex[] } {
  const server = http.createServer(
    SERVER_OPTIONS,
    (request, response) => void response.end(JSON.stringify({ url: request.url })),
  );
  const acceptor = new StreamAcceptor(server);
  const accepted: Duplex[] = [];
  const accept = (): Duplex => {
    const [near, far] = socketPair();
    accepted.push(far);
    acceptor.accept(far);
    return near;
  };
  cleanUp(t, () => accepted.forEach((stream) => void stream.destroy()));
  return { accept, accepted };
}

test('requests over streams, and one stream for many of them', async (t) => {
  const { accept, accepted } = acceptorOf(t);
  const agent = createStreamAgent(async () => accept());
  cleanUp(t, () => agent.destroy());
  for (const url of ['/a', '/b', '/c']) {
    assert.deepEqual(await requestJson({ agent, method: 'GET', path: url }), { url });
    await settle();
  }
  assert.equal(accepted.length, 1);
});

test('a stream that has not sent a whole request head in time is closed; one that has is not', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { accept, accepted } = acceptorOf(t);
  const silent = accept();
  const slow = accept();
  slow.write('GET / HTTP/1.1\r\nHost: x\r\n');
  const good = accept();
  good.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await settle();
  const closed = [accepted[0], accepted[1]].map((stream) => once(stream ?? silent, 'close'));
  t.mock.timers.tick(FIRST_REQUEST_DEADLINE_MS - 1);
  await settle();
  assert.equal(
    accepted.some((stream) => stream.destroyed),
    false,
  );
  t.mock.timers.tick(1);
  await within(Promise.all(closed), 'close');
  assert.equal(accepted[2]?.destroyed, false);
});

test('an endless head is refused', async (t) => {
  const { accept } = acceptorOf(t);
  const stream = accept();
  stream.write(`GET / HTTP/1.1\r\nX: ${'x'.repeat(17 * 1024)}`);
  const [answer] = (await within(once(stream, 'data'), 'answer')) as [Buffer];
  assert.match(answer.toString(), /^HTTP\/1\.1 431 /);
});
