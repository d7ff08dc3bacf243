import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NodeQueue } from '../../../src/gateway/bus/node-queue.ts';
import { settle } from '../../support/deadline.ts';
import { TestBus } from './harness.ts';
import { queueRun } from './queue-run.ts';

test('lanes never overlap and keep their order; never more at once than allowed, nor of an agent; all end', async () => {
  const lane = fc.option(fc.constantFrom('x', 'y'), { nil: undefined });
  const agent = fc.option(fc.constant('coder'), { nil: undefined });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ lane, agent }), { maxLength: 12 }),
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.nat(20)),
      async (places, concurrency, choices) => {
        const queue = new NodeQueue(concurrency, () => 2);
        queue.resume();
        const running = new Map<number, () => void>();
        const started: number[] = [];
        const lanes = places.map((place) => place.lane);
        const ended: Promise<void>[] = places.map((place, index) =>
          queueRun(queue, place, () => {
            started.push(index);
            return new Promise((resolve) => running.set(index, resolve));
          }),
        );
        for (let step = 0; step < 100; step += 1) {
          await settle(2);
          assert.ok(running.size <= concurrency);
          for (const name of ['x', 'y']) {
            assert.ok([...running.keys()].filter((index) => lanes[index] === name).length <= 1, `two of lane ${name}`);
          }
          const indexes = [...running.keys()];
          assert.ok(indexes.filter((index) => places[index]?.agent !== undefined).length <= 2, 'three prompts');
          const next = indexes[(choices[step] ?? 0) % Math.max(1, indexes.length)];
          if (next === undefined) break;
          running.get(next)?.();
          running.delete(next);
        }
        await Promise.all(ended);
        for (const name of [undefined, 'x', 'y']) {
          // Without a lane, a prompt may be overtaken: it waits for others of its agent.
          const order = started.filter(
            (index) => lanes[index] === name && (name !== undefined || places[index]?.agent === undefined),
          );
          assert.deepEqual(
            order,
            order.toSorted((a, b) => a - b),
            `order of ${name}`,
          );
        }
        assert.equal(queue.isIdle, true);
      },
    ),
    { numRuns: 60 },
  );
});

test('begins paused; a pause stops what has not begun, not what has', async () => {
  const queue = new NodeQueue(1);
  const started: number[] = [];
  const endings: (() => void)[] = [];
  const add = (n: number): void => {
    void queueRun(queue, {}, () => {
      started.push(n);
      return new Promise((resolve) => endings.push(resolve));
    });
  };
  add(1);
  add(2);
  await settle(2);
  assert.deepEqual(started, []);
  queue.resume();
  await settle(2);
  queue.pause();
  endings[0]?.();
  await settle(2);
  assert.deepEqual(started, [1]);
  queue.resume();
  await settle(2);
  assert.deepEqual(started, [1, 2]);
});

test('a lane belongs to one node, and holds across jobs', async (t) => {
  const fleet = new TestBus(t);
  const a = await fleet.addNode('a');
  const b = await fleet.addNode('b');
  await a.connect();
  await b.connect();
  const first = await fleet.submit(['a', 'b'], { lane: 'deploy' });
  const second = await fleet.submit(['a', 'b'], { lane: 'deploy' });
  const free = await fleet.submit(['a']);
  await fleet.untilState(first, 'delivered', 0);
  await fleet.untilState(first, 'delivered', 1);
  await fleet.untilState(free, 'delivered');
  assert.deepEqual(fleet.states(second), ['queued', 'queued']);
  b.end(`${first}.1`);
  await fleet.untilState(second, 'delivered', 1);
  assert.equal(fleet.run(second, 0).state, 'queued');
  a.end(`${first}.0`);
  await fleet.untilState(second, 'delivered', 0);
});

test('no more runs at once on a node than allowed, in the order of acceptance', async (t) => {
  const fleet = new TestBus(t, { concurrency: 2 });
  const node = await fleet.addNode('a');
  await node.connect();
  const jobs: string[] = [];
  for (let n = 0; n < 5; n += 1) jobs.push(await fleet.submit(['a']));
  for (const job of jobs) {
    await fleet.untilState(job, 'delivered');
    assert.ok([...node.runs.values()].filter(({ outcome }) => outcome === null).length <= 2);
    node.end(`${job}.0`);
    await fleet.untilState(job, 'exited');
  }
  assert.deepEqual(
    node.requests.filter((entry) => entry.startsWith('accept')),
    jobs.map((job) => `accept ${job}.0`),
  );
});

const FACTS = { hostname: 'h', os: 'linux', osRelease: '1', arch: 'x64', version: '1', capabilities: [] };

test('prompts that wait for their agent take no place from others, and its limit may change', async (t) => {
  const fleet = new TestBus(t, { concurrency: 2 });
  const node = await fleet.addNode('a');
  const limit = (coder: number) =>
    fleet.store.write(() => fleet.store.nodes.setFacts(node.id, { ...FACTS, agentLimits: { coder } }));
  await limit(1);
  await node.connect();
  const prompts: string[] = [];
  for (let n = 0; n < 3; n += 1) prompts.push(await fleet.submit(['a'], { kind: 'agent', agent: 'coder' }));
  const [first = '', second = '', third = ''] = prompts;
  await fleet.untilState(first, 'delivered');
  const shell = await fleet.submit(['a']);
  await fleet.untilState(shell, 'delivered');
  assert.deepEqual(fleet.states(second), ['queued']);
  node.end(`${shell}.0`);
  await fleet.untilState(shell, 'exited');
  await limit(2);
  const fourth = await fleet.submit(['a'], { kind: 'agent', agent: 'coder' });
  await fleet.untilState(second, 'delivered');
  assert.deepEqual([fleet.states(third), fleet.states(fourth)], [['queued'], ['queued']]);
  for (const job of [first, second, third, fourth]) {
    await fleet.untilState(job, 'delivered');
    node.end(`${job}.0`);
    await fleet.untilState(job, 'exited');
  }
});

test('a node that comes back with a higher limit, or with none, gets the prompts that wait', async (t) => {
  const fleet = new TestBus(t, { concurrency: 8 });
  const node = await fleet.addNode('a');
  const comeBack = async (agentLimits?: Record<string, number>): Promise<void> => {
    node.cut();
    await fleet.store.write(() => fleet.store.nodes.setFacts(node.id, { ...FACTS, agentLimits }));
    await node.connect();
  };
  await comeBack({ coder: 1 });
  const jobs: string[] = [];
  for (let n = 0; n < 4; n += 1) jobs.push(await fleet.submit(['a'], { kind: 'agent', agent: 'coder' }));
  const [first = '', second = '', third = '', fourth = ''] = jobs;
  await fleet.untilState(first, 'delivered');
  await comeBack({ coder: 2 });
  await fleet.untilState(second, 'delivered');
  assert.deepEqual([fleet.states(third), fleet.states(fourth)], [['queued'], ['queued']]);
  await comeBack();
  await fleet.untilState(third, 'delivered');
  await fleet.untilState(fourth, 'delivered');
});

test('a prompt that its lane held back goes by the limit of now, not by that of its submission', async (t) => {
  const fleet = new TestBus(t, { concurrency: 8 });
  const node = await fleet.addNode('a');
  const limit = (coder: number) =>
    fleet.store.write(() => fleet.store.nodes.setFacts(node.id, { ...FACTS, agentLimits: { coder } }));
  const prompt = (lane?: string) => fleet.submit(['a'], { kind: 'agent', agent: 'coder', lane });
  await limit(1);
  await node.connect();
  const first = await prompt('x');
  const held = await prompt('x');
  await fleet.untilState(first, 'delivered');
  node.cut();
  await limit(3);
  await node.connect();
  const others = [await prompt(), await prompt()];
  for (const job of others) await fleet.untilState(job, 'delivered');
  node.end(`${first}.0`);
  await fleet.untilState(held, 'delivered');
  for (const job of others) assert.deepEqual(fleet.states(job), ['delivered']);
});

test('prompts that have begun are all carried after a restart, however many those are, and count', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  const facts = (coder: number) => ({ ...FACTS, agentLimits: { coder } });
  const prompt = () => fleet.submit(['a'], { kind: 'agent', agent: 'coder' });
  await fleet.store.write(() => fleet.store.nodes.setFacts(node.id, facts(2)));
  await node.connect();
  const [first, second] = [await prompt(), await prompt()];
  for (const job of [first, second]) await fleet.untilState(job, 'delivered');
  await fleet.restart((store) => store.nodes.setFacts(node.id, facts(1)));
  await node.connect();
  const third = await prompt();
  await fleet.cancel(second);
  await fleet.untilState(second, 'canceled');
  assert.deepEqual([fleet.states(first), fleet.states(third)], [['delivered'], ['queued']]);
  node.end(`${first}.0`);
  await fleet.untilState(first, 'exited');
  await fleet.untilState(third, 'delivered');
});

test('an agent may have the name of what every object has', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await fleet.store.write(() => fleet.store.nodes.setFacts(node.id, { ...FACTS, agentLimits: { coder: 1 } }));
  await node.connect();
  const job = await fleet.submit(['a'], { kind: 'agent', agent: 'constructor' });
  await fleet.untilState(job, 'delivered');
  assert.deepEqual(fleet.errors, []);
});
