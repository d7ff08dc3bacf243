import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Priority } from '../../../src/domain/vocabulary.ts';
import { NodeQueue } from '../../../src/gateway/bus/node-queue.ts';
import { settle } from '../../support/deadline.ts';
import { TestBus } from './harness.ts';
import { queueRun } from './queue-run.ts';

/** The order in which a queue of one starts what waits in it. */
async function startOrder(entries: [name: string, priority?: Priority, lane?: string][]): Promise<string[]> {
  const queue = new NodeQueue(1);
  const started: string[] = [];
  const turns = entries.map(([name, priority, lane]) =>
    queueRun(queue, { lane, priority }, async () => void started.push(name)),
  );
  queue.resume();
  await Promise.all(turns);
  return started;
}

test('the more urgent goes first, equals in the order in which they came', async () => {
  const order = await startOrder([
    ['l1', 'low'],
    ['n1'],
    ['h1', 'high'],
    ['n2', 'normal'],
    ['h2', 'high'],
    ['l2', 'low'],
  ]);
  assert.deepEqual(order, ['h1', 'h2', 'n1', 'n2', 'l1', 'l2']);
});

test('the same within a lane: what has begun to wait for the node keeps its place', async () => {
  const order = await startOrder([
    ['first', 'low', 'x'],
    ['later', 'low', 'x'],
    ['urgent', 'high', 'x'],
  ]);
  assert.deepEqual(order, ['first', 'urgent', 'later']);
});

test('never more runs in flight than the gateway allows, over all nodes together; all end', async (t) => {
  const bus = new TestBus(t, { maxRunsInFlight: 2 });
  const names = ['a', 'b', 'c', 'd', 'e'];
  for (const name of names) await (await bus.addNode(name)).connect();
  const job = await bus.submit(names);
  const begun = (): string[] => names.filter((name) => (bus.nodes.get(name)?.runs.size ?? 0) > 0);
  await settle(20);
  for (let ended = 0; ended < names.length; ended += 1) {
    assert.equal(begun().length, Math.min(names.length, ended + 2));
    bus.nodes.get(names[ended] ?? '')?.end(`${job}.${ended}`);
    await settle(20);
  }
  assert.ok(bus.store.runs.ofJob(job).every(({ state }) => state === 'exited'));
});
