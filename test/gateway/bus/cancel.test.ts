import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settle, until, within } from '../../support/deadline.ts';
import { TestBus } from './harness.ts';

test('while it waits for its turn: it ends at once, and never reaches the node', async (t) => {
  const fleet = new TestBus(t, { concurrency: 1 });
  const node = await fleet.addNode('a');
  await node.connect();
  const first = await fleet.submit(['a']);
  await fleet.untilState(first, 'delivered');
  const job = await fleet.submit(['a']);
  const following = fleet.follow(job);
  await fleet.cancel(job, 'by me');
  const run = fleet.run(job);
  assert.deepEqual([run.state, run.reason], ['canceled', 'by me']);
  await within(following, 'the follower');
  node.end(`${first}.0`);
  const next = await fleet.submit(['a']);
  await fleet.untilState(next, 'delivered');
  assert.equal(node.count('accept', `${job}.0`), 0);
});

test('while its node is away: it ends at once, and the node never gets it', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  node.cut();
  await settle();
  const job = await fleet.submit(['a'], { expiresMs: 60_000 });
  await fleet.cancel(job);
  assert.equal(fleet.run(job).state, 'canceled');
  node.endsAtOnce = true;
  await node.connect();
  await fleet.untilState(await fleet.submit(['a']), 'exited');
  assert.equal(node.count('accept'), 1);
});

test('in the very tick of the hand-over: either the node never gets it, or it is asked to end it', async (t) => {
  for (let ticks = 0; ticks < 12; ticks += 1) {
    const fleet = new TestBus(t);
    const node = await fleet.addNode('a');
    await node.connect();
    const job = await fleet.submit(['a']);
    for (let n = 0; n < ticks; n += 1)
      await (n % 3 === 2 ? new Promise((resolve) => setImmediate(resolve)) : undefined);
    await fleet.cancel(job);
    await fleet.untilState(job, 'canceled');
    await settle();
    const had = node.runs.get(`${job}.0`);
    assert.equal(
      had === undefined || had.outcome?.state === 'canceled',
      true,
      `after ${ticks} ticks the node still runs it`,
    );
    assert.deepEqual(fleet.errors, []);
  }
});

test('a cancel and a hand-over in one group of writes: the node never gets what the store calls canceled', async (t) => {
  const fleet = new TestBus(t, { concurrency: 1 });
  const node = await fleet.addNode('a');
  await node.connect();
  const first = await fleet.submit(['a']);
  await fleet.untilState(first, 'delivered');
  let canceling: Promise<void> | undefined;
  const write = fleet.store.write.bind(fleet.store);
  // The cancel is asked between the moment at which the hand-over wants to be noted and the one at which it is.
  fleet.store.write = ((work: () => unknown) => {
    const job = fleet.store.jobs.list({ since: 0, limit: 1 })[0];
    if (job !== undefined && canceling === undefined && String(work).includes('noteHandOver')) {
      const noted = write(work);
      canceling = fleet.cancel(job.id);
      return noted;
    }
    return write(work);
  }) as typeof fleet.store.write;
  const job = await fleet.submit(['a']);
  node.end(`${first}.0`);
  await until(() => canceling !== undefined, 'the hand-over');
  await within(canceling ?? Promise.resolve(), 'the cancel');
  await fleet.untilState(job, 'canceled');
  const had = node.runs.get(`${job}.0`);
  assert.equal(had === undefined || had.outcome?.state === 'canceled', true);
});

test('while the answer to the hand-over is awaited: the node ends it as soon as it has it', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  const open = Promise.withResolvers<void>();
  node.script = async (route) => {
    if (route === 'accept') await open.promise;
    return false;
  };
  const job = await fleet.submit(['a']);
  await until(() => node.count('accept') === 1, 'the hand-over');
  await fleet.cancel(job);
  await until(() => node.count('cancel') === 1, 'the first cancel, of which the node knows nothing yet');
  assert.equal(fleet.run(job).state, 'queued');
  open.resolve();
  await fleet.untilState(job, 'canceled');
  assert.equal(node.count('cancel'), 2);
});

test('after a hand-over that was lost: the node is asked first, and what it never got is not started any more', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  node.loseHandOvers();
  const job = await fleet.submit(['a']);
  await until(() => node.count('accept') === 1, 'the hand-over');
  node.cut();
  await settle();
  const handOvers = node.count('accept');
  await fleet.cancel(job, 'too late');
  assert.equal(fleet.run(job).state, 'queued', 'nobody can know yet');
  node.script = undefined;
  await node.connect();
  const run = await fleet.untilState(job, 'canceled');
  assert.equal(run.reason, 'too late');
  assert.equal(node.count('accept'), handOvers);
});

test('after a hand-over that arrived, while the node is away: it is ended when the node is back', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  const job = await fleet.submit(['a']);
  await fleet.untilState(job, 'delivered');
  node.cut();
  await settle();
  await fleet.cancel(job);
  assert.equal(fleet.run(job).state, 'delivered');
  await node.connect();
  const run = await fleet.untilState(job, 'canceled');
  assert.match(run.reason ?? '', /on request/);
});

test('after the end: nothing changes', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  node.endsAtOnce = true;
  await node.connect();
  const job = await fleet.submit(['a']);
  await fleet.untilState(job, 'exited');
  const run = fleet.run(job);
  await fleet.bus.cancel([{ ...run, state: 'running' }], 'stale');
  assert.equal(fleet.run(job).state, 'exited');
});

test('in a lane: the next of the lane begins', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  const jobs = [];
  for (let n = 0; n < 3; n += 1) jobs.push(await fleet.submit(['a'], { lane: 'deploy' }));
  const [first = '', second = '', third = ''] = jobs;
  await fleet.untilState(first, 'delivered');
  await fleet.cancel(second);
  assert.equal(fleet.run(second).state, 'canceled');
  await fleet.cancel(first);
  await fleet.untilState(third, 'delivered');
  assert.equal(node.count('accept', `${second}.0`), 0);
});

test('many at once, in every state, in one step', async (t) => {
  const fleet = new TestBus(t, { concurrency: 1 });
  const node = await fleet.addNode('a');
  await fleet.addNode('away');
  await node.connect();
  const jobs: string[] = [];
  for (let n = 0; n < 20; n += 1) jobs.push(await fleet.submit([n % 2 === 0 ? 'a' : 'away'], { expiresMs: 60_000 }));
  await fleet.untilState(jobs[0] ?? '', 'delivered');
  await fleet.bus.cancel(fleet.store.runs.open(), 'all');
  for (const job of jobs) await fleet.untilState(job, 'canceled');
  assert.equal(node.count('accept'), 1);
});
