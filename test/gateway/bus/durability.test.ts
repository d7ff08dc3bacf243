import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { settle, until } from '../../support/deadline.ts';
import { startedFrame, stdoutFrame } from './fake-node.ts';
import { TestBus } from './harness.ts';

test('a run whose turn is now waits for the disk twice: for its acceptance, and for its end', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  node.endsAtOnce = true;
  await node.connect();
  const write = fleet.store.write.bind(fleet.store);
  let durableWrites = 0;
  fleet.store.write = ((work: () => unknown) => {
    durableWrites += 1;
    return write(work);
  }) as typeof fleet.store.write;
  const job = await fleet.submit(['a']);
  assert.notEqual(fleet.run(job).handedOverAt, null);
  assert.equal(fleet.run(job).journal, 'journal-1');
  await fleet.untilState(job, 'exited');
  assert.equal(durableWrites, 2);
  assert.equal(node.count('log'), 0, 'the log came with the hand-over');
});

test('whatever has to wait is not noted as handed over', async (t) => {
  const fleet = new TestBus(t, { concurrency: 1 });
  const node = await fleet.addNode('a');
  await fleet.addNode('away');
  await node.connect();
  const first = await fleet.submit(['a']);
  const [second, others] = await Promise.all([
    fleet.submit(['a']),
    Promise.all([fleet.submit(['away'], { expiresMs: 1000 }), fleet.submit(['a'], { lane: 'x' })]),
  ]);
  assert.notEqual(fleet.run(first).handedOverAt, null);
  for (const job of [second, ...others]) assert.equal(fleet.run(job).handedOverAt, null);
});

test('of many submissions in one tick, the first have their turn, and the others follow in order', async (t) => {
  const fleet = new TestBus(t, { concurrency: 2 });
  const node = await fleet.addNode('a');
  await node.connect();
  const jobs = await Promise.all(
    Array.from({ length: 6 }, (_, n) => fleet.submit(['a'], n === 3 ? { lane: 'x' } : {})),
  );
  assert.deepEqual(
    jobs.map((job) => fleet.run(job).handedOverAt !== null),
    [true, true, false, false, false, false],
  );
  for (const [n, job] of jobs.entries()) {
    await until(() => node.runs.has(`${job}.0`), `hand-over ${n}`);
    node.end(`${job}.0`);
  }
  assert.deepEqual(
    node.started,
    jobs.map((job) => `${job}.0`),
  );
});

test('a submission that could not be stored leaves nothing behind: not its job, not its place', async (t) => {
  const fleet = new TestBus(t, { concurrency: 1 });
  const node = await fleet.addNode('a');
  node.endsAtOnce = true;
  await node.connect();
  const write = fleet.store.write.bind(fleet.store);
  fleet.store.write = ((work: () => unknown) =>
    write(() => {
      work();
      throw new Error('the disk is full');
    })) as typeof fleet.store.write;
  for (const request of [{}, {}, { flow: { fanout: 1 } }, { lane: 'x' }])
    await assert.rejects(fleet.submit(['a'], request));
  fleet.store.write = write;
  const job = await fleet.submit(['a'], { lane: 'x' });
  await fleet.untilState(job, 'exited');
  assert.deepEqual(node.started, [`${job}.0`]);
  assert.equal(fleet.store.jobs.list({ since: 0, limit: 10 }).length, 1);
  assert.deepEqual(fleet.errors, []);
});

test('a node that goes away before the hand-over was sent: a cancel is certain that it never got it', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  const job = await fleet.submitAndCut(node, ['a']);
  assert.notEqual(fleet.run(job).handedOverAt, null);
  await fleet.cancel(job, 'by me');
  await node.connect();
  const run = await fleet.untilState(job, 'canceled');
  assert.equal(run.reason, 'by me');
  assert.deepEqual(
    node.requests.filter((request) => request.includes(job)),
    [],
  );
  assert.equal(node.count('accept'), 0);
});

test('a node that comes back with another journal before anything was sent gets the run all the same', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  node.endsAtOnce = true;
  await node.connect();
  const write = fleet.store.write.bind(fleet.store);
  fleet.store.write = (async (work: () => unknown) => {
    const stored = await write(work);
    fleet.store.write = write;
    node.journal = 'journal-2';
    await node.connect();
    return stored;
  }) as typeof fleet.store.write;
  const job = await fleet.submit(['a']);
  const run = await fleet.untilState(job, 'exited');
  assert.equal(run.journal, 'journal-2');
  assert.equal(node.count('accept'), 1);
});

test('a full disk while the hand-over is answered loses nothing of the log that comes with it', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  const write = fleet.store.writeSoon.bind(fleet.store);
  let failures = 2;
  fleet.store.writeSoon = ((work: () => unknown) => {
    if (failures === 0) return write(work);
    failures -= 1;
    return write(() => {
      work();
      throw new Error('the disk is full');
    });
  }) as typeof fleet.store.writeSoon;
  node.script = async (route, run) => {
    if (route === 'accept' && !node.runs.has(run)) {
      node.accept(run, {} as never);
      node.write(run, startedFrame(), stdoutFrame('all of it'));
      node.end(run, { stdoutBytes: 9 });
    }
    return false;
  };
  const job = await fleet.submit(['a']);
  const run = await fleet.untilState(job, 'exited');
  assert.equal(failures, 0);
  assert.equal(run.logBytes, node.runs.get(`${job}.0`)?.log.length);
  assert.deepEqual(node.started, [`${job}.0`]);
});

test('a node may not drop what the disk of the gateway has not kept', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  node.endsAtOnce = true;
  await node.connect();
  const sync = fleet.store.sync.bind(fleet.store);
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let syncs = 0;
  fleet.store.sync = async () => {
    syncs += 1;
    await gates[syncs - 1]?.promise;
    await sync();
  };
  const turn = async (): Promise<void> => {
    await fleet.clock.advance(200);
    await settle();
  };
  await fleet.untilState(await fleet.submit(['a']), 'exited');
  await until(async () => {
    await turn();
    return syncs === 1;
  }, 'the sync');
  await turn();
  assert.equal(node.count('acknowledge'), 0);
  gates[0]?.reject(new Error('the disk is broken'));
  await turn();
  assert.equal(node.count('acknowledge'), 0);
  const jobs = [await fleet.submit(['a']), await fleet.submit(['a'])];
  for (const job of jobs) await fleet.untilState(job, 'exited');
  gates[1]?.resolve();
  await until(async () => {
    await turn();
    return node.count('acknowledge') >= jobs.length;
  }, 'the acknowledgements');
  for (const job of jobs) assert.equal(node.count('acknowledge', `${job}.0`), 1);
});

test('the power of the gateway goes at any moment: what was accepted runs once, and ends as its node says', async (t) => {
  const moment = fc.record({ rounds: fc.nat({ max: 14 }), acknowledged: fc.boolean(), endsAtOnce: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(moment, { minLength: 1, maxLength: 3 }), async (moments) => {
      const fleet = new TestBus(t, { powerCuts: true });
      const node = await fleet.addNode('a');
      node.forgetsAcknowledged = true;
      const jobs: string[] = [];
      for (const { rounds, acknowledged, endsAtOnce } of moments) {
        node.endsAtOnce = endsAtOnce;
        await node.connect();
        jobs.push(await fleet.submit(['a']));
        await settle(rounds);
        if (acknowledged) await fleet.clock.advance(60);
        await settle(rounds);
        await fleet.powerCut();
      }
      node.endsAtOnce = true;
      await node.connect();
      for (const job of jobs) {
        await until(
          async () => {
            await fleet.clock.advance(200);
            if (node.runs.get(`${job}.0`)?.outcome === null) node.end(`${job}.0`);
            return fleet.run(job).state === 'exited';
          },
          `the end of ${job} (${fleet.run(job).state}, ${fleet.run(job).reason})`,
        );
      }
      assert.deepEqual(node.started.toSorted(), jobs.map((job) => `${job}.0`).toSorted());
      await fleet.stop();
    }),
    { numRuns: 15 },
  );
});
