import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settle } from '../../support/deadline.ts';
import { TestBus } from './harness.ts';

async function fleetOf(fleet: TestBus, ...names: string[]) {
  const nodes = [];
  for (const name of names) {
    const node = await fleet.addNode(name);
    await node.connect();
    nodes.push(node);
  }
  return nodes;
}

test('nodes that went dark in the middle of a run take no place from others, and take one again when they are back', async (t) => {
  const fleet = new TestBus(t, { maxRunsInFlight: 2 });
  const [a, b, c] = await fleetOf(fleet, 'a', 'b', 'c');
  const dark = [await fleet.submit(['a']), await fleet.submit(['b'])];
  for (const job of dark) await fleet.untilState(job, 'delivered');
  a?.cut();
  b?.cut();
  const [first = '', second = ''] = [await fleet.submit(['c']), await fleet.submit(['c'])];
  for (const job of [first, second]) await fleet.untilState(job, 'delivered');
  // Both places are taken by work in progress now: who is back waits for one, and is not forgotten.
  await a?.connect();
  a?.end(`${dark[0]}.0`);
  await settle();
  assert.deepEqual(fleet.states(dark[0] ?? ''), ['delivered']);
  c?.end(`${first}.0`);
  await fleet.untilState(dark[0] ?? '', 'exited');
  await b?.connect();
  b?.end(`${dark[1]}.0`);
  await fleet.untilState(dark[1] ?? '', 'exited');
  c?.end(`${second}.0`);
  await fleet.untilState(second, 'exited');
});

test('the same after a restart of the gateway, and for nodes that never come back', async (t) => {
  const fleet = new TestBus(t, { maxRunsInFlight: 1 });
  const [a] = await fleetOf(fleet, 'a', 'b');
  const lost = await fleet.submit(['a']);
  await fleet.untilState(lost, 'delivered');
  await fleet.restart();
  const here = fleet.nodes.get('b');
  await here?.connect();
  const job = await fleet.submit(['b']);
  await fleet.untilState(job, 'delivered');
  here?.end(`${job}.0`);
  await fleet.untilState(job, 'exited');
  await a?.connect();
  a?.end(`${lost}.0`);
  await fleet.untilState(lost, 'exited');
});

test('a lane of an absent node stays held, and its order is kept', async (t) => {
  const fleet = new TestBus(t, { maxRunsInFlight: 1 });
  const [a, b] = await fleetOf(fleet, 'a', 'b');
  const jobs = [];
  for (let n = 0; n < 3; n += 1) jobs.push(await fleet.submit(['a'], { lane: 'deploy', expiresMs: 3_600_000 }));
  const [first = '', second = '', third = ''] = jobs;
  await fleet.untilState(first, 'delivered');
  a?.cut();
  const other = await fleet.submit(['b'], { lane: 'deploy' });
  await fleet.untilState(other, 'delivered');
  b?.end(`${other}.0`);
  await fleet.untilState(other, 'exited');
  await a?.connect();
  await settle();
  assert.deepEqual([fleet.states(second), fleet.states(third)], [['queued'], ['queued']]);
  for (const job of jobs) {
    await fleet.untilState(job, 'delivered');
    a?.end(`${job}.0`);
  }
  assert.deepEqual(
    a?.started,
    jobs.map((job) => `${job}.0`),
  );
});

test('all nodes back at once: never more in flight than allowed, and everybody gets a turn', async (t) => {
  const fleet = new TestBus(t, { maxRunsInFlight: 3 });
  const names = [...Array(12)].map((_, n) => `n${n}`);
  const nodes = await fleetOf(fleet, ...names);
  const jobs = [];
  for (const [n, name] of names.entries()) {
    const job = await fleet.submit([name]);
    await fleet.untilState(job, 'delivered');
    jobs.push(job);
    nodes[n]?.cut();
    await settle(3);
  }
  let open = 0;
  let most = 0;
  for (const node of nodes) {
    node.script = (route, _run, _request, response) => {
      if (route !== 'log') return false;
      open += 1;
      most = Math.max(most, open);
      response.once('close', () => {
        open -= 1;
      });
      return false;
    };
  }
  for (const node of nodes) await node.connect();
  for (const [n, job] of jobs.entries()) nodes[n]?.end(`${job}.0`);
  for (const job of jobs) await fleet.untilState(job, 'exited');
  assert.ok(most <= 3, `${most} at once`);
});

test('a fan-out and a ramp go on without absent nodes, which join in later; errors that are too many end their wait', async (t) => {
  const fleet = new TestBus(t);
  const away = await fleet.addNode('away');
  const [here, there] = await fleetOf(fleet, 'here', 'there');
  for (const flow of [{ fanout: 1 }, { ramp: true }]) {
    const job = await fleet.submit(['away', 'here', 'there'], { flow, expiresMs: 3_600_000 });
    for (const [index, node] of [here, there].entries()) {
      await fleet.untilState(job, 'delivered', index + 1);
      node?.end(`${job}.${index + 1}`);
      await fleet.untilState(job, 'exited', index + 1);
    }
    assert.equal(fleet.run(job).state, 'queued');
    await away.connect();
    await fleet.untilState(job, 'delivered');
    away.end(`${job}.0`);
    await fleet.untilState(job, 'exited');
    away.cut();
    await settle();
  }
  const job = await fleet.submit(['away', 'here'], { flow: { fanout: 1, maxErrors: '0' }, expiresMs: 3_600_000 });
  await fleet.untilState(job, 'delivered', 1);
  here?.end(`${job}.1`, { exitCode: 1 });
  await fleet.untilState(job, 'canceled');
});

test('a node that goes away while a run of a fan-out waits in its queue gives the place to another', async (t) => {
  const fleet = new TestBus(t, { concurrency: 1 });
  const [busy, free] = await fleetOf(fleet, 'busy', 'free');
  const first = await fleet.submit(['busy']);
  await fleet.untilState(first, 'delivered');
  const job = await fleet.submit(['busy', 'free'], { flow: { fanout: 1 }, expiresMs: 3_600_000 });
  await settle();
  assert.deepEqual(fleet.states(job), ['queued', 'queued']);
  busy?.cut();
  await fleet.untilState(job, 'delivered', 1);
  free?.end(`${job}.1`);
  await busy?.connect();
  busy?.end(`${first}.0`);
  await fleet.untilState(job, 'delivered');
});

test('runs that end in the queue of an absent node are forgotten, and so are the queues of nodes that were removed', async (t) => {
  const fleet = new TestBus(t);
  await fleet.addNode('away');
  const [gone] = await fleetOf(fleet, 'gone');
  for (let n = 0; n < 20; n += 1) await fleet.submit(['away'], { lane: `l${n}`, expiresMs: 1_000 });
  const begun = await fleet.submit(['gone']);
  await fleet.untilState(begun, 'delivered');
  gone?.cut();
  await fleet.bus.abandon('id-gone', 'node_removed: gone');
  await fleet.clock.advance(2_000);
  await settle();
  assert.deepEqual(fleet.store.runs.open(), []);
  assert.deepEqual(fleet.bus.counts, { queues: 0, runs: 0 });
});
