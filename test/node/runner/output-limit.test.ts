/** Commands that write more than is kept: the beginning and the end are, and every byte between is counted. */
import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { maxLogBytes } from '../../../src/domain/limits.ts';
import type { Runner } from '../../../src/node/runner/runner.ts';
import { FRAME_TYPE, FrameDecoder } from '../../../src/protocol/frames.ts';
import { type RunGap, runGapSchema } from '../../../src/protocol/run-spec.ts';
import { makeSpec, readWhole, runWhole, startRunner, temporaryFolder, until, untilSaid } from './support/harness.ts';
import { exists, killWithShim, startHost } from './support/host-process.ts';

const timeout = { timeout: 60_000 };

function gapsOf(log: Buffer): RunGap[] {
  return new FrameDecoder()
    .push(log)
    .filter(({ type }) => type === FRAME_TYPE.gap)
    .map(({ payload }) => runGapSchema.parse(JSON.parse(payload.toString())));
}

/** Lines of seven bytes, with their numbers. */
const numbers = (first: number, last: number): string =>
  Array.from({ length: last - first + 1 }, (_, n) => `${first + n}\n`).join('');

test('kept and not kept together are what was written, whatever is written and kept', timeout, async (t) => {
  const runner = await startRunner(t);
  const size = fc.constantFrom(0, 1, 999, 65_536, 200_000);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.boolean(), size), { minLength: 1, maxLength: 5 }),
      fc.constantFrom(1, 2, 5001, 65_536, 300_000),
      async (writes, maxOutputBytes) => {
        const command = writes.map(([toErr, bytes]) => `head -c ${bytes} /dev/zero${toErr ? ' >&2' : ''}`).join('; ');
        const { outcome, stdout, stderr, log } = await runWhole(runner, makeSpec(command, { maxOutputBytes }));
        const sum = (toErr: boolean): number =>
          writes.reduce((bytes, [isErr, more]) => (isErr === toErr ? bytes + more : bytes), 0);
        assert.deepEqual([outcome.stdoutBytes, outcome.stderrBytes], [sum(false), sum(true)]);
        const gaps = gapsOf(log);
        const gap = gaps[0] ?? { stdoutBytes: 0, stderrBytes: 0 };
        assert.equal(stdout.length + gap.stdoutBytes, sum(false));
        assert.equal(stderr.length + gap.stderrBytes, sum(true));
        assert.equal(outcome.droppedBytes, gap.stdoutBytes + gap.stderrBytes);
        const all = sum(false) + sum(true);
        assert.equal(stdout.length + stderr.length, Math.min(all, maxOutputBytes));
        assert.equal(gaps.length, all > maxOutputBytes ? 1 : 0);
        assert.ok(log.length <= maxLogBytes(maxOutputBytes));
      },
    ),
    { numRuns: 25 },
  );
});

test('the first half and the last half are kept, with the gap between them', timeout, async (t) => {
  const runner = await startRunner(t);
  const spec = makeSpec('seq 100000 199999', { maxOutputBytes: 7_000 });
  const { outcome, stdout, log, types } = await runWhole(runner, spec);
  assert.equal(stdout.toString(), numbers(100_000, 100_499) + numbers(199_500, 199_999));
  assert.deepEqual(gapsOf(log), [{ stdoutBytes: 693_000, stderrBytes: 0 }]);
  assert.equal(outcome.reason, null);
  assert.deepEqual([...new Set(types)], [FRAME_TYPE.started, FRAME_TYPE.stdout, FRAME_TYPE.gap, FRAME_TYPE.end]);
});

test('a limit of the node lowers what is asked for', timeout, async (t) => {
  const runner = await startRunner(t, { maxOutputBytes: 1_000 });
  const { outcome, stdout } = await runWhole(runner, makeSpec('head -c 5000 /dev/zero'));
  assert.deepEqual([stdout.length, outcome.droppedBytes], [1_000, 4_000]);
});

test('a large tail goes over the disk, and leaves nothing there but the log', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const runner = await startRunner(t, { folder });
  const spec = makeSpec('seq 1000000 3999999', { maxOutputBytes: 8_000_000 });
  const { outcome, stdout } = await runWhole(runner, spec);
  assert.equal(stdout.toString(), numbers(1_000_000, 1_499_999) + numbers(3_500_000, 3_999_999));
  assert.deepEqual([outcome.stdoutBytes, outcome.droppedBytes], [24_000_000, 16_000_000]);
  assert.deepEqual(await readdir(join(folder, 'logs')), [`${spec.run}.log`]);
});

test('300 MB through 64 KiB take neither memory nor disk', timeout, async (t) => {
  const runner = await startRunner(t);
  const before = process.memoryUsage.rss();
  let peak = before;
  const watch = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage.rss());
  }, 10);
  const spec = makeSpec('head -c 300000000 /dev/zero; echo end', { maxOutputBytes: 65_536 });
  const { outcome, stdout, log } = await runWhole(runner, spec);
  clearInterval(watch);
  assert.deepEqual([stdout.length, outcome.droppedBytes], [65_536, 300_000_004 - 65_536]);
  assert.ok(stdout.toString().endsWith('\0end\n') && log.length < 80_000);
  t.diagnostic(`${Math.round((peak - before) / 1e6)} MB more than before`);
  assert.ok(peak - before < 100_000_000, `${peak - before} bytes more`);
});

/** Writes 70,000 bytes, waits, and writes 70,000 more and a last line. */
async function pausingCommand(t: Parameters<typeof temporaryFolder>[0]) {
  const folder = await temporaryFolder(t);
  const wait = `touch ${folder}/there; while [ ! -e ${folder}/go ]; do sleep 0.02; done`;
  const command = `seq 100000 109999; ${wait}; seq 200000 209999; echo last`;
  const spec = makeSpec(command, { maxOutputBytes: 35_000 });
  const spool = join(folder, 'spool');
  return { folder, spool, spec, go: () => writeFile(`${folder}/go`, '') };
}

/** All that the command has written so far was read. */
async function untilRead(runner: Runner, run: string, folder: string): Promise<void> {
  await untilSaid(runner, run, '102499');
  await until(() => exists(`${folder}/there`), 'the first half');
  await new Promise((resolve) => setTimeout(resolve, 100));
}

test('an orderly restart of the node loses nothing of it', timeout, async (t) => {
  const { folder, spool, spec, go } = await pausingCommand(t);
  const first = await startRunner(t, { folder: spool });
  first.accept(spec);
  await untilRead(first, spec.run, folder);
  await first.close();
  const second = await startRunner(t, { folder: spool });
  await second.close();
  const third = await startRunner(t, { folder: spool });
  await go();
  const { outcome, stdout, log } = await readWhole(third, spec.run);
  const end = `${numbers(207_501, 209_999)}last\n`;
  const expected = `${numbers(100_000, 102_499)}${`0\n${end}`.slice(-17_500)}`;
  assert.deepEqual([stdout.length, stdout.toString().slice(0, 17_500)], [35_000, expected.slice(0, 17_500)]);
  assert.ok(stdout.toString().endsWith(end));
  assert.deepEqual([outcome.stdoutBytes, outcome.droppedBytes], [140_005, 105_005]);
  assert.deepEqual(gapsOf(log), [{ stdoutBytes: 105_005, stderrBytes: 0 }]);
  assert.deepEqual(await readdir(join(spool, 'logs')), [`${spec.run}.log`]);
});

test(
  'a killed shim has lost what was only in its memory: that is counted, and told where it was',
  timeout,
  async (t) => {
    const { folder, spool, spec, go } = await pausingCommand(t);
    const host = await startHost(t, spool, [spec]);
    await until(() => exists(`${folder}/there`), 'the first half');
    // While the journal is in use nobody else may open it.
    const journal = (): Promise<string> => readFile(join(spool, 'runs.db-wal'), 'latin1');
    await until(async () => (await journal()).includes('"stdoutBytes":'), 'the note of how much was written');
    const log = join(spool, 'logs', `${spec.run}.log`);
    await until(async () => (await readFile(log, 'latin1').catch(() => '')).includes('102499'), 'the head on the disk');
    await killWithShim(host);
    const runner = await startRunner(t, { folder: spool });
    await go();
    const { outcome, stdout, types, ...whole } = await readWhole(runner, spec.run);
    assert.equal(outcome.state, 'unknown');
    assert.ok(stdout.toString().startsWith(numbers(100_000, 102_499)));
    assert.ok(stdout.toString().endsWith(`${numbers(208_000, 209_999)}last\n`));
    const gaps = gapsOf(whole.log);
    const missing = gaps.reduce((sum, gap) => sum + gap.stdoutBytes, 0);
    assert.equal(gaps.length, 2);
    assert.deepEqual([missing, stdout.length], [outcome.droppedBytes, 35_000]);
    assert.equal(outcome.stdoutBytes, stdout.length + missing);
    // The journal learned at the first byte past the head how much there was; what came after is not known to anybody.
    assert.ok(outcome.stdoutBytes > 70_005 + 17_500 && outcome.stdoutBytes <= 140_005, `${outcome.stdoutBytes}`);
    assert.equal(types.lastIndexOf(FRAME_TYPE.gap) < types.lastIndexOf(FRAME_TYPE.stdout), true);
  },
);
