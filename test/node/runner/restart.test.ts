import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Runner } from '../../../src/node/runner/runner.ts';
import type { RunSpec } from '../../../src/protocol/run-spec.ts';
import { sleep, systemClock } from '../../../src/shared/clock.ts';
import {
  cleanUp,
  DEADLINE_MS,
  endRunner,
  isAlive,
  makeSpec,
  readWhole,
  runnerOptions,
  startRunner,
  temporaryFolder,
  until,
  untilSaid,
} from './support/harness.ts';
import { edit, exists, killWithShim, startHost } from './support/host-process.ts';

const timeout = { timeout: DEADLINE_MS + 10_000 };

test('node and shim killed: a living command is adopted, runs once, and its output is whole', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  // The 300 kB do not fit into a pipe, so they are written only when somebody reads again.
  const spec = makeSpec(
    `echo once >> ${folder}/effect; echo before; while [ ! -e ${folder}/go ]; do sleep 0.02; done; ` +
      `echo while >&2; head -c 300000 /dev/zero; echo after; while [ ! -e ${folder}/seen ]; do sleep 0.02; done; ` +
      `echo done >> ${folder}/effect`,
  );
  const host = await startHost(t, join(folder, 'spool'), [spec]);
  await until(
    async () => (await readFile(join(folder, 'spool/logs', `${spec.run}.log`)).catch(() => '')).includes('before'),
    'before',
  );
  await killWithShim(host);
  await writeFile(`${folder}/go`, '');
  const runner = await startRunner(t, { folder: join(folder, 'spool') });
  assert.equal(runner.status(spec.run)?.state, 'running');
  assert.equal(runner.accept(spec).state, 'running');
  await writeFile(`${folder}/seen`, '');
  const { outcome, stdout, stderr } = await readWhole(runner, spec.run);
  assert.equal(outcome.state, 'unknown');
  assert.match(outcome.reason ?? '', /^node_restarted: /);
  assert.equal(stdout.toString(), `before\n${'\0'.repeat(300_000)}after\n`);
  assert.equal(stderr.toString(), 'while\n');
  assert.equal(outcome.stdoutBytes, stdout.length);
  assert.equal(await readFile(`${folder}/effect`, 'utf8'), 'once\ndone\n');
});

test('node and shim killed at any moment: no command runs twice, and each ends with a whole log', {
  timeout: 60_000,
}, async (t) => {
  const folder = await temporaryFolder(t);
  const spool = join(folder, 'spool');
  const specs: RunSpec[] = [];
  for (const delayMs of [0, 3, 7, 14, 30]) {
    const command = `echo x >> ${folder}/$FLEET_JOB; head -c 30000 /dev/zero; echo end`;
    const batch = [makeSpec(command), makeSpec(command), makeSpec(command)];
    specs.push(...batch);
    const host = await startHost(t, spool, batch);
    await sleep(systemClock, delayMs);
    await killWithShim(host);
  }
  const runner = await startRunner(t, { folder: spool });
  const whole = `${'\0'.repeat(30_000)}end\n`;
  for (const spec of specs) {
    const { outcome, stdout } = await readWhole(runner, spec.run);
    const effect = await readFile(join(folder, spec.job), 'utf8').catch(() => '');
    assert.equal(runner.accept(spec).state, outcome.state);
    if (outcome.state === 'exited') {
      assert.equal(effect, 'x\n');
      assert.equal(stdout.toString(), whole);
    } else {
      assert.equal(outcome.state, 'unknown');
      assert.ok(['', 'x\n'].includes(effect));
      assert.ok(whole.endsWith(stdout.toString()) || whole.startsWith(stdout.toString()));
    }
  }
});

test('a command that ended while nobody was there is unknown, and not run again', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const spec = makeSpec(
    `echo once >> ${folder}/effect; while [ ! -e ${folder}/go ]; do sleep 0.02; done; touch ${folder}/gone`,
  );
  const host = await startHost(t, join(folder, 'spool'), [spec]);
  await until(() => exists(`${folder}/effect`), 'the effect');
  await killWithShim(host);
  await writeFile(`${folder}/go`, '');
  await until(() => exists(`${folder}/gone`), 'its end');
  const runner = await startRunner(t, { folder: join(folder, 'spool') });
  const { outcome } = await readWhole(runner, spec.run);
  assert.equal(outcome.state, 'unknown');
  assert.match(outcome.reason ?? '', /^node_restarted: /);
  assert.equal(runner.accept(spec).state, 'unknown');
  assert.equal(await readFile(`${folder}/effect`, 'utf8'), 'once\n');
});

test(
  'the timeout of an adopted command counts the time that it ran, whatever the clock of the gateway says by now',
  timeout,
  async (t) => {
    const folder = await temporaryFolder(t);
    const former = new Runner(runnerOptions(folder));
    await former.start();
    const spec = makeSpec('echo began; sleep 2; echo ended', { timeoutMs: 60_000 });
    former.accept(spec);
    await untilSaid(former, spec.run, 'began');
    await former.close();
    const runner = new Runner(runnerOptions(folder, { now: () => Date.now() + 14 * 86_400_000 }));
    await runner.start();
    cleanUp(t, () => endRunner(runner));
    const { outcome, stdout } = await readWhole(runner, spec.run);
    assert.deepEqual([outcome.state, stdout.toString()], ['exited', 'began\nended\n']);
  },
);

test('an adopted command can be canceled, and times out in its time', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const loop = (name: string): string => `echo $$ > ${folder}/${name}; trap '' TERM; while :; do sleep 0.05; done`;
  const specs = [makeSpec(loop('a')), makeSpec(loop('b'), { timeoutMs: 900 })] as const;
  const host = await startHost(t, join(folder, 'spool'), [...specs]);
  await until(async () => (await exists(`${folder}/a`)) && (await exists(`${folder}/b`)), 'both');
  await killWithShim(host);
  const runner = await startRunner(t, { folder: join(folder, 'spool') });
  const status = await runner.cancel(specs[0].run);
  assert.equal(status.state, 'canceled');
  const { outcome } = await readWhole(runner, specs[1].run);
  assert.equal(outcome.state, 'timed_out');
  // Not by `startedAt`: killed before that was recorded, the next process only knows the time of the take-over.
  assert.ok(outcome.endedAt - (await stat(`${folder}/b`)).mtimeMs >= 800);
  for (const name of ['a', 'b'])
    assert.equal(await isAlive(Number(await readFile(`${folder}/${name}`, 'utf8'))), false);
});

test(
  'killed between the spawn and its record: the command is found by the pipes that it holds, and followed',
  timeout,
  async (t) => {
    const folder = await temporaryFolder(t);
    const spool = join(folder, 'spool');
    const loop = `echo $$ > ${folder}/pid; echo hi; while [ ! -e ${folder}/go ]; do sleep 0.02; done; echo bye`;
    const specs = [makeSpec(loop), makeSpec('echo gone')] as const;
    const host = await startHost(t, spool, [...specs]);
    const log = join(spool, 'logs', `${specs[0].run}.log`);
    await until(async () => (await readFile(log).catch(() => '')).includes('hi'), 'hi');
    await killWithShim(host);
    edit(
      spool,
      "UPDATE run SET phase = 'starting', pid = NULL, identity = NULL, started_at = NULL WHERE phase = 'started'",
    );
    await truncate(log, 0);
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
  const host = await startHost(t, join(folder, 'spool'), [spec]);
  await until(async () => (await readFile(`${folder}/pid`, 'utf8').catch(() => '')) !== '', 'pid');
  await killWithShim(host);
  edit(join(folder, 'spool'), "UPDATE run SET cause = 'canceled'");
  const runner = await startRunner(t, { folder: join(folder, 'spool') });
  assert.equal((await readWhole(runner, spec.run)).outcome.state, 'canceled');
});

test('a stdin that was cut by the kill does not pass for whole', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const spec = makeSpec(`echo $$ > ${folder}/pid; cat; sleep 60`, { stdin: true });
  const host = await startHost(t, join(folder, 'spool'), [spec]);
  await until(() => exists(`${folder}/pid`), 'pid');
  await killWithShim(host);
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
    assert.deepEqual([outcome.state, outcome.exitCode, outcome.reason], ['exited', 0, null]);
    assert.equal(stdout.toString(), Array.from({ length: 2000 }, (_, i) => `${i + 1}\n`).join(''));
  },
);

test('a pid that another process bears now is neither followed nor signaled', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const spec = makeSpec(`echo $$ > ${folder}/pid; sleep 0.1`);
  const host = await startHost(t, join(folder, 'spool'), [spec]);
  await until(() => exists(`${folder}/pid`), 'pid');
  await killWithShim(host);
  const bystander = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
  cleanUp(t, () => bystander.kill('SIGKILL'));
  edit(join(folder, 'spool'), `UPDATE run SET pid = ${bystander.pid}, cause = 'canceled'`);
  const runner = await startRunner(t, { folder: join(folder, 'spool') });
  await readWhole(runner, spec.run);
  assert.equal(await isAlive(bystander.pid ?? 0), true);
});
