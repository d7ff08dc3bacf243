import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settle, until, within } from '../../support/deadline.ts';
import { startedFrame, stdoutFrame } from './fake-node.ts';
import { TestBus } from './harness.ts';

test('runs in every state are taken up: queued, handed over in doubt, delivered, running', async (t) => {
  const fleet = new TestBus(t, { concurrency: 8 });
  const node = await fleet.addNode('a');
  await node.connect();
  const jobs = [];
  for (let n = 0; n < 3; n += 1) jobs.push(await fleet.submit(['a']));
  const [delivered = '', running = '', ended = ''] = jobs;
  for (const job of jobs) await fleet.untilState(job, 'delivered');
  node.write(`${running}.0`, startedFrame(), stdoutFrame('before'));
  await fleet.untilState(running, 'running');
  await until(() => fleet.run(running).stdoutBytes === 6, 'stored output');
  node.cut();
  node.end(`${ended}.0`, { exitCode: 5 });
  const queued = await fleet.submit(['a'], { expiresMs: 3_600_000 });
  await fleet.restart();
  await node.connect();
  await fleet.untilState(queued, 'delivered');
  assert.equal((await fleet.untilState(ended, 'exited')).exitCode, 5);
  node.write(`${running}.0`, stdoutFrame('after'));
  for (const job of [delivered, running, queued]) {
    node.end(`${job}.0`);
    await fleet.untilState(job, 'exited');
  }
  assert.equal(fleet.run(running).stdoutBytes, 0, 'the end says what was written');
  assert.equal(node.count('accept'), 4, 'each was handed over once');
});

test('a crash between the note of a hand-over and the hand-over: the node decides, and runs it once', async (t) => {
  for (const arrived of [true, false]) {
    const fleet = new TestBus(t);
    const node = await fleet.addNode('a');
    const job = await fleet.submit(['a'], { expiresMs: 3_600_000 });
    await fleet.restart((store) => void store.runs.noteHandOver(fleet.run(job), 1, 'journal-1'));
    if (arrived) node.accept(`${job}.0`, {} as never);
    await node.connect();
    await fleet.untilState(job, 'delivered');
    assert.equal(node.runs.size, 1);
    node.end(`${job}.0`);
    await fleet.untilState(job, 'exited');
  }
});

test('a cancel reaches a run that its node works on, though the gateway has no room to follow it any more', async (t) => {
  const fleet = new TestBus(t, { concurrency: 2 });
  const node = await fleet.addNode('a');
  await node.connect();
  const jobs = [await fleet.submit(['a']), await fleet.submit(['a'])];
  for (const job of jobs) await fleet.untilState(job, 'delivered');
  fleet.concurrency = 1;
  await fleet.restart();
  await node.connect();
  const [first = '', second = ''] = jobs;
  await fleet.cancel(second);
  await until(() => node.runs.get(`${second}.0`)?.outcome?.state === 'canceled', 'the cancel at the node');
  node.end(`${first}.0`);
  await fleet.untilState(first, 'exited');
  await fleet.untilState(second, 'canceled');
});

test('the gateway ends though a node does not say what became of a run', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  let asked = false;
  node.script = (route, _run, _request, response) => {
    if (route === 'log') response.writeHead(400).end('{"error":{"code":"bad_request","message":"too far"}}');
    if (route === 'status') asked = true;
    return route === 'log' || route === 'status';
  };
  const job = await fleet.submit(['a']);
  await fleet.untilState(job, 'delivered');
  node.cut();
  await node.connect();
  await until(async () => {
    await fleet.clock.advance(200);
    return asked;
  }, 'the question');
  await within(fleet.bus.close(), 'the end of the bus');
});

test('a cancel that was asked of a former process is carried out', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  const job = await fleet.submit(['a']);
  await fleet.untilState(job, 'delivered');
  node.cut();
  await fleet.cancel(job);
  await fleet.restart();
  await node.connect();
  await fleet.untilState(job, 'canceled');
});

test('the order of acceptance outlives a restart, also beside jobs that have begun', async (t) => {
  const fleet = new TestBus(t, { concurrency: 1 });
  const a = await fleet.addNode('a');
  const b = await fleet.addNode('b');
  await a.connect();
  const early = await fleet.submit(['b'], { expiresMs: 3_600_000 });
  const late = await fleet.submit(['a', 'b'], { expiresMs: 3_600_000 });
  await fleet.untilState(late, 'delivered', 0);
  await fleet.restart();
  await a.connect();
  await b.connect();
  await fleet.untilState(early, 'delivered');
  assert.equal(fleet.run(late, 1).state, 'queued');
  b.end(`${early}.0`);
  await fleet.untilState(late, 'delivered', 1);
});

test('what expired while the gateway was down is not delivered, even if its node is there first', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  const job = await fleet.submit(['a'], { expiresMs: 60_000 });
  await fleet.restart(() => fleet.clock.jumpWall(60_001));
  await node.connect();
  assert.match((await fleet.untilState(job, 'expired', 0, 0)).reason ?? '', /^expired/);
  assert.equal(node.count('accept'), 0);
});

test('a deadline that passed while the machine slept counts, although its timer has not fired', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  const job = await fleet.submit(['a'], { expiresMs: 60_000 });
  fleet.clock.jumpWall(60_001);
  await node.connect();
  await until(() => fleet.run(job).state !== 'queued', 'the end');
  assert.equal(fleet.run(job).state, 'expired');
  assert.equal(node.count('accept'), 0);
});

test('a run that has had its turn, but waits for its node, expires and can be canceled, and gives its place free', async (t) => {
  const fleet = new TestBus(t, { concurrency: 1 });
  const node = await fleet.addNode('a');
  await node.connect();
  node.endsAtOnce = true;
  await fleet.untilEnded(await fleet.submit(['a']));
  // A new tunnel in place of the old one: the queue goes on, but nobody is online before the first heartbeat.
  await node.connect({ online: false });
  const handOvers = node.count('accept');
  const expiring = await fleet.submit(['a'], { expiresMs: 5_000 });
  const canceled = await fleet.submit(['a'], { expiresMs: 60_000 });
  const last = await fleet.submit(['a'], { expiresMs: 60_000 });
  const followers = [expiring, canceled].map((job) => fleet.follow(job));
  await settle();
  await fleet.clock.advance(5_001);
  await fleet.untilState(expiring, 'expired');
  await settle();
  await fleet.cancel(canceled);
  await Promise.all(followers);
  node.goOnline();
  await fleet.untilState(last, 'exited');
  assert.equal(node.count('accept'), handOvers + 1);
  assert.deepEqual([fleet.run(canceled).state, fleet.errors], ['canceled', []]);
});

test('without a wish to wait, a node that is offline ends its run at once', async (t) => {
  const fleet = new TestBus(t);
  const here = await fleet.addNode('here');
  await fleet.addNode('away');
  here.endsAtOnce = true;
  await here.connect();
  const job = await fleet.submit(['away', 'here']);
  assert.deepEqual([fleet.run(job, 0).state, fleet.run(job, 0).reason], ['expired', 'node_offline']);
  await fleet.untilState(job, 'exited', 1);
});

test('a node that is removed or revoked leaves no run open: what it never had is canceled, the rest is unknown', async (t) => {
  const fleet = new TestBus(t, { concurrency: 1 });
  const node = await fleet.addNode('a');
  await node.connect();
  const delivered = await fleet.submit(['a']);
  await fleet.untilState(delivered, 'delivered');
  const queued = await fleet.submit(['a']);
  const followers = [delivered, queued].map((job) => fleet.follow(job));
  fleet.sessions.close('id-a', 'removed');
  await fleet.bus.abandon('id-a', 'node_removed');
  assert.deepEqual([fleet.run(delivered).state, fleet.run(queued).state], ['unknown', 'canceled']);
  await Promise.all(followers);
  assert.deepEqual(fleet.errors, []);
});

test('a crash right after a node was removed or revoked leaves no run open either', async (t) => {
  for (const gone of ['removed', 'revoked']) {
    const fleet = new TestBus(t);
    const node = await fleet.addNode('a');
    await node.connect();
    const job = await fleet.submit(['a']);
    await fleet.untilState(job, 'delivered');
    await fleet.restart((store) =>
      gone === 'removed' ? store.nodes.remove('id-a', 1) : store.nodes.revoke('id-a', 1),
    );
    await fleet.untilState(job, 'unknown');
  }
});

test('the same idempotency key gives the first job, before and after a restart; another command is a conflict', async (t) => {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  node.endsAtOnce = true;
  await node.connect();
  const jobs = await Promise.all([1, 2, 3].map(() => fleet.submit(['a'], { idempotencyKey: 'k' })));
  assert.equal(new Set(jobs).size, 1);
  await fleet.untilEnded(jobs[0] ?? '');
  await fleet.restart();
  assert.equal(await fleet.submit(['a'], { idempotencyKey: 'k' }), jobs[0]);
  await assert.rejects(fleet.submit(['a'], { idempotencyKey: 'k', command: 'other' }), { code: 'conflict' });
  assert.equal(node.count('accept'), 1);
});
