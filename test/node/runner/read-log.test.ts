import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { sleep, systemClock } from '../../../src/shared/clock.ts';
import {
  collect,
  DEADLINE_MS,
  makeSpec,
  readWhole,
  runWhole,
  startRunner,
  temporaryFolder,
  until,
  untilSaid,
} from './support/harness.ts';

const timeout = { timeout: DEADLINE_MS + 10_000 };
const deadline = (): AbortSignal => AbortSignal.timeout(DEADLINE_MS);

test('from any position on, the log is the same bytes', timeout, async (t) => {
  const runner = await startRunner(t);
  const spec = makeSpec('head -c 700000 /dev/urandom; echo between >&2; head -c 100000 /dev/urandom');
  const { log } = await runWhole(runner, spec);
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: log.length }), async (from) => {
      assert.ok((await collect(runner.readLog(spec.run, from, deadline()))).equals(log.subarray(from)));
    }),
    { numRuns: 60, examples: [[0], [log.length], [log.length - 1], [1]] },
  );
  for (const from of [log.length + 1, -1, 0.5, Number.NaN]) {
    assert.throws(() => runner.readLog(spec.run, from, deadline()), { code: 'bad_request' });
  }
  assert.throws(() => runner.readLog('000000000000.0', 0, deadline()), { code: 'not_found' });
  for await (const piece of runner.readLog(spec.run, 0, deadline())) assert.ok(piece.length <= 256 * 1024);
});

test('readers that follow a living run from different positions all get it whole', timeout, async (t) => {
  const runner = await startRunner(t);
  const spec = makeSpec('for i in 1 2 3 4 5 6 7 8; do head -c 200000 /dev/urandom; sleep 0.02; done');
  runner.accept(spec);
  await until(() => (runner.status(spec.run)?.logBytes ?? 0) > 1000, 'some output');
  const froms = [0, 0, 1, 6, 999];
  const logs = await Promise.all(froms.map((from) => collect(runner.readLog(spec.run, from, deadline()))));
  const { log, stdout } = await readWhole(runner, spec.run);
  assert.equal(stdout.length, 1_600_000);
  for (const [index, from] of froms.entries()) assert.ok(logs[index]?.equals(log.subarray(from)));
});

test('a slow reader does not slow the command down, and misses nothing', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const runner = await startRunner(t);
  const spec = makeSpec(`head -c 8000000 /dev/urandom; touch ${folder}/done`);
  runner.accept(spec);
  const pieces: Buffer[] = [];
  for await (const piece of runner.readLog(spec.run, 0, deadline())) {
    // The command must come to its end while this reader has taken one piece only.
    if (pieces.length === 0) await until(async () => (await readdir(folder)).includes('done'), 'its end');
    pieces.push(piece);
  }
  assert.ok(Buffer.concat(pieces).equals((await readWhole(runner, spec.run)).log));
});

test('a reader that aborts gets its reason, and leaves no open file', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const runner = await startRunner(t, { folder });
  const spec = makeSpec('echo hi; sleep 60');
  runner.accept(spec);
  // What stands before it differs by a byte or two, with the digits of the pid.
  await untilSaid(runner, spec.run, 'hi');
  const before = (await readdir('/proc/self/fd')).length;
  const controller = new AbortController();
  const froms = [0, runner.status(spec.run)?.logBytes ?? 0];
  const refused = froms.map((from) =>
    assert.rejects(collect(runner.readLog(spec.run, from, controller.signal)), /enough/),
  );
  await sleep(systemClock, 30);
  controller.abort(new Error('enough'));
  await Promise.all(refused);
  await assert.rejects(collect(runner.readLog(spec.run, 0, controller.signal)), /enough/);
  await until(async () => (await readdir('/proc/self/fd')).length <= before, 'the file closed');
  for await (const piece of runner.readLog(spec.run, 0, deadline())) {
    assert.ok(piece.length > 0);
    break;
  }
  await until(async () => (await readdir('/proc/self/fd')).length <= before, 'the file closed again');
  assert.equal(runner.status(spec.run)?.state, 'running');
  assert.deepEqual(await readdir(join(folder, 'logs')), [`${spec.run}.log`]);
});
