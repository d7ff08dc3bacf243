import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { type FollowTarget, followJob, GIVE_UP_AFTER_MS } from '../../src/client/follow-job.ts';
import { GatewayClient } from '../../src/client/gateway-client.ts';
import { SILENCE_DEADLINE_MS } from '../../src/client/read-events.ts';
import type { JobEvent } from '../../src/protocol/job-messages.ts';
import { systemClock } from '../../src/shared/clock.ts';
import type { FleetError } from '../../src/shared/errors.ts';
import { FakeClock } from '../support/fake-clock.ts';
import {
  cutStream,
  DONE,
  dataEvent,
  endEvent,
  FakeGateway,
  fail,
  JOB,
  jobEvent,
  openStream,
  stateEvent,
  stream,
} from './fake-gateway.ts';

const REQUEST = { kind: 'shell', command: 'true', target: { node: 'node-1' }, idempotencyKey: 'key-1' } as const;

describe('followJob', { timeout: 20_000 }, () => {
  let gateway: FakeGateway;
  beforeEach(async () => {
    gateway = await new FakeGateway().listen();
  });
  afterEach(() => gateway.close());

  const follow = (target: FollowTarget, clock = systemClock, signal?: AbortSignal): AsyncGenerator<JobEvent> =>
    followJob(new GatewayClient({ socketPath: gateway.socketPath }), target, { clock, random: () => 0.5, signal });

  const collect = async (events: AsyncIterable<JobEvent>, onEvent?: (event: JobEvent) => void): Promise<JobEvent[]> => {
    const all: JobEvent[] = [];
    for await (const event of events) {
      all.push(event);
      onEvent?.(event);
    }
    return all;
  };

  test('gives every event but pings, and ends with done', async () => {
    const events = [jobEvent(), stateEvent('running'), dataEvent('stdout', 'hi\n', 8), endEvent(), DONE];
    gateway.on('POST /v1/jobs', stream(events[0] as JobEvent, { type: 'ping' }, ...events.slice(1)));
    assert.deepEqual(await collect(follow({ request: REQUEST })), events);
    assert.deepEqual(gateway.seen[0]?.body, { ...REQUEST, follow: true });
  });

  test('says once that the gateway is gone, however often it tries, and again the next time', async () => {
    const lost: string[] = [];
    const options = { clock: systemClock, random: () => 0, onLost: ({ code }: FleetError) => lost.push(code) };
    gateway.on('POST /v1/jobs', cutStream(jobEvent(), stateEvent('running')));
    // Six times nothing new, then something, then nothing again.
    const repeats = Array.from({ length: 6 }, () => cutStream(jobEvent(), stateEvent('running')));
    gateway.on(
      `POST /v1/jobs/${JOB}/follow`,
      ...repeats,
      cutStream(jobEvent(), stateEvent('running'), dataEvent('stdout', 'hi\n', 8)),
      ...repeats,
      stream(jobEvent(), stateEvent('running'), endEvent(), DONE),
    );
    await collect(followJob(new GatewayClient({ socketPath: gateway.socketPath }), { request: REQUEST }, options));
    assert.deepEqual(lost, ['connection_lost', 'connection_lost']);
  });

  test('after a cut in the middle, goes on from the offsets that were handled, and repeats nothing', async () => {
    gateway.on(
      'POST /v1/jobs',
      cutStream(
        jobEvent(2),
        stateEvent('running', 0),
        dataEvent('stdout', 'one\n', 9, 0),
        dataEvent('stderr', 'two\n', 18, 0),
        dataEvent('stdout', 'x', 6, 1),
        endEvent({ index: 1 }, 200),
      ),
    );
    gateway.on(
      `POST /v1/jobs/${JOB}/follow`,
      cutStream(jobEvent(2), stateEvent('running', 0), dataEvent('stdout', 'three\n', 29, 0)),
      stream(jobEvent(2), stateEvent('running', 0), endEvent({ index: 1 }, 200), endEvent({ index: 0 }, 300), DONE),
    );
    const events = await collect(follow({ request: REQUEST }));
    assert.deepEqual(
      events.map((event) => ('data' in event ? event.data : event.type)),
      ['job', 'state', 'one\n', 'two\n', 'x', 'end', 'three\n', 'end', 'done'],
    );
    const bodies = gateway.requestsTo(`POST /v1/jobs/${JOB}/follow`).map(({ body }) => body);
    assert.deepEqual(bodies, [{ from: { 0: 18, 1: 200 } }, { from: { 0: 29, 1: 200 } }]);
  });

  test('a submission that was never answered is made again with the same key', async () => {
    gateway.on('POST /v1/jobs', (response) => void response.destroy(), stream(jobEvent(), endEvent(), DONE));
    const events = await collect(follow({ request: REQUEST }));
    assert.equal(events.at(-1)?.type, 'done');
    const keys = gateway.requestsTo('POST /v1/jobs').map(({ body }) => (body as typeof REQUEST).idempotencyKey);
    assert.deepEqual(keys, ['key-1', 'key-1']);
  });

  test('survives a restart of the gateway', async () => {
    gateway.on('POST /v1/jobs', openStream(jobEvent(), dataEvent('stdout', 'a', 6)));
    gateway.on(`POST /v1/jobs/${JOB}/follow`, stream(jobEvent(), dataEvent('stdout', 'b', 12), endEvent(), DONE));
    const heard = Promise.withResolvers<void>();
    const all = collect(follow({ request: REQUEST }), (event) => {
      if (event.type === 'stdout') heard.resolve();
    });
    await heard.promise;
    await gateway.stop();
    await new Promise((resolve) => setTimeout(resolve, 150));
    await gateway.listen();
    assert.deepEqual(
      (await all).map((event) => ('data' in event ? event.data : event.type)),
      ['job', 'a', 'b', 'end', 'done'],
    );
  });

  test('a stream that ends without done is a lost connection, not the end of the job', async () => {
    gateway.on('POST /v1/jobs', stream(jobEvent()));
    gateway.on(`POST /v1/jobs/${JOB}/follow`, stream(jobEvent(), endEvent(), DONE));
    assert.deepEqual(
      (await collect(follow({ request: REQUEST }))).map(({ type }) => type),
      ['job', 'end', 'done'],
    );
  });

  test('without any gateway it fails at once, with the hint', async () => {
    await gateway.stop();
    await assert.rejects(collect(follow({ request: REQUEST })), (error: FleetError) => {
      assert.equal(error.code, 'gateway_unreachable');
      assert.match(error.hint ?? '', /fleet gateway up/);
      return true;
    });
  });

  test('what the gateway refuses is not repeated', async () => {
    gateway.on('POST /v1/jobs', fail(404, 'not_found', 'there is no node called node-1'));
    await assert.rejects(collect(follow({ request: REQUEST })), { code: 'not_found' });
    assert.equal(gateway.seen.length, 1);
  });

  test('garbage is not repeated', async () => {
    gateway.on('POST /v1/jobs', (response) => void response.end('<html>\n'));
    await assert.rejects(collect(follow({ request: REQUEST })), { code: 'internal' });
    assert.equal(gateway.seen.length, 1);
  });

  test('gives up after a minute without a gateway, and names the job', async () => {
    const clock = new FakeClock();
    gateway.on('POST /v1/jobs', openStream(jobEvent()));
    const heard = Promise.withResolvers<void>();
    const all = collect(follow({ request: REQUEST }, clock), () => heard.resolve());
    const failed = assert.rejects(all, (error: FleetError) => {
      assert.equal(error.code, 'gateway_unreachable');
      assert.deepEqual(error.facts, { job: JOB });
      assert.match(error.hint ?? '', new RegExp(`fleet jobs logs -f ${JOB}`));
      return true;
    });
    await heard.promise;
    await gateway.stop();
    let isOver = false;
    void failed.finally(() => {
      isOver = true;
    });
    while (!isOver) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      await clock.advance(1000);
    }
    await failed;
    assert.ok(clock.monotonic() >= GIVE_UP_AFTER_MS);
  });

  test('gives up after a minute of streams that break each time at the same place', async () => {
    const clock = new FakeClock();
    gateway.on('POST /v1/jobs', cutStream(jobEvent(), stateEvent('running')));
    gateway.on(`POST /v1/jobs/${JOB}/follow`, cutStream(jobEvent(), stateEvent('running')));
    let failure: FleetError | undefined;
    const all = collect(follow({ request: REQUEST }, clock)).catch((error: FleetError) => {
      failure = error;
    });
    while (failure === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      await clock.advance(1000);
      assert.ok(clock.monotonic() < 100 * GIVE_UP_AFTER_MS, 'it goes on for ever');
    }
    await all;
    assert.equal(failure.code, 'gateway_unreachable');
    assert.deepEqual(failure.facts, { job: JOB });
  });

  test('a gateway that says nothing for long is taken for dead, and asked again', async () => {
    const clock = new FakeClock();
    gateway.on('POST /v1/jobs', openStream(jobEvent()));
    gateway.on(`POST /v1/jobs/${JOB}/follow`, stream(jobEvent(), endEvent(), DONE));
    const heard = Promise.withResolvers<void>();
    const all = collect(follow({ request: REQUEST }, clock), () => heard.resolve());
    await heard.promise;
    while (gateway.seen.length === 1) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      await clock.advance(SILENCE_DEADLINE_MS / 4);
    }
    assert.equal((await all).at(-1)?.type, 'done');
    assert.ok(clock.monotonic() >= SILENCE_DEADLINE_MS);
  });

  test('an aborted signal ends it quietly', async () => {
    const abort = new AbortController();
    gateway.on('POST /v1/jobs', openStream(jobEvent()));
    const seen: string[] = [];
    for await (const event of follow({ request: REQUEST }, systemClock, abort.signal)) {
      seen.push(event.type);
      abort.abort();
    }
    assert.deepEqual(seen, ['job']);
  });

  test('follows a job that exists, from given offsets', async () => {
    gateway.on(`POST /v1/jobs/${JOB}/follow`, stream(jobEvent(), endEvent(), DONE));
    await collect(follow({ job: JOB, from: { 0: 42 } }));
    assert.deepEqual(gateway.seen[0]?.body, { from: { 0: 42 } });
  });
});

describe('followJob of a whole output', { timeout: 20_000 }, () => {
  let gateway: FakeGateway;
  beforeEach(async () => {
    gateway = await new FakeGateway().listen();
  });
  afterEach(() => gateway.close());

  const LIVE = `GET /v1/jobs/${JOB}/live`;
  const FOLLOW = `POST /v1/jobs/${JOB}/follow`;
  const run = { run: `${JOB}.0`, index: 0, node: 'node-1' } as const;
  const marker: JobEvent = { type: 'live', ...run, next: 14 };
  const head = [jobEvent(), dataEvent('stdout', 'head', 9), marker];
  const gap = (stdoutBytes: number): JobEvent => ({ type: 'gap', ...run, next: 30, stdoutBytes, stderrBytes: 0 });
  const END = (stdoutBytes: number): JobEvent => endEvent({ stdoutBytes, truncated: true }, 60);

  /** What came of stdout, gaps as numbers. */
  const collect = async (): Promise<(string | number)[]> => {
    const client = new GatewayClient({ socketPath: gateway.socketPath });
    const all: (string | number)[] = [];
    const target = { request: REQUEST, whole: true };
    for await (const event of followJob(client, target, { clock: systemClock, random: () => 0.5 })) {
      if (event.type === 'stdout') all.push(Buffer.from(event.data, event.encoding ?? 'utf8').toString());
      if (event.type === 'gap') all.push(event.stdoutBytes + event.stderrBytes);
      if ('next' in event) assert.ok(event.next >= 0 && event.next <= 60, 'an offset of the log');
    }
    return all;
  };

  test('the live stream takes over behind the head, goes on after a cut, and is all', async () => {
    gateway.on('POST /v1/jobs', stream(...head));
    gateway.on(
      LIVE,
      cutStream(dataEvent('stdout', '-one', 8)),
      stream(dataEvent('stdout', '-two', 12), { type: 'live-end', complete: true }),
    );
    gateway.on(FOLLOW, stream(jobEvent(), END(12), DONE));
    assert.deepEqual(await collect(), ['head', '-one', '-two']);
    assert.deepEqual(
      gateway.requestsTo(LIVE).map(({ url }) => url.split('?')[1]),
      ['from=4', 'from=8'],
    );
    const last = gateway.requestsTo(FOLLOW).at(-1);
    assert.deepEqual([last?.body, last?.url.split('?')[1]], [{ from: { 0: Number.MAX_SAFE_INTEGER } }, 'whole=true']);
    assert.equal(gateway.requestsTo('POST /v1/jobs')[0]?.url, '/v1/jobs?whole=true');
  });

  const broken = stream(dataEvent('stdout', '-one', 8), { type: 'live-end', complete: false });

  test('what did not come live comes from the log, and what came is not repeated', async () => {
    gateway.on('POST /v1/jobs', stream(...head));
    gateway.on(LIVE, broken);
    gateway.on(FOLLOW, stream(jobEvent(), gap(2), dataEvent('stdout', 'ne-two', 40), END(12), DONE));
    assert.deepEqual(await collect(), ['head', '-one', '-two']);
    assert.deepEqual(gateway.requestsTo(FOLLOW)[0]?.body, { from: { 0: 14 } });
  });

  test('what neither has is a gap of just that size', async () => {
    gateway.on('POST /v1/jobs', stream(...head));
    gateway.on(LIVE, broken);
    gateway.on(FOLLOW, stream(jobEvent(), gap(10), dataEvent('stdout', 'end', 40), END(17), DONE));
    assert.deepEqual(await collect(), ['head', '-one', 6, 'end']);
  });

  test('what stands behind a gap of unknown size is new', async () => {
    gateway.on('POST /v1/jobs', stream(...head));
    gateway.on(LIVE, broken);
    const least = { ...gap(2), atLeast: true } as JobEvent;
    gateway.on(FOLLOW, stream(jobEvent(), least, dataEvent('stdout', 'end', 40), END(9), DONE));
    assert.deepEqual(await collect(), ['head', '-one', 'end']);
  });

  test('what is missing without a gap in the log is named before the end', async () => {
    gateway.on('POST /v1/jobs', stream(jobEvent(), dataEvent('stdout', 'head', 9), END(9), DONE));
    assert.deepEqual(await collect(), ['head', 5]);
  });
});
