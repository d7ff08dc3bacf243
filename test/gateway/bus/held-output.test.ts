import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settle, until } from '../../support/deadline.ts';
import { exitedFrame, startedFrame, stdoutFrame } from './fake-node.ts';
import { TestBus } from './harness.ts';

const FACTS = { hostname: 'h', os: 'linux', osRelease: '1', arch: 'x64', version: '1', capabilities: [] };

test('held output takes no place of the node, of the agent or of the gateway, but keeps its lane', async (t) => {
  const fleet = new TestBus(t, { concurrency: 2, maxRunsInFlight: 2 });
  const node = await fleet.addNode('a');
  await fleet.store.write(() => fleet.store.nodes.setFacts(node.id, { ...FACTS, agentLimits: { coder: 1 } }));
  await node.connect();
  const prompt = { kind: 'agent', agent: 'coder' } as const;
  const held = [await fleet.submit(['a'], { lane: 'deploy' }), await fleet.submit(['a'], prompt)];
  const waiting = [await fleet.submit(['a']), await fleet.submit(['a'], prompt)];
  const sameLane = await fleet.submit(['a'], { lane: 'deploy' });
  for (const job of held) {
    await fleet.untilState(job, 'delivered');
    node.write(`${job}.0`, startedFrame(), exitedFrame());
  }
  for (const job of waiting) await fleet.untilState(job, 'delivered');
  assert.deepEqual(fleet.states(sameLane), ['queued']);
  for (const job of waiting) node.end(`${job}.0`);
  for (const job of waiting) await fleet.untilState(job, 'exited');
  assert.deepEqual(fleet.states(sameLane), ['queued']);
  for (const job of held) {
    node.write(`${job}.0`, stdoutFrame('late\n'));
    node.end(`${job}.0`, { stdoutBytes: 5 });
    await fleet.untilState(job, 'exited');
  }
  await fleet.untilState(sameLane, 'delivered');
});

test('the same after a restart of the gateway', async (t) => {
  const fleet = new TestBus(t, { concurrency: 1, maxRunsInFlight: 1 });
  const node = await fleet.addNode('a');
  await node.connect();
  const held = [];
  for (let n = 0; n < 3; n += 1) {
    const job = await fleet.submit(['a']);
    await fleet.untilState(job, 'delivered');
    node.write(`${job}.0`, startedFrame(), exitedFrame());
    await fleet.untilState(job, 'running');
    held.push(job);
  }
  await fleet.restart();
  await node.connect();
  const job = await fleet.submit(['a']);
  await fleet.untilState(job, 'delivered');
  for (const each of held) {
    node.end(`${each}.0`);
    await fleet.untilState(each, 'exited');
  }
});

test('followers hear of it where it happened', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  const job = await fleet.submit(['a']);
  await fleet.untilState(job, 'delivered');
  const followed = fleet.follow(job);
  node.write(`${job}.0`, startedFrame(), stdoutFrame('before\n'), exitedFrame(3), stdoutFrame('after\n'));
  await settle();
  node.end(`${job}.0`, { exitCode: 3, stdoutBytes: 13 });
  const events = (await followed).flatMap((event) => ('next' in event ? [event] : []));
  assert.deepEqual(
    events.map(({ type }) => type),
    ['stdout', 'exited', 'stdout', 'end'],
  );
  const [, exited] = events;
  assert.deepEqual(exited?.type === 'exited' && [exited.exitCode, exited.holders], [3, [{ pid: 4711, name: 'sleep' }]]);
});

test('the next run starts only once it is stored that the command has exited', async (t) => {
  const fleet = new TestBus(t, { concurrency: 1 });
  const node = await fleet.addNode('a');
  await node.connect();
  const held = await fleet.submit(['a']);
  await fleet.untilState(held, 'delivered');
  const next = await fleet.submit(['a']);
  const writeSoon = fleet.store.writeSoon.bind(fleet.store);
  let refusals = 0;
  fleet.store.writeSoon = ((work: () => unknown) =>
    writeSoon(() => {
      work();
      refusals += 1;
      throw new Error('the disk is full');
    })) as typeof fleet.store.writeSoon;
  node.write(`${held}.0`, startedFrame(), exitedFrame());
  await until(() => refusals > 0, 'the refused write');
  await settle();
  assert.equal(node.runs.has(`${next}.0`), false);
  fleet.store.writeSoon = writeSoon;
  await fleet.untilState(next, 'delivered');
  for (const job of [held, next]) {
    node.end(`${job}.0`);
    await fleet.untilState(job, 'exited');
  }
});
