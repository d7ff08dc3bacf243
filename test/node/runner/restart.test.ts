import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import Database from 'better-sqlite3';
import type { RunSpec } from '../../../src/protocol/run-spec.ts';
import { sleep, systemClock } from '../../../src/shared/clock.ts';
import {
  cleanUp,
  collect,
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

/** Starts a process with a runner, and resolves when it has accepted all specs. */
async function startHost(
  t: TestContext,
  folder: string,
  specs: RunSpec[],
): Promise<{ host: ChildProcess; lines: string[] }> {
  const script = join(import.meta.dirname, 'support/host.ts');
  const host = spawn(process.execPath, [script, folder, ...specs.map((spec) => JSON.stringify(spec))], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  cleanUp(t, () => host.kill('SIGKILL'));
  const lines: string[] = [];
  createInterface({ input: host.stdout }).on('line', (line) => lines.push(line));
  await until(() => lines.some((line) => line.includes('active') || line.includes('code')), 'the host');
  return { host, lines };
}

async function kill(host: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const exited = once(host, 'exit');
  host.kill(signal);
  await exited;
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

test(
  'killed and started again: a living command is adopted, runs once, and its output is whole',
  timeout,
  async (t) => {
    const folder = await temporaryFolder(t);
    // The 300 kB do not fit into a pipe, so they are written only when somebody reads again.
    const spec = makeSpec(
      `echo once >> ${folder}/effect; echo before; while [ ! -e ${folder}/go ]; do sleep 0.02; done; ` +
        `echo while >&2; head -c 300000 /dev/zero; echo after; echo done >> ${folder}/effect`,
    );
    const { host } = await startHost(t, join(folder, 'spool'), [spec]);
    await until(
      async () => (await readFile(join(folder, 'spool/logs', `${spec.run}.log`)).catch(() => '')).includes('before'),
      'before',
    );
    await kill(host, 'SIGKILL');
    await writeFile(`${folder}/go`, '');
    const runner = await startRunner(t, { folder: join(folder, 'spool') });
    assert.equal(runner.status(spec.run)?.state, 'running');
    assert.equal(runner.accept(spec).state, 'running');
    const { outcome, stdout, stderr } = await readWhole(runner, spec.run);
    assert.equal(outcome.state, 'unknown');
    assert.match(outcome.reason ?? '', /^node_restarted: /);
    assert.equal(stdout.toString(), `before\n${'\0'.repeat(300_000)}after\n`);
    assert.equal(stderr.toString(), 'while\n');
    assert.equal(outcome.stdoutBytes, stdout.length);
    assert.equal(await readFile(`${folder}/effect`, 'utf8'), 'once\ndone\n');
  },
);

test('killed at any moment: no command runs twice, and each ends with a whole log', { timeout: 60_000 }, async (t) => {
  const folder = await temporaryFolder(t);
  const spool = join(folder, 'spool');
  const specs: RunSpec[] = [];
  for (const delayMs of [0, 2, 4, 6, 9, 13, 18, 25, 40]) {
    const batch = [1, 2, 3].map((i) =>
      makeSpec(`echo x >> ${folder}/effect-${delayMs}-${i}; head -c 30000 /dev/zero; echo end`),
    );
    specs.push(...batch);
    const { host } = await startHost(t, spool, batch);
    await sleep(systemClock, delayMs);
    await kill(host, 'SIGKILL');
  }
  const runner = await startRunner(t, { folder: spool });
  const states = new Set<string>();
  for (const spec of specs) {
    const { outcome, stdout } = await readWhole(runner, spec.run);
    states.add(outcome.state);
    assert.ok(['exited', 'unknown'].includes(outcome.state));
    if (outcome.state === 'exited') assert.equal(stdout.length, 30_004);
    assert.equal(runner.accept(spec).state, outcome.state);
  }
  assert.ok(states.has('exited'));
  for (const name of await readdir(folder)) {
    if (name.startsWith('effect')) assert.equal(await readFile(join(folder, name), 'utf8'), 'x\n', name);
  }
});

test('a command that ended while nobody was there is unknown, and not run again', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const spec = makeSpec(
    `echo once >> ${folder}/effect; while [ ! -e ${folder}/go ]; do sleep 0.02; done; touch ${folder}/gone`,
  );
  const { host } = await startHost(t, join(folder, 'spool'), [spec]);
  await until(() => exists(`${folder}/effect`), 'the effect');
  await kill(host, 'SIGKILL');
  await writeFile(`${folder}/go`, '');
  await until(() => exists(`${folder}/gone`), 'its end');
  const runner = await startRunner(t, { folder: join(folder, 'spool') });
  const { outcome } = await readWhole(runner, spec.run);
  assert.equal(outcome.state, 'unknown');
  assert.match(outcome.reason ?? '', /^node_restarted: /);
  assert.equal(runner.accept(spec).state, 'unknown');
  assert.equal(await readFile(`${folder}/effect`, 'utf8'), 'once\n');
});

test('an adopted command can be canceled, and times out in its time', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const loop = (name: string): string => `echo $$ > ${folder}/${name}; trap '' TERM; while :; do sleep 0.05; done`;
  const specs = [makeSpec(loop('a')), makeSpec(loop('b'), { timeoutMs: 900 })] as const;
  const { host } = await startHost(t, join(folder, 'spool'), [...specs]);
  await until(async () => (await exists(`${folder}/a`)) && (await exists(`${folder}/b`)), 'both');
  await kill(host, 'SIGKILL');
  const runner = await startRunner(t, { folder: join(folder, 'spool') });
  const status = await runner.cancel(specs[0].run);
  assert.equal(status.state, 'canceled');
  const { outcome } = await readWhole(runner, specs[1].run);
  assert.equal(outcome.state, 'timed_out');
  assert.ok(outcome.endedAt - (outcome.startedAt ?? 0) >= 890);
  for (const name of ['a', 'b'])
    assert.equal(await isAlive(Number(await readFile(`${folder}/${name}`, 'utf8'))), false);
});

test(
  'killed between the spawn and its record: the command is found by its environment, and followed',
  timeout,
  async (t) => {
    const folder = await temporaryFolder(t);
    const spool = join(folder, 'spool');
    const loop = `echo $$ > ${folder}/pid; echo hi; while [ ! -e ${folder}/go ]; do sleep 0.02; done; echo bye`;
    const specs = [makeSpec(loop), makeSpec('echo gone')] as const;
    const { host } = await startHost(t, spool, [...specs]);
    await until(() => exists(`${folder}/pid`), 'pid');
    await sleep(systemClock, 50);
    await kill(host, 'SIGKILL');
    edit(
      spool,
      "UPDATE run SET phase = 'starting', pid = NULL, identity = NULL, started_at = NULL WHERE phase = 'started'",
    );
    await truncate(join(spool, 'logs', `${specs[0].run}.log`), 0);
    const runner = await startRunner(t, { folder: spool });
    assert.equal(runner.status(specs[0].run)?.state, 'running');
    await writeFile(`${folder}/go`, '');
    const { outcome, stdout } = await readWhole(runner, specs[0].run);
    assert.equal(outcome.state, 'unknown');
    assert.notEqual(outcome.startedAt, null);
    assert.equal(stdout.toString(), 'bye\n');
  },
);

test('a cancellation goes on where the killed process was', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const spec = makeSpec(`echo $$ > ${folder}/pid; sleep 60`);
  const { host } = await startHost(t, join(folder, 'spool'), [spec]);
  await until(async () => (await readFile(`${folder}/pid`, 'utf8').catch(() => '')) !== '', 'pid');
  await kill(host, 'SIGKILL');
  edit(join(folder, 'spool'), "UPDATE run SET cause = 'canceled'");
  const runner = await startRunner(t, { folder: join(folder, 'spool') });
  assert.equal((await readWhole(runner, spec.run)).outcome.state, 'canceled');
});

test('a stdin that was cut by the kill does not pass for whole', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const spec = makeSpec(`echo $$ > ${folder}/pid; cat; sleep 60`, { stdin: true });
  const { host } = await startHost(t, join(folder, 'spool'), [spec]);
  await until(() => exists(`${folder}/pid`), 'pid');
  await kill(host, 'SIGKILL');
  const runner = await startRunner(t, { folder: join(folder, 'spool') });
  const { outcome } = await readWhole(runner, spec.run);
  assert.equal(outcome.state, 'canceled');
  assert.match(outcome.reason ?? '', /^stdin_lost: /);
});

test(
  'closed in order: the command lives on, nothing of its output is lost, and the next process adopts it',
  timeout,
  async (t) => {
    const folder = await temporaryFolder(t);
    const count = `i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo $i; [ $((i%100)) -gt 0 ] || sleep 0.02; done; touch ${folder}/gone; sleep 0.3`;
    const spec = makeSpec(`echo $$ > ${folder}/pid; ${count}`);
    const { host, lines } = await startHost(t, join(folder, 'spool'), [spec]);
    await until(() => exists(`${folder}/pid`), 'pid');
    const exited = once(host, 'exit');
    host.kill('SIGTERM');
    const [code] = await exited;
    assert.equal(code, 0, 'the host ends by itself: nothing of the runner holds it');
    assert.ok(lines.includes('{"closed":true}'));
    assert.equal(await isAlive(Number(await readFile(`${folder}/pid`, 'utf8'))), true);
    const runner = await startRunner(t, { folder: join(folder, 'spool') });
    const { outcome, stdout } = await readWhole(runner, spec.run);
    assert.equal(outcome.state, 'unknown');
    assert.equal(stdout.toString(), Array.from({ length: 2000 }, (_, i) => `${i + 1}\n`).join(''));
  },
);

test('an exit code that was seen before the restart is told after it', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const spec = makeSpec(`(while [ ! -e ${folder}/go ]; do sleep 0.02; done; echo late) & echo early; exit 6`);
  const { host } = await startHost(t, join(folder, 'spool'), [spec]);
  const journaled = async (): Promise<boolean> =>
    (await readFile(join(folder, 'spool/runs.db-wal'))).includes('{"exitCode":6');
  await until(journaled, 'the exit in the journal');
  await kill(host, 'SIGKILL');
  const runner = await startRunner(t, { folder: join(folder, 'spool') });
  await writeFile(`${folder}/go`, '');
  const { outcome, stdout } = await readWhole(runner, spec.run);
  assert.equal(outcome.state, 'exited');
  assert.equal(outcome.exitCode, 6);
  assert.equal(stdout.toString(), 'early\nlate\n');
});

test('accepted and surely not spawned is started; perhaps spawned is unknown', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const spool = join(folder, 'spool');
  const first = await startRunner(t, { folder: spool });
  const specs = [makeSpec(`echo a >> ${folder}/a`), makeSpec(`echo b >> ${folder}/b`)] as const;
  for (const spec of specs) first.accept(spec);
  // Both wait for their plan, so neither is spawned yet, and closing leaves them as they are.
  await first.close();
  edit(
    spool,
    `UPDATE run SET phase = 'starting', pipes = '{"stdout":"7.fifo","stderr":"8.fifo","stdin":null}' WHERE run = '${specs[1].run}'`,
  );
  const runner = await startRunner(t, { folder: spool });
  assert.equal((await readWhole(runner, specs[0].run)).outcome.state, 'exited');
  const { outcome } = await readWhole(runner, specs[1].run);
  assert.equal(outcome.state, 'unknown');
  assert.match(outcome.reason ?? '', /^node_restarted: /);
  assert.equal(await readFile(`${folder}/a`, 'utf8'), 'a\n');
  assert.equal(await exists(`${folder}/b`), false);
});

test('a pid that another process bears now is neither followed nor signaled', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const spec = makeSpec(`echo $$ > ${folder}/pid; sleep 0.1`);
  const { host } = await startHost(t, join(folder, 'spool'), [spec]);
  await until(() => exists(`${folder}/pid`), 'pid');
  await kill(host, 'SIGKILL');
  const bystander = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
  cleanUp(t, () => bystander.kill('SIGKILL'));
  edit(join(folder, 'spool'), `UPDATE run SET pid = ${bystander.pid}, cause = 'canceled'`);
  const runner = await startRunner(t, { folder: join(folder, 'spool') });
  await readWhole(runner, spec.run);
  assert.equal(await isAlive(bystander.pid ?? 0), true);
});

test('an outcome without its end frame, and a torn frame, are put right', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const first = await startRunner(t, { folder });
  const specs = [makeSpec('echo out'), makeSpec('echo out'), makeSpec('echo out')] as const;
  const [whole, torn, untouched] = await Promise.all(specs.map((spec) => runWhole(first, spec)));
  assert.ok(whole && torn && untouched);
  await first.close();
  const path = (index: 0 | 1): string => join(folder, 'logs', `${specs[index].run}.log`);
  await truncate(path(0), whole.log.length - 1);
  const endBytes = Buffer.byteLength(JSON.stringify(torn.outcome)) + 5;
  await truncate(path(1), torn.log.length - endBytes);
  await appendFile(path(1), Buffer.from([1, 0, 0, 1, 0, 65, 66]));
  const runner = await startRunner(t, { folder });
  assert.deepEqual((await readWhole(runner, specs[0].run)).log, whole.log);
  assert.deepEqual((await readWhole(runner, specs[1].run)).log, torn.log);
  assert.deepEqual((await readWhole(runner, specs[2].run)).log, untouched.log);
  assert.equal(runner.status(specs[0].run)?.logBytes, whole.log.length);
});

test('a torn frame of a living run is cut, and what follows is whole', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const spec = makeSpec(`echo before; while [ ! -e ${folder}/go ]; do sleep 0.02; done; echo after`);
  const { host } = await startHost(t, join(folder, 'spool'), [spec]);
  const log = join(folder, 'spool/logs', `${spec.run}.log`);
  await until(async () => (await readFile(log).catch(() => '')).includes('before'), 'before');
  await kill(host, 'SIGKILL');
  await appendFile(log, Buffer.from([1, 0, 0, 0, 200, 88, 88]));
  const runner = await startRunner(t, { folder: join(folder, 'spool') });
  await writeFile(`${folder}/go`, '');
  assert.equal((await readWhole(runner, spec.run)).stdout.toString(), 'before\nafter\n');
});

test('two processes never share a folder', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  await startRunner(t, { folder });
  const { lines } = await startHost(t, folder, []);
  assert.deepEqual(lines, ['{"code":"already_running"}']);
});

test('foreign files in the folder do no harm and stay; a broken journal is not replaced', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const first = await startRunner(t, { folder });
  const spec = makeSpec('echo out');
  await runWhole(first, spec);
  await first.close();
  const foreign = ['notes.txt', 'logs/notes.txt', 'logs/zzz.log', 'pipes/notes.txt', 'pipes/x.fifo'];
  for (const name of foreign) await writeFile(join(folder, name), 'garbage');
  await writeFile(join(folder, 'pipes/99.fifo'), 'a file that only looks like a pipe');
  const second = await startRunner(t, { folder });
  assert.equal((await runWhole(second, makeSpec('echo more'))).stdout.toString(), 'more\n');
  await second.close();
  for (const name of foreign) assert.equal(await readFile(join(folder, name), 'utf8'), 'garbage');
  assert.deepEqual((await readdir(join(folder, 'pipes'))).sort(), ['notes.txt', 'x.fifo']);

  await writeFile(join(folder, 'runs.db'), Buffer.alloc(8192, 'garbage'));
  await assert.rejects(startRunner(t, { folder }), { code: 'storage_failed' });
  assert.deepEqual(await readFile(join(folder, 'runs.db')), Buffer.alloc(8192, 'garbage'));
});

test(
  'readers of a run that is let go learn it, and go on with the next process from where they were',
  timeout,
  async (t) => {
    const folder = await temporaryFolder(t);
    const first = await startRunner(t, { folder: join(folder, 'spool') });
    const spec = makeSpec(`echo before; while [ ! -e ${folder}/go ]; do sleep 0.02; done; echo after`);
    first.accept(spec);
    const got: Buffer[] = [];
    const reading = (async () => {
      for await (const piece of first.readLog(spec.run, 0, AbortSignal.timeout(DEADLINE_MS))) got.push(piece);
    })();
    const refused = assert.rejects(reading, { code: 'connection_lost' });
    const canceling = assert.rejects(
      until(() => Buffer.concat(got).includes('before'), 'before')
        .then(() => first.close())
        .then(() => first.cancel(spec.run)),
      { code: 'not_running' },
    );
    await Promise.all([refused, canceling]);
    const second = await startRunner(t, { folder: join(folder, 'spool') });
    await writeFile(`${folder}/go`, '');
    const rest = await collect(second.readLog(spec.run, Buffer.concat(got).length, AbortSignal.timeout(DEADLINE_MS)));
    const whole = await readWhole(second, spec.run);
    assert.deepEqual(Buffer.concat([...got, rest]), whole.log);
    assert.equal(whole.stdout.toString(), 'before\nafter\n');
  },
);

/** Changes the journal as a process that was killed at another moment would have left it. */
function edit(folder: string, sql: string): void {
  const database = new Database(join(folder, 'runs.db'));
  database.exec(sql);
  database.close();
}
