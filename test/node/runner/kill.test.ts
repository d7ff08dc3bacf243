import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { FRAME_TYPE, FrameDecoder } from '../../../src/protocol/frames.ts';
import { runStartedSchema } from '../../../src/protocol/run-spec.ts';
import { sleep, systemClock } from '../../../src/shared/clock.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import {
  DEADLINE_MS,
  isAlive,
  makeSpec,
  processState,
  readWhole,
  startRunner,
  temporaryFolder,
  until,
  untilSaid,
} from './support/harness.ts';

const timeout = { timeout: DEADLINE_MS + 10_000 };

async function pids(path: string, count: number): Promise<number[]> {
  let found: number[] = [];
  await until(async () => {
    found = (await readFile(path, 'utf8').catch(() => '')).split('\n').filter(Boolean).map(Number);
    return found.length >= count;
  }, `${count} pids in ${path}`);
  return found;
}

test('a run past its time is ended, and said to be only when its group is dead', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const runner = await startRunner(t);
  const spec = makeSpec(`echo $$ >> ${folder}/pids; echo begun; sleep 60`, { timeoutMs: 150 });
  runner.accept(spec);
  const { outcome, stdout } = await readWhole(runner, spec.run);
  assert.equal(outcome.state, 'timed_out');
  assert.match(outcome.reason ?? '', /^timeout: /);
  assert.equal(outcome.exitCode, null);
  assert.equal(outcome.signal, null);
  assert.equal(stdout.toString(), 'begun\n');
  assert.ok(outcome.endedAt - (outcome.startedAt ?? 0) >= 140);
  for (const pid of await pids(`${folder}/pids`, 1)) assert.equal(await isAlive(pid), false);
});

test('a command may use its grace: what it says after SIGTERM is kept', timeout, async (t) => {
  const runner = await startRunner(t, { killGraceMs: 10_000 });
  const spec = makeSpec("trap 'echo cleaning; exit 5' TERM; echo ready; while :; do sleep 0.05; done");
  runner.accept(spec);
  await untilSaid(runner, spec.run, 'ready\n');
  const status = await runner.cancel(spec.run);
  assert.equal(status.state, 'canceled');
  assert.equal((await readWhole(runner, spec.run)).stdout.toString(), 'ready\ncleaning\n');
});

test('a whole tree that ignores SIGTERM is dead when it counts as canceled', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const runner = await startRunner(t);
  const spec = makeSpec(
    `trap '' TERM; echo $$ >> ${folder}/pids; for i in 1 2; do (echo $(sh -c 'echo $PPID') >> ${folder}/pids; sleep 60; sleep 60) & done; wait`,
  );
  runner.accept(spec);
  const all = await pids(`${folder}/pids`, 3);
  await until(() => runner.status(spec.run)?.state === 'running', 'the record of the start');
  const first = runner.cancel(spec.run);
  assert.equal(runner.status(spec.run)?.state, 'running');
  const [status, again] = await Promise.all([first, runner.cancel(spec.run)]);
  assert.equal(status.state, 'canceled');
  assert.deepEqual(again, status);
  for (const pid of all) assert.equal(await isAlive(pid), false);
  assert.deepEqual(await runner.cancel(spec.run), status);
});

test('a grandchild of the group whose parents are gone dies as well', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const runner = await startRunner(t);
  const spec = makeSpec(
    `((trap '' TERM; sh -c 'echo $PPID' >> ${folder}/pids; while :; do sleep 0.1; done) &) ; exit 0`,
  );
  runner.accept(spec);
  const [pid = 0] = await pids(`${folder}/pids`, 1);
  // The shell is gone, and the run goes on because the grandchild holds its stdout.
  await until(() => runner.status(spec.run)?.state === 'running', 'the record of the start');
  assert.equal((await runner.cancel(spec.run)).state, 'canceled');
  assert.equal(await isAlive(pid), false);
});

test('what left the group and holds the pipes is ended with a canceled run', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const runner = await startRunner(t);
  const spec = makeSpec(`setsid sh -c 'echo $$ >> ${folder}/pids; exec sleep 60' & echo said; sleep 60`);
  runner.accept(spec);
  const [pid = 0] = await pids(`${folder}/pids`, 1);
  await untilSaid(runner, spec.run, 'said');
  const status = await runner.cancel(spec.run);
  assert.equal(status.state, 'canceled');
  assert.equal(await isAlive(pid), false);
  assert.equal((await readWhole(runner, spec.run)).stdout.toString(), 'said\n');
});

test(
  'a timeout ends what holds the output of a command that has exited, and keeps its exit code',
  timeout,
  async (t) => {
    const folder = await temporaryFolder(t);
    const runner = await startRunner(t);
    for (const [command, code] of [
      ['exit 0', 0],
      ['exit 3', 3],
    ] as const) {
      const spec = makeSpec(`(sh -c 'echo $PPID' >> ${folder}/${code}; exec sleep 60) & ${command}`, {
        timeoutMs: 1_500,
      });
      runner.accept(spec);
      const [pid = 0] = await pids(`${folder}/${code}`, 1);
      const { outcome } = await readWhole(runner, spec.run);
      assert.deepEqual([outcome.state, outcome.exitCode], ['exited', code]);
      assert.match(outcome.reason ?? '', /^output_held: .* at the timeout$/);
      assert.equal(await isAlive(pid), false);
    }
  },
);

test('an exit that the timeout itself has caused is no exit of its own', timeout, async (t) => {
  const runner = await startRunner(t);
  const spec = makeSpec("(trap '' TERM; sleep 60) & trap 'exit 0' TERM; wait", { timeoutMs: 200 });
  runner.accept(spec);
  assert.equal((await readWhole(runner, spec.run)).outcome.state, 'timed_out');
});

test(
  'a command that has exited while its output is held says so in the log, and takes no place',
  timeout,
  async (t) => {
    const runner = await startRunner(t);
    const spec = makeSpec('sleep 60 & exit 4');
    runner.accept(spec);
    assert.deepEqual([runner.active, runner.atWork], [1, 1]);
    await until(() => runner.atWork === 0, 'the exit');
    assert.equal(runner.active, 1);
    const abort = new AbortController();
    const decoder = new FrameDecoder();
    let exited: unknown;
    for await (const chunk of runner.readLog(spec.run, 0, abort.signal)) {
      for (const { type, payload } of decoder.push(chunk)) {
        if (type === FRAME_TYPE.started) ({ exited } = runStartedSchema.parse(JSON.parse(payload.toString())));
      }
      if (exited !== undefined) break;
    }
    const { exitCode, signal, holders } = runStartedSchema.shape.exited.unwrap().parse(exited);
    assert.deepEqual([exitCode, signal, holders.map(({ name }) => name)], [4, null, ['sleep']]);
    process.kill(holders[0]?.pid ?? 0, 'SIGKILL');
    assert.deepEqual((await readWhole(runner, spec.run)).outcome.exitCode, 4);
  },
);

test('a stopped command sees SIGTERM', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const runner = await startRunner(t, { killGraceMs: 10_000 });
  const spec = makeSpec(`trap 'echo woken; exit' TERM; echo $$ > ${folder}/pids; kill -STOP $$`);
  runner.accept(spec);
  const [pid = 0] = await pids(`${folder}/pids`, 1);
  await until(async () => (await processState(pid)) === 'T', 'stopped');
  await runner.cancel(spec.run);
  assert.equal((await readWhole(runner, spec.run)).stdout.toString(), 'woken\n');
});

test('a run that is canceled before it starts never starts', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const runner = await startRunner(t);
  const spec = makeSpec(`touch ${folder}/effect`);
  runner.accept(spec);
  const status = await runner.cancel(spec.run);
  assert.equal(status.state, 'canceled');
  assert.equal(status.outcome?.startedAt, null);
  await assert.rejects(readFile(`${folder}/effect`), { code: 'ENOENT' });
});

test('what has ended stays as it ended', timeout, async (t) => {
  const runner = await startRunner(t);
  const spec = makeSpec('exit 9', { timeoutMs: 60_000 });
  runner.accept(spec);
  await readWhole(runner, spec.run);
  const status = await runner.cancel(spec.run);
  assert.equal(status.state, 'exited');
  assert.equal(status.outcome?.exitCode, 9);
});

test('the first cause wins', timeout, async (t) => {
  const runner = await startRunner(t);
  const spec = makeSpec("trap '' TERM; sleep 60; sleep 60", { timeoutMs: 100 });
  runner.accept(spec);
  await until(() => runner.status(spec.run)?.state === 'running', 'running');
  await sleep(systemClock, 200);
  assert.equal((await runner.cancel(spec.run)).state, 'timed_out');
});

test('a time longer than a timer can count is not taken for none', timeout, async (t) => {
  const clock = new FakeClock();
  const runner = await startRunner(t, { clock });
  const days = 60 * 86_400_000;
  const spec = makeSpec('sleep 60', { timeoutMs: days });
  runner.accept(spec);
  await until(() => runner.status(spec.run)?.state === 'running', 'running');
  await clock.advance(days - 1000);
  assert.equal(runner.status(spec.run)?.state, 'running');
  const ended = readWhole(runner, spec.run);
  await clock.advance(1000);
  await until(async () => {
    await clock.advance(50);
    return runner.status(spec.run)?.state === 'timed_out';
  }, 'timed out');
  assert.equal((await ended).outcome.state, 'timed_out');
});
