import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { FRAME_TYPE } from '../../../src/protocol/frames.ts';
import {
  cleanUp,
  collect,
  DEADLINE_MS,
  makeSpec,
  readWhole,
  runWhole,
  startRunner,
  temporaryFolder,
  until,
} from './support/harness.ts';

const timeout = { timeout: DEADLINE_MS + 10_000 };
const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

test('exit codes are told as they are', timeout, async (t) => {
  const runner = await startRunner(t);
  for (const code of [0, 1, 42, 255]) {
    const { outcome, types } = await runWhole(runner, makeSpec(`exit ${code}`));
    assert.equal(outcome.state, 'exited');
    assert.equal(outcome.exitCode, code);
    assert.equal(outcome.signal, null);
    assert.equal(outcome.reason, null);
    assert.ok(outcome.startedAt !== null && outcome.startedAt <= outcome.endedAt);
    assert.deepEqual(types, [FRAME_TYPE.started, FRAME_TYPE.end]);
  }
});

test('a signal is told by its name', timeout, async (t) => {
  const runner = await startRunner(t);
  for (const signal of ['TERM', 'KILL', 'SEGV']) {
    const { outcome } = await runWhole(runner, makeSpec(`ulimit -c 0; kill -${signal} $$`));
    assert.equal(outcome.state, 'signaled');
    assert.equal(outcome.signal, `SIG${signal}`);
    assert.equal(outcome.exitCode, null);
  }
});

test('20 MB of each stream arrive as they were written, and never mixed', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const script = `
    const { createHash } = require('node:crypto'); const { writeSync, writeFileSync } = require('node:fs');
    const hashes = [createHash('sha256'), createHash('sha256')];
    for (let i = 0; i < 640; i++) for (const fd of [1, 2]) {
      const block = require('node:crypto').randomBytes(32768);
      hashes[fd - 1].update(block);
      for (let at = 0; at < block.length; ) at += writeSync(fd, block, at);
    }
    writeFileSync(${JSON.stringify(join(folder, 'hashes'))}, hashes.map((h) => h.digest('hex')).join(' '));`;
  await writeFile(join(folder, 'noise.cjs'), script);
  const runner = await startRunner(t);
  const spec = makeSpec(`${process.execPath} ${join(folder, 'noise.cjs')}`, { maxOutputBytes: 64 * 1024 * 1024 });
  const { stdout, stderr, outcome } = await runWhole(runner, spec);
  const [expectedStdout, expectedStderr] = (await readFile(join(folder, 'hashes'), 'utf8')).split(' ');
  assert.equal(sha256(stdout), expectedStdout);
  assert.equal(sha256(stderr), expectedStderr);
  assert.equal(outcome.stdoutBytes, 20 * 1024 * 1024);
  assert.equal(outcome.stderrBytes, 20 * 1024 * 1024);
  assert.equal(outcome.droppedBytes, 0);
});

test('a script can open its own stdout and stderr again', timeout, async (t) => {
  const runner = await startRunner(t);
  const command = 'echo one; echo two > /dev/stderr; echo three > /dev/stdout; cat /dev/stdin; echo four >> /dev/fd/1';
  const { stdout, stderr, outcome } = await runWhole(runner, makeSpec(command));
  assert.equal(stdout.toString(), 'one\nthree\nfour\n');
  assert.equal(stderr.toString(), 'two\n');
  assert.equal(outcome.exitCode, 0);
});

test('the shell gets the command as ssh would give it', timeout, async (t) => {
  const homeFolder = await temporaryFolder(t);
  await writeFile(join(homeFolder, 'x.txt'), '');
  const runner = await startRunner(t, { homeFolder, baseEnv: { PATH: process.env.PATH, HOME: '/the home' } });
  const command = `printf '<%s>' 'a  b' "c" $HOME "$HOME" *.txt "it's" \\$ 'ü' && printf '<%s>' "$(echo \`echo deep\`)" # no more`;
  const { stdout } = await runWhole(runner, makeSpec(command));
  assert.equal(stdout.toString(), "<a  b><c></the><home></the home><x.txt><it's><$><ü><deep>");
});

test('environment: base, then the spec, then what fleet says', timeout, async (t) => {
  const runner = await startRunner(t);
  const spec = makeSpec('echo "$BASE|$MINE|$FLEET_NODE|$FLEET_JOB|$FLEET_RUN|$SECRET_OF_THIS_PROCESS"', {
    env: { BASE: 'changed', MINE: 'a\nb', FLEET_RUN: 'forged' },
  });
  process.env.SECRET_OF_THIS_PROCESS = 'leaked';
  cleanUp(t, () => delete process.env.SECRET_OF_THIS_PROCESS);
  const { stdout } = await runWhole(runner, spec);
  assert.equal(stdout.toString(), `changed|a\nb|node-1|${spec.job}|${spec.run}|\n`);
});

test('the folder is the home, or the one asked for', timeout, async (t) => {
  const homeFolder = await temporaryFolder(t);
  await mkdir(join(homeFolder, 'sub'));
  const runner = await startRunner(t, { homeFolder });
  assert.equal((await runWhole(runner, makeSpec('pwd'))).stdout.toString(), `${homeFolder}\n`);
  assert.equal((await runWhole(runner, makeSpec('pwd', { cwd: 'sub' }))).stdout.toString(), `${homeFolder}/sub\n`);
  assert.equal((await runWhole(runner, makeSpec('pwd', { cwd: '/usr' }))).stdout.toString(), '/usr\n');
});

test('what cannot be started says why, in a word', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'file'), '');
  const runner = await startRunner(t);
  const reasons: [Parameters<typeof makeSpec>[1], RegExp][] = [
    [{ cwd: join(folder, 'missing') }, /^no_such_folder: .*ENOENT/],
    [{ cwd: join(folder, 'file') }, /^no_such_folder: .*ENOTDIR/],
    [{ user: 'nobody-of-that-name' }, /^no_such_user: nobody-of-that-name$/],
    [
      { env: Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`V${i}`, 'x'.repeat(120_000)])) },
      /^spawn_failed: E2BIG/,
    ],
  ];
  for (const [changes, reason] of reasons) {
    const { outcome, types } = await runWhole(runner, makeSpec('echo no', changes));
    assert.equal(outcome.state, 'failed_to_start');
    assert.match(outcome.reason ?? '', reason);
    assert.equal(outcome.startedAt, null);
    assert.deepEqual(types, [FRAME_TYPE.end]);
  }
  const shellless = await startRunner(t, { shell: join(folder, 'no-shell') });
  const { outcome } = await runWhole(shellless, makeSpec('echo no'));
  assert.match(outcome.reason ?? '', /^no_such_shell: /);
  assert.equal(runner.active + shellless.active, 0);
});

test('a repeated hand-over starts nothing and answers the present status', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const runner = await startRunner(t);
  const spec = makeSpec(`echo once >> ${folder}/effect; sleep 0.1`);
  assert.equal(runner.accept(spec).state, 'delivered');
  for (let i = 0; i < 5; i += 1) runner.accept({ ...spec });
  await readWhole(runner, spec.run);
  const reordered = Object.fromEntries(Object.entries(spec).reverse()) as typeof spec;
  const again = runner.accept(reordered);
  assert.equal(again.state, 'exited');
  assert.equal(again.outcome?.exitCode, 0);
  assert.throws(() => runner.accept({ ...spec, command: 'echo twice' }), { code: 'conflict' });
  assert.equal(await readFile(`${folder}/effect`, 'utf8'), 'once\n');
  assert.throws(() => runner.accept({ ...spec, run: '../../etc/passwd' }), { code: 'bad_request' });
});

test('status, list and acknowledgement', timeout, async (t) => {
  const runner = await startRunner(t);
  const [slow, quick] = [makeSpec('sleep 60'), makeSpec('echo hi')];
  runner.accept(slow);
  const { log } = await runWhole(runner, quick);
  assert.equal(runner.status(quick.run)?.logBytes, log.length);
  await until(() => runner.status(slow.run)?.state === 'running', 'running');
  assert.equal(runner.active, 1);
  assert.deepEqual(
    runner
      .list()
      .map((status) => status.state)
      .sort(),
    ['exited', 'running'],
  );
  assert.throws(() => runner.acknowledge(slow.run), { code: 'conflict' });
  assert.throws(() => runner.acknowledge('000000000000.0'), { code: 'not_found' });
  runner.acknowledge(quick.run);
  runner.acknowledge(quick.run);
  assert.deepEqual(
    runner.list().map((status) => status.run),
    [slow.run],
  );
  assert.equal(runner.accept(quick).state, 'exited');
  assert.equal(runner.status('000000000000.0'), undefined);
  await assert.rejects(runner.cancel('000000000000.0'), { code: 'not_found' });
});

test('output past the limit is counted, and not kept', timeout, async (t) => {
  const runner = await startRunner(t);
  const { stdout, stderr, outcome } = await runWhole(
    runner,
    makeSpec('head -c 300000 /dev/zero; head -c 1000 /dev/zero >&2; exit 3', { maxOutputBytes: 100_001 }),
  );
  assert.equal(stdout.length + stderr.length, 100_001);
  assert.equal(outcome.stdoutBytes, 300_000);
  assert.equal(outcome.stderrBytes, 1000);
  assert.equal(outcome.droppedBytes, 301_000 - 100_001);
  assert.equal(outcome.exitCode, 3);
});

test('a background child that holds stdout keeps the run open; one that does not, does not', timeout, async (t) => {
  const runner = await startRunner(t);
  const holding = await runWhole(runner, makeSpec('(sleep 0.3; echo late) & echo early'));
  assert.equal(holding.stdout.toString(), 'early\nlate\n');
  assert.equal(holding.outcome.exitCode, 0);
  const loose = await runWhole(runner, makeSpec('sleep 30 >/dev/null 2>&1 & echo $!'));
  assert.equal(loose.outcome.state, 'exited');
  // It inherited the pipes' reading ends; so no later run may be given the same pipes.
  const secret = await runWhole(
    runner,
    makeSpec(`echo secret; ls -l /proc/${Number(loose.stdout)}/fd /proc/$$/fd | grep fifo`),
  );
  const fifos = [...secret.stdout.toString().matchAll(/(\S+\.fifo)/g)].map(([name]) => name);
  process.kill(Number(loose.stdout), 'SIGKILL');
  assert.equal(fifos.length, 2 + 4);
  assert.equal(new Set(fifos).size, 4);
});

test('no descriptor and no pipe is left behind by 200 runs', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const runner = await startRunner(t, { folder });
  const many = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i += 8) {
      await Promise.all(
        Array.from({ length: 8 }, () =>
          runWhole(runner, makeSpec('echo a; echo b >&2', { stdin: i % 2 === 0 })).then(({ stdout }) =>
            assert.equal(stdout.toString(), 'a\n'),
          ),
        ),
      );
    }
  };
  await many(40);
  const [before, pipesBefore] = [
    (await readdir('/proc/self/fd')).length,
    (await readdir(join(folder, 'pipes'))).length,
  ];
  await many(200);
  await until(async () => (await readdir('/proc/self/fd')).length <= before, `no more than ${before} descriptors`);
  assert.ok((await readdir(join(folder, 'pipes'))).length <= Math.max(pipesBefore, 32 + 16));
  assert.equal(runner.active, 0);
});

test('folders and files are for their owner only', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const runner = await startRunner(t, { folder });
  const spec = makeSpec('true');
  await runWhole(runner, spec);
  for (const path of [folder, join(folder, 'logs'), join(folder, 'pipes')]) {
    assert.equal((await stat(path)).mode & 0o777, 0o700);
  }
  for (const path of [`logs/${spec.run}.log`, 'runs.db', 'runs.db-wal']) {
    assert.equal((await stat(join(folder, path))).mode & 0o777, 0o600);
  }
});

test('a runner that is not open refuses', timeout, async (t) => {
  const runner = await startRunner(t);
  await runner.close();
  await runner.close();
  assert.throws(() => runner.accept(makeSpec('true')), { code: 'not_running' });
  assert.throws(() => runner.list(), { code: 'not_running' });
});

test('stopAll cancels everything and accepts nothing more', timeout, async (t) => {
  const runner = await startRunner(t);
  const specs = [makeSpec('sleep 60'), makeSpec('sleep 60 | cat'), makeSpec('sleep 60')];
  for (const spec of specs) runner.accept(spec);
  await runner.stopAll();
  for (const spec of specs) assert.equal(runner.status(spec.run)?.state, 'canceled');
  assert.throws(() => runner.accept(makeSpec('true')), { code: 'not_running' });
  assert.equal(
    (await collect(runner.readLog(specs[0]?.run ?? '', 0, AbortSignal.timeout(DEADLINE_MS)))).length > 0,
    true,
  );
});
