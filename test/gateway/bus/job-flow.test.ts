import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maxFailures, runFlow } from '../../../src/gateway/bus/job-flow.ts';
import type { Flow } from '../../../src/protocol/job-messages.ts';
import { settle, within } from '../../support/deadline.ts';
import { TestBus } from './harness.ts';

/** A flow whose runs end when the test says so. */
function scripted(
  count: number,
  flow: Flow,
  options: { failuresBefore?: number; begun?: number[]; absent?: number[] } = {},
) {
  const released: string[] = [];
  const dropped = new Set<string>();
  const endings = new Map<string, (succeeded: boolean | undefined) => void>();
  const arrivals = new Map(options.absent?.map((n) => [String(n), Promise.withResolvers<void>()]));
  const runs = Array.from({ length: count }, (_, n) => ({
    id: String(n),
    handedOverAt: options.begun?.includes(n) ? 1 : null,
    ready: async () => await arrivals.get(String(n))?.promise,
    release: () => {
      released.push(String(n));
      return new Promise<boolean | undefined>((resolve) => endings.set(String(n), resolve));
    },
  }));
  const shutdown = new AbortController();
  const done = runFlow(runs, {
    flow,
    totalRuns: count,
    failuresBefore: options.failuresBefore ?? 0,
    signal: shutdown.signal,
    drop: async (run) => {
      if (released.includes(run.id) && !endings.has(run.id)) return;
      dropped.add(run.id);
    },
  });
  const end = async (id: number, succeeded = true): Promise<void> => {
    endings.get(String(id))?.(succeeded);
    await settle(3);
  };
  const arrive = async (id: number): Promise<void> => {
    arrivals.get(String(id))?.resolve();
    await settle(3);
  };
  /** The node goes away before the run has begun. */
  const leave = async (id: number): Promise<void> => {
    arrivals.set(String(id), Promise.withResolvers<void>());
    endings.get(String(id))?.(undefined);
    await settle(3);
  };
  return { released, dropped, end, arrive, leave, done, shutdown };
}

test('tolerated failures: a number, a percentage of all runs rounded down, or all', () => {
  assert.equal(maxFailures('10', 3), 10);
  assert.equal(maxFailures('0', 3), 0);
  assert.equal(maxFailures('5%', 100), 5);
  assert.equal(maxFailures('5%', 39), 1);
  assert.equal(maxFailures('5%', 19), 0);
  assert.equal(maxFailures('100%', 7), 7);
  assert.equal(maxFailures(undefined, 7), Number.POSITIVE_INFINITY);
});

test('fanout: never more than so many at once, in order, the next as soon as one ends', async () => {
  const flow = scripted(5, { fanout: 2 });
  await settle(3);
  assert.deepEqual(flow.released, ['0', '1']);
  await flow.end(1);
  assert.deepEqual(flow.released, ['0', '1', '2']);
  for (const id of [0, 2, 3, 4]) await flow.end(id);
  await within(flow.done, 'the flow');
  assert.deepEqual(flow.released, ['0', '1', '2', '3', '4']);
});

test('ramp: a batch begins when the one before has ended as a whole', async () => {
  const flow = scripted(7, { ramp: true });
  await settle(3);
  assert.deepEqual(flow.released, ['0']);
  await flow.end(0);
  assert.deepEqual(flow.released, ['0', '1', '2']);
  await flow.end(2);
  assert.equal(flow.released.length, 3);
  await flow.end(1);
  assert.equal(flow.released.length, 7);
  for (const id of [3, 4, 5, 6]) await flow.end(id);
  await within(flow.done, 'the flow');
});

test('absent nodes take no place, and come in when they are there', async () => {
  const flow = scripted(4, { fanout: 1 }, { absent: [0, 2] });
  await settle(3);
  assert.deepEqual(flow.released, ['1']);
  await flow.arrive(2);
  await flow.end(1);
  assert.deepEqual(flow.released, ['1', '3']);
  await flow.leave(3);
  assert.deepEqual(flow.released, ['1', '3', '2']);
  await flow.arrive(3);
  await flow.end(2);
  await flow.arrive(0);
  for (const id of [3, 0]) await flow.end(id);
  await within(flow.done, 'the flow');
  assert.deepEqual(flow.released, ['1', '3', '2', '3', '0']);
});

test('ramp: batches are of nodes that are there; the first is never skipped, and one that goes away is made up for', async () => {
  const flow = scripted(6, { ramp: true }, { absent: [0, 3] });
  await settle(3);
  assert.deepEqual(flow.released, ['1']);
  await flow.leave(1);
  assert.deepEqual(flow.released, ['1', '2']);
  await flow.arrive(0);
  assert.deepEqual(flow.released, ['1', '2']);
  await flow.end(2);
  assert.deepEqual(flow.released, ['1', '2', '4', '5']);
  for (const id of [4, 5]) await flow.end(id);
  assert.deepEqual(flow.released.slice(4), ['0']);
  for (const id of [1, 3]) await flow.arrive(id);
  for (const id of [0, 1, 3]) await flow.end(id);
  await within(flow.done, 'the flow');
});

test('max-errors: as many as that are tolerated, one more drops the rest', async () => {
  const flow = scripted(6, { fanout: 1, maxErrors: '1' });
  await settle(3);
  await flow.end(0, false);
  await flow.end(1, true);
  assert.equal(flow.dropped.size, 0);
  await flow.end(2, false);
  await within(flow.done, 'the flow');
  assert.deepEqual(flow.released, ['0', '1', '2']);
  for (const id of ['3', '4', '5']) assert.ok(flow.dropped.has(id));
});

test('failures of a former process count; what had begun there is carried on, whatever the count', async () => {
  const flow = scripted(4, { fanout: 2, maxErrors: '0' }, { failuresBefore: 1, begun: [2] });
  await settle(3);
  assert.deepEqual(flow.released, ['2']);
  await flow.end(2);
  await within(flow.done, 'the flow');
  assert.deepEqual([...flow.dropped].sort(), ['0', '1', '3']);
});

test('ramp after a restart: all that has begun is followed, before anything new begins', async () => {
  const flow = scripted(6, { ramp: true }, { begun: [1, 2, 3] });
  await settle(3);
  assert.deepEqual(flow.released, ['1', '2', '3']);
  for (const id of [1, 2, 3]) await flow.end(id);
  assert.deepEqual(flow.released, ['1', '2', '3', '0']);
  flow.shutdown.abort();
});

test('a shutdown is no failure: nothing is dropped, nothing more is released', async () => {
  const flow = scripted(4, { fanout: 2, maxErrors: '0' });
  await settle(3);
  flow.shutdown.abort();
  await flow.end(0, false);
  await flow.end(1, false);
  await within(flow.done, 'the flow');
  assert.deepEqual(flow.released, ['0', '1']);
  assert.equal(flow.dropped.size, 0);
});

test('a restart in the middle of a staged broadcast cancels nothing, and goes on with it', async (t) => {
  const fleet = new TestBus(t);
  const names = ['a', 'b', 'c', 'd'];
  for (const name of names) {
    const node = await fleet.addNode(name);
    await node.connect();
  }
  const job = await fleet.submit(names, { flow: { fanout: 1, maxErrors: '0' } });
  await fleet.untilState(job, 'delivered', 0);
  await fleet.restart();
  assert.deepEqual(fleet.states(job), ['delivered', 'queued', 'queued', 'queued']);
  for (const node of fleet.nodes.values()) await node.connect();
  for (const [index, node] of [...fleet.nodes.values()].entries()) {
    await fleet.untilState(job, 'delivered', index);
    node.end(`${job}.${index}`);
  }
  assert.deepEqual(await fleet.untilEnded(job), ['exited', 'exited', 'exited', 'exited']);
});

test('too many errors also cancel what was released and waits for its node', async (t) => {
  const fleet = new TestBus(t);
  const bad = await fleet.addNode('bad');
  await fleet.addNode('away');
  await bad.connect();
  const job = await fleet.submit(['bad', 'away'], { flow: { maxErrors: '0' }, expiresMs: 3_600_000 });
  await fleet.untilState(job, 'delivered', 0);
  bad.end(`${job}.0`, { exitCode: 1 });
  await fleet.untilState(job, 'canceled', 1);
  assert.equal(fleet.run(job, 1).reason, 'max_errors');
});
