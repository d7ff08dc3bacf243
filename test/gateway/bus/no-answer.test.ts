import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { settle, until, within } from '../../support/deadline.ts';
import { type FakeNode, stdoutFrame } from './fake-node.ts';
import { TestBus } from './harness.ts';

/** Timeout, grace and margin, ms; the margin alone after a cancel. */
const TIMEOUT = 10_000;
const AFTER_CANCEL = 25_000;

async function connected(t: TestContext) {
  const fleet = new TestBus(t);
  const node = await fleet.addNode('a');
  await node.connect();
  return { fleet, node };
}

/** The tunnel stands, and no request is answered. */
function mute(node: FakeNode): void {
  node.script = (_route, _run, request) => {
    request.resume();
    return true;
  };
}

test('gone dark after the hand-over: unknown after timeout, grace and margin, and not before', async (t) => {
  const { fleet, node } = await connected(t);
  const job = await fleet.submit(['a'], { timeoutMs: TIMEOUT });
  await fleet.untilState(job, 'delivered');
  node.cut();
  await fleet.clock.advance(TIMEOUT + AFTER_CANCEL - 2_000);
  await settle();
  assert.deepEqual(fleet.states(job), ['delivered']);
  const { reason } = await fleet.untilState(job, 'unknown');
  assert.match(reason ?? '', /^no_answer: /);
});

test('without a timeout a run is followed for as long as it likes; a cancel that nobody confirms ends it', async (t) => {
  const { fleet, node } = await connected(t);
  const job = await fleet.submit(['a']);
  await fleet.untilState(job, 'delivered');
  node.cut();
  await fleet.clock.advance(30 * 86_400_000);
  assert.deepEqual(fleet.states(job), ['delivered']);
  await fleet.cancel(job);
  await fleet.clock.advance(AFTER_CANCEL - 2_000);
  assert.deepEqual(fleet.states(job), ['delivered']);
  assert.match((await fleet.untilState(job, 'unknown')).reason ?? '', /^no_answer: .*cancel/);
});

test('a node that answers that the run goes on is believed for as long as a node may take, and no longer', async (t) => {
  const { fleet, node } = await connected(t);
  const job = await fleet.submit(['a'], { timeoutMs: TIMEOUT });
  await fleet.untilState(job, 'delivered');
  for (let n = 0; n < 5; n += 1) {
    await fleet.clock.advance(60_000);
    await until(() => node.count('status') > n, 'a question');
    await settle();
  }
  assert.deepEqual(fleet.states(job), ['delivered']);
  await fleet.clock.advance(86_400_000);
  await fleet.untilState(job, 'unknown', 0, 60_000);
});

test('connected and mute: the question is not answered either', async (t) => {
  const { fleet, node } = await connected(t);
  const job = await fleet.submit(['a'], { timeoutMs: TIMEOUT });
  await fleet.untilState(job, 'delivered');
  mute(node);
  await fleet.clock.advance(TIMEOUT + AFTER_CANCEL);
  await until(() => fleet.states(job)[0] === 'unknown', 'the end');
});

test('mute at the hand-over already: a cancel ends it, and waiters, fan-outs and followers go on', async (t) => {
  const { fleet, node } = await connected(t);
  const other = await fleet.addNode('b');
  await other.connect();
  mute(node);
  const job = await fleet.submit(['a', 'b'], { flow: { fanout: 1 } });
  const followed = fleet.follow(job);
  await until(() => node.count('accept') > 0, 'the hand-over');
  await fleet.bus.cancel([fleet.run(job)], 'asked');
  await fleet.clock.advance(AFTER_CANCEL);
  await until(() => fleet.states(job)[0] === 'unknown', 'the end');
  await fleet.untilState(job, 'delivered', 1);
  other.end(`${job}.1`);
  await within(followed, 'the end of the job');
});

test('the lane stays held until the node confirms, also across a restart; what it reports is kept beside unknown', async (t) => {
  const { fleet, node } = await connected(t);
  const lane = { lane: 'deploy', expiresMs: 86_400_000 };
  const job = await fleet.submit(['a'], { ...lane, timeoutMs: TIMEOUT });
  const next = await fleet.submit(['a'], lane);
  await fleet.untilState(job, 'delivered');
  node.cut();
  await fleet.untilState(job, 'unknown', 0, 5_000);
  await fleet.restart();
  await node.connect();
  await settle();
  const free = await fleet.submit(['a']);
  await fleet.untilState(free, 'delivered');
  assert.deepEqual(fleet.states(next), ['queued']);
  node.write(`${job}.0`, stdoutFrame('late\n'));
  node.end(`${job}.0`, { exitCode: 3, stdoutBytes: 5 });
  await fleet.untilState(next, 'delivered');
  const { state, reason, exitCode, stdoutBytes, seq, unconfirmed } = fleet.run(job);
  assert.deepEqual([state, exitCode, stdoutBytes, unconfirmed], ['unknown', null, 5, 0]);
  assert.match(reason ?? '', /^no_answer: .*; reported later: exited 3$/);
  assert.match(fleet.store.runs.readLog(seq, 0, 100).toString(), /late/);
  await fleet.clock.advance(1_000);
  await until(() => node.count('acknowledge', `${job}.0`) > 0, 'the acknowledgement');
});

test('a lane whose node lost its journal, or was removed, is free again', async (t) => {
  const { fleet, node } = await connected(t);
  const lane = { lane: 'deploy', expiresMs: 86_400_000 };
  const job = await fleet.submit(['a'], { ...lane, timeoutMs: TIMEOUT });
  const next = await fleet.submit(['a'], { ...lane, timeoutMs: TIMEOUT });
  await fleet.untilState(job, 'delivered');
  node.cut();
  await fleet.untilState(job, 'unknown', 0, 5_000);
  node.journal = 'journal-2';
  await node.connect();
  await fleet.untilState(next, 'delivered');
  assert.match(fleet.run(job).reason ?? '', /reported later: node_lost_journal/);
  node.cut();
  await fleet.untilState(next, 'unknown', 0, 5_000);
  await fleet.bus.abandon('id-a', 'node_removed: what became of it is not known');
  assert.deepEqual(fleet.store.runs.unconfirmed(), []);
  await settle();
  assert.deepEqual(fleet.bus.counts, { queues: 0, runs: 0 });
});

test('what is not confirmed takes no place among the runs in flight', async (t) => {
  const fleet = new TestBus(t, { maxRunsInFlight: 1 });
  const node = await fleet.addNode('a');
  const other = await fleet.addNode('b');
  await node.connect();
  await other.connect();
  const job = await fleet.submit(['a'], { timeoutMs: TIMEOUT });
  await fleet.untilState(job, 'delivered');
  mute(node);
  const next = await fleet.submit(['b']);
  await fleet.clock.advance(TIMEOUT + AFTER_CANCEL);
  await until(() => fleet.states(job)[0] === 'unknown', 'the end');
  await fleet.untilState(next, 'delivered');
});
