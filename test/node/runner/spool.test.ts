import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  cleanUp,
  DEADLINE_MS,
  isAlive,
  makeSpec,
  readWhole,
  runWhole,
  startRunner,
  temporaryFolder,
  until,
} from './support/harness.ts';

const timeout = { timeout: DEADLINE_MS + 10_000 };

/** Undefined if this system does not let us mount. */
async function mountSmallDisk(t: TestContext, size = '1m'): Promise<string | undefined> {
  const folder = await temporaryFolder(t);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'fleet-test', folder], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  // The process that runs the commands is about to end, and has its socket there until then.
  cleanUp(t, () => until(() => spawnSync('umount', [folder]).status === 0, 'an end to the use of the disk'));
  return folder;
}

/** Takes all room that is left. */
async function fill(path: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    for (let size = 64 * 1024; size >= 1; ) {
      await file.write(Buffer.alloc(size)).then(
        ({ bytesWritten }) => {
          if (bytesWritten < size) size = Math.floor(size / 2);
        },
        () => {
          size = Math.floor(size / 2);
        },
      );
    }
  } finally {
    await file.close();
  }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

test(
  'a full disk: the command runs on, what is lost is counted, and the end is recorded all the same',
  timeout,
  async (t) => {
    const folder = await mountSmallDisk(t);
    if (folder === undefined) return await limitedFileSize(t);
    const outside = await temporaryFolder(t);
    const runner = await startRunner(t, { folder });
    const wait = `while [ ! -e ${outside}/go ]; do sleep 0.02; done`;
    const spec = makeSpec(`head -c 200000 /dev/zero; ${wait}; head -c 3000000 /dev/zero; exit 4`);
    runner.accept(spec);
    await until(() => (runner.status(spec.run)?.logBytes ?? 0) > 200_000, 'the first part');
    assert.deepEqual(runner.faults(), []);
    await fill(join(folder, 'filler'));
    await writeFile(`${outside}/go`, '');
    const { outcome, stdout, log } = await readWhole(runner, spec.run);
    assert.equal(outcome.state, 'exited');
    assert.equal(outcome.exitCode, 4);
    assert.match(outcome.reason ?? '', /^spool_full: .*ENOSPC/);
    assert.equal(outcome.stdoutBytes, 3_200_000);
    assert.equal(stdout.length + outcome.droppedBytes, 3_200_000);
    assert.ok(outcome.droppedBytes > 0 && stdout.length >= 200_000);
    assert.equal((await readFile(join(folder, 'logs', `${spec.run}.log`))).length, log.length);
    assert.match(runner.faults().join(), /is full/);

    const refused = makeSpec(`touch ${outside}/never # ${'x'.repeat(100_000)}`);
    assert.throws(() => runner.accept(refused), { code: 'storage_failed' });
    assert.equal(runner.status(refused.run), undefined);
    await fill(join(folder, 'more'));
    runner.acknowledge(spec.run);
    assert.deepEqual(await readdir(join(folder, 'logs')), [], 'what the gateway has is freed');
    for (const name of ['filler', 'more']) await rm(join(folder, name));
    assert.deepEqual(runner.faults(), []);
    assert.equal((await runWhole(runner, makeSpec('echo again'))).stdout.toString(), 'again\n');
    assert.equal(await exists(`${outside}/never`), false);
    assert.equal((await runWhole(runner, refused)).outcome.exitCode, 0);
  },
);

test(
  'output that is larger than the disk stops nothing: its end is told, and its room is given back',
  timeout,
  async (t) => {
    const folder = await mountSmallDisk(t, '8m');
    if (folder === undefined) return t.diagnostic('root is needed');
    const runner = await startRunner(t, { folder });
    for (let round = 0; round < 3; round += 1) {
      const specs = [1, 2, 3].map(() =>
        makeSpec('head -c 20000000 /dev/zero; exit 3', { maxOutputBytes: 100_000_000 }),
      );
      const ended = await Promise.all(specs.map((spec) => runWhole(runner, spec)));
      for (const { outcome, stdout } of ended) {
        assert.equal(outcome.exitCode, 3);
        assert.match(outcome.reason ?? '', /^spool_full: /);
        assert.equal(stdout.length + outcome.droppedBytes, 20_000_000);
      }
      for (const { run } of specs) runner.acknowledge(run);
      assert.deepEqual(runner.faults(), [], 'without a restart');
    }
  },
);

test('a file that may not grow: the same', timeout, limitedFileSize);

/** A real refusal that needs no rights: the system lets no file of the host grow past 1 MiB. */
async function limitedFileSize(t: TestContext): Promise<void> {
  const folder = await temporaryFolder(t);
  const spec = makeSpec('head -c 5000000 /dev/zero; exit 4');
  const script = join(import.meta.dirname, 'support/host.ts');
  const command = 'ulimit -f 2048; exec "$@"';
  const host = spawn('/bin/dash', ['-c', command, 'sh', process.execPath, script, folder, JSON.stringify(spec)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  cleanUp(t, () => host.kill('SIGKILL'));
  const log = join(folder, 'logs', `${spec.run}.log`);
  await until(async () => (await readFile(log).catch(() => '')).includes('"state":"exited"'), 'the end');
  const exited = once(host, 'exit');
  host.kill('SIGKILL');
  await exited;
  const runner = await startRunner(t, { folder });
  const { outcome, stdout } = await readWhole(runner, spec.run);
  assert.equal(outcome.exitCode, 4);
  assert.match(outcome.reason ?? '', /^spool_full: .*EFBIG/);
  assert.equal(outcome.stdoutBytes, 5_000_000);
  assert.equal(stdout.length + outcome.droppedBytes, 5_000_000);
}

test('past its limit the spool drops acknowledged logs, the oldest first, and then refuses', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  let now = Date.now();
  const runner = await startRunner(t, { folder, maxSpoolBytes: 120_000, now: () => now });
  const specs = [1, 2, 3].map(() => makeSpec('head -c 50000 /dev/zero'));
  const [first, second, third] = specs as [(typeof specs)[0], (typeof specs)[0], (typeof specs)[0]];
  if (!first || !second || !third) throw new Error('three');
  await runWhole(runner, first);
  await runWhole(runner, second);
  runner.acknowledge(second.run);
  now += 1;
  runner.acknowledge(first.run);
  await runWhole(runner, third);
  const fourth = makeSpec('true');
  await runWhole(runner, fourth);
  assert.deepEqual(
    (await readdir(join(folder, 'logs'))).sort(),
    [first, third, fourth].map((spec) => `${spec.run}.log`).sort(),
  );
  assert.throws(() => runner.readLog(second.run, 0, AbortSignal.timeout(1000)), { code: 'not_found' });
  assert.equal(runner.accept(second).state, 'exited', 'still recognised');
  const big = makeSpec('head -c 90000 /dev/zero');
  await runWhole(runner, big);
  const refused = makeSpec('true');
  assert.throws(() => runner.accept(refused), { code: 'storage_failed' });
  assert.equal(runner.status(refused.run), undefined);
  runner.acknowledge(big.run);
  assert.equal((await runWhole(runner, refused)).outcome.exitCode, 0);
  await runner.close();
  const again = await startRunner(t, { folder, maxSpoolBytes: 1000 });
  assert.throws(() => again.accept(makeSpec('true')), { code: 'storage_failed' }, 'counted anew after a restart');
});

test(
  'a run is forgotten so long after its acknowledgement as the configuration says, and not before',
  timeout,
  async (t) => {
    const folder = await temporaryFolder(t);
    let now = Date.now();
    const runner = await startRunner(t, { folder, now: () => now, retentionMs: 10 * 86_400_000 });
    const [old, kept, later] = [makeSpec('true'), makeSpec('true'), makeSpec('true')];
    for (const spec of [old, kept, later]) await runWhole(runner, spec);
    runner.acknowledge(old.run);
    now += 9 * 86_400_000;
    runner.acknowledge(later.run);
    assert.equal(runner.status(old.run)?.state, 'exited');
    now += 2 * 86_400_000;
    runner.acknowledge(later.run);
    assert.equal(runner.status(old.run), undefined);
    assert.equal(runner.status(later.run)?.state, 'exited');
    assert.equal(runner.status(kept.run)?.state, 'exited', 'never acknowledged, never forgotten');
    assert.deepEqual(
      (await readdir(join(folder, 'logs'))).sort(),
      [kept, later].map((spec) => `${spec.run}.log`).sort(),
    );
  },
);

test('secrets in a spec do not outlive the run in the journal', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const runner = await startRunner(t, { folder });
  await runWhole(runner, makeSpec('true', { env: { TOKEN: 'pssst-secret', LONG: 'pssst-secret'.repeat(2000) } }));
  await runner.close();
  for (const name of (await readdir(folder)).filter((entry) => entry.startsWith('runs.db'))) {
    assert.equal((await readFile(join(folder, name))).includes('pssst-secret'), false, name);
  }
});

test('a log of many small frames does not hold the command up for ever', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(
    join(folder, 'script'),
    'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; echo e$i >&2; done; echo $$',
  );
  const runner = await startRunner(t);
  const { stdout, stderr } = await runWhole(runner, makeSpec(`sh ${folder}/script`));
  const numbers = Array.from({ length: 3000 }, (_, i) => i + 1);
  const lines = stdout.toString().trimEnd().split('\n');
  assert.deepEqual(lines.slice(0, -1), numbers.map(String));
  assert.equal(stderr.toString(), numbers.map((i) => `e${i}\n`).join(''));
  assert.equal(await isAlive(Number(lines.at(-1))), false);
});
