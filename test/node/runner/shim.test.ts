import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { connectToShim } from '../../../src/node/runner/shim-link.ts';
import type { RunSpec } from '../../../src/protocol/run-spec.ts';
import { sleep, systemClock } from '../../../src/shared/clock.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import {
  cleanUp,
  DEADLINE_MS,
  isAlive,
  makeSpec,
  processState,
  readWhole,
  runWhole,
  startRunner,
  temporaryFolder,
  until,
  untilSaid,
} from './support/harness.ts';
import { exists, kill, startHost } from './support/host-process.ts';

const timeout = { timeout: DEADLINE_MS + 10_000 };

test('the node is killed while it takes output: no byte is missing, and the exit code is known', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const spool = join(folder, 'spool');
  const spec = makeSpec(
    `echo once >> ${folder}/effect; seq 1 300000; while [ ! -e ${folder}/go ]; do sleep 0.02; done; seq 1 50000 >&2; exit 7`,
  );
  const { host } = await startHost(t, spool, [spec]);
  const log = join(spool, 'logs', `${spec.run}.log`);
  await until(async () => (await readFile(log).catch(() => '')).length > 100_000, 'output');
  await kill(host, 'SIGKILL');
  const runner = await startRunner(t, { folder: spool });
  assert.equal(runner.status(spec.run)?.state, 'running');
  assert.equal(runner.accept(spec).state, 'running');
  await writeFile(`${folder}/go`, '');
  const { outcome, stdout, stderr } = await readWhole(runner, spec.run);
  assert.deepEqual([outcome.state, outcome.exitCode, outcome.reason], ['exited', 7, null]);
  const numbers = (count: number): string => Array.from({ length: count }, (_, n) => `${n + 1}\n`).join('');
  assert.equal(stdout.toString() === numbers(300_000), true, 'every line once, in order');
  assert.equal(stderr.toString() === numbers(50_000), true, 'every line once, in order');
  assert.equal(await readFile(`${folder}/effect`, 'utf8'), 'once\n');
});

test('a shim that ends while it is connected to is none', timeout, async (t) => {
  const path = join(await temporaryFolder(t), 'shim.sock');
  const server = createServer().listen(path);
  await once(server, 'listening');
  // It is in the queue of the listener, which goes before it is accepted.
  const connecting = connectToShim(path);
  server.close();
  assert.equal(await connecting, undefined);
});

test('the node is killed at any moment: each command runs once, to its end', { timeout: 60_000 }, async (t) => {
  const folder = await temporaryFolder(t);
  const spool = join(folder, 'spool');
  const specs: RunSpec[] = [];
  for (const delayMs of [0, 1, 3, 7, 14, 30]) {
    const command = `echo x >> ${folder}/$FLEET_JOB; head -c 30000 /dev/zero; echo end; exit 3`;
    const batch = [makeSpec(command), makeSpec(command), makeSpec(command)];
    specs.push(...batch);
    const { host } = await startHost(t, spool, batch);
    await sleep(systemClock, delayMs);
    await kill(host, 'SIGKILL');
  }
  const runner = await startRunner(t, { folder: spool });
  for (const spec of specs) {
    const { outcome, stdout } = await readWhole(runner, spec.run);
    assert.deepEqual([outcome.state, outcome.exitCode, outcome.reason], ['exited', 3, null]);
    assert.equal(await readFile(join(folder, spec.job), 'utf8'), 'x\n');
    assert.equal(stdout.toString(), `${'\0'.repeat(30_000)}end\n`);
  }
});

test(
  'what ended while no node was there is told to the next one, wherever it was closed or killed',
  timeout,
  async (t) => {
    const folder = await temporaryFolder(t);
    const spool = join(folder, 'spool');
    const wait = `while [ ! -e ${folder}/go ]; do sleep 0.02; done`;
    const [first, second] = [makeSpec(`${wait}; echo a; exit 4`), makeSpec(`${wait}; echo b; kill -9 $$`)] as const;
    const { host } = await startHost(t, spool, [first]);
    await until(
      async () => (await readFile(join(spool, 'logs', `${first.run}.log`)).catch(() => '')).length > 0,
      'start',
    );
    await kill(host, 'SIGKILL');
    const between = await startRunner(t, { folder: spool });
    between.accept(second);
    await until(() => between.status(second.run)?.state === 'running', 'the second one');
    await between.close();
    await writeFile(`${folder}/go`, '');
    await sleep(systemClock, 300);
    const runner = await startRunner(t, { folder: spool });
    const ends = await Promise.all([readWhole(runner, first.run), readWhole(runner, second.run)]);
    assert.deepEqual(
      ends.map(({ stdout, outcome }) => [stdout.toString(), outcome.state, outcome.exitCode, outcome.signal]),
      [
        ['a\n', 'exited', 4, null],
        ['b\n', 'signaled', null, 'SIGKILL'],
      ],
    );
  },
);

test('an exit code is known although something held the pipes when the node was killed', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const spool = join(folder, 'spool');
  const spec = makeSpec(`(while [ ! -e ${folder}/go ]; do sleep 0.02; done; echo late) & echo early; exit 6`);
  const { host } = await startHost(t, spool, [spec]);
  const journaled = async (): Promise<boolean> =>
    (await readFile(join(spool, 'runs.db-wal'))).includes('{"exitCode":6');
  await until(journaled, 'the exit in the journal');
  await kill(host, 'SIGKILL');
  const runner = await startRunner(t, { folder: spool });
  await writeFile(`${folder}/go`, '');
  const { outcome, stdout } = await readWhole(runner, spec.run);
  assert.deepEqual([outcome.state, outcome.exitCode], ['exited', 6]);
  assert.equal(stdout.toString(), 'early\nlate\n');
});

test('a command does not take the death of the node for the end of its stdin', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const spool = join(folder, 'spool');
  const spec = makeSpec(`echo ready; cat > ${folder}/got; echo complete > ${folder}/effect`, { stdin: true });
  const { host } = await startHost(t, spool, [spec]);
  await until(() => exists(`${folder}/got`), 'cat');
  await kill(host, 'SIGKILL');
  await sleep(systemClock, 200);
  assert.equal(await exists(`${folder}/effect`), false);
  const runner = await startRunner(t, { folder: spool });
  const { outcome } = await readWhole(runner, spec.run);
  assert.equal(outcome.state, 'canceled');
  assert.match(outcome.reason ?? '', /^stdin_lost: /);
  assert.equal(await exists(`${folder}/effect`), false);
});

test('the shim is killed: the node starts another one, follows what lives, and goes on', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const runner = await startRunner(t);
  const spec = makeSpec(`echo before; while [ ! -e ${folder}/go ]; do sleep 0.02; done; echo after`);
  const waiting = makeSpec(`cat; echo complete > ${folder}/effect`, { stdin: true });
  for (const each of [spec, waiting]) runner.accept(each);
  await untilSaid(runner, spec.run, 'before');
  await until(() => runner.status(waiting.run)?.state === 'running', 'the other one');
  const former = runner.shimPid;
  process.kill(former, 'SIGKILL');
  await until(() => ![0, former].includes(runner.shimPid), 'another shim');
  assert.equal((await runWhole(runner, makeSpec('echo new'))).stdout.toString(), 'new\n');
  assert.equal(runner.status(spec.run)?.state, 'running');
  await writeFile(`${folder}/go`, '');
  const { outcome, stdout } = await readWhole(runner, spec.run);
  assert.equal(outcome.state, 'unknown');
  assert.match(outcome.reason ?? '', /^node_restarted: /);
  assert.equal(stdout.toString(), 'before\nafter\n');
  assert.equal((await readWhole(runner, waiting.run)).outcome.state, 'canceled');
  assert.deepEqual(runner.faults(), []);
});

test('a shim without commands ends with its node, one with commands once they are recorded', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const spool = join(folder, 'spool');
  const first = await startRunner(t, { folder: spool });
  const idle = first.shimPid;
  await first.close();
  await until(async () => !(await isAlive(idle)), 'the end of the idle one');
  const second = await startRunner(t, { folder: spool });
  const busy = second.shimPid;
  const spec = makeSpec(`while [ ! -e ${folder}/go ]; do sleep 0.02; done`);
  second.accept(spec);
  await until(() => second.status(spec.run)?.state === 'running', 'start');
  await second.close();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.kill(busy, signal);
  await sleep(systemClock, 200);
  assert.equal(await isAlive(busy), true);
  const third = await startRunner(t, { folder: spool });
  assert.equal(third.shimPid, busy);
  await writeFile(`${folder}/go`, '');
  assert.equal((await readWhole(third, spec.run)).outcome.exitCode, 0);
  await third.close();
  await until(async () => !(await isAlive(busy)), 'its end');
});

test('a shim that is told to go loses no command, and stays for nobody once they are done', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const runner = await startRunner(t);
  const { shimPid } = runner;
  const spec = makeSpec(`while [ ! -e ${folder}/go ]; do sleep 0.02; done`);
  runner.accept(spec);
  await until(() => runner.status(spec.run)?.state === 'running', 'start');
  process.kill(shimPid, 'SIGTERM');
  await runner.close();
  assert.equal(await isAlive(shimPid), true);
  await writeFile(`${folder}/go`, '');
  await until(async () => !(await isAlive(shimPid)), 'its end');
});

test('a shim that is stopped does not keep the node from going down, and goes once it is let', timeout, async (t) => {
  const clock = new FakeClock();
  const runner = await startRunner(t, { clock });
  const { shimPid } = runner;
  cleanUp(t, async () => void ((await isAlive(shimPid)) && process.kill(shimPid, 'SIGKILL')));
  process.kill(shimPid, 'SIGSTOP');
  await until(async () => (await processState(shimPid)) === 'T', 'its stop');
  let isClosed = false;
  void runner.close().then(() => {
    isClosed = true;
  });
  await until(async () => {
    await clock.advance(1000);
    return isClosed;
  }, 'the end of the node');
  process.kill(shimPid, 'SIGCONT');
  await until(async () => !(await isAlive(shimPid)), 'its end');
});

test(
  'a shim that does not answer is a fault: no run is accepted, none is said to go on, until it answers again',
  timeout,
  async (t) => {
    const clock = new FakeClock();
    const runner = await startRunner(t, { clock });
    const { shimPid } = runner;
    process.kill(shimPid, 'SIGSTOP');
    cleanUp(t, async () => void ((await isAlive(shimPid)) && process.kill(shimPid, 'SIGCONT')));
    await until(async () => (await processState(shimPid)) === 'T', 'its stop');
    const spec = makeSpec('echo late');
    runner.accept(spec);
    assert.deepEqual(runner.faults(), []);
    await until(async () => {
      await clock.advance(1000);
      return runner.faults().length > 0;
    }, 'the fault');
    const fault = `the process that runs the commands (the shim, pid ${shimPid}) does not answer`;
    assert.deepEqual(runner.faults(), [fault]);
    assert.throws(() => runner.requireAnswers(), { code: 'busy', message: fault });
    assert.throws(() => runner.accept(makeSpec('true')), { code: 'busy', message: fault });
    assert.equal(runner.accept(spec).state, 'delivered', 'what was accepted before is recognised');
    process.kill(shimPid, 'SIGCONT');
    assert.equal((await readWhole(runner, spec.run)).stdout.toString(), 'late\n');
    assert.deepEqual(runner.faults(), []);
    runner.requireAnswers();
  },
);

test('garbage from another process of the account does not end the shim', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const runner = await startRunner(t, { folder });
  const { shimPid } = runner;
  for (const garbage of ['\0\xff{\n', 'null\n', '{"id":1,"do":"nonsense"}\n', '[]\n"x"\n{"id":{}}\n']) {
    const socket = connect(join(folder, 'shim.sock'));
    socket.on('error', () => {});
    socket.end(garbage);
    socket.resume();
    // It may be cut while it still has something to say.
    await new Promise((resolve) => socket.once('close', resolve));
  }
  // Each newcomer takes the place of the node's process, which takes it back.
  await until(() => runner.shimPid !== 0, 'the link');
  assert.equal((await runWhole(runner, makeSpec('echo fine'))).stdout.toString(), 'fine\n');
  assert.equal(await isAlive(shimPid), true);
});

test('a socket behind which nobody answers is a clear error, and no second shim is started', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const socket = join(folder, 'other.sock');
  const server = createServer((connection) => connection.end('{"re":1,"value":{"protocol":99,"commands":[]}}\n'));
  server.listen(socket);
  await once(server, 'listening');
  cleanUp(t, () => server.close());
  const shim = { entry: '/nonexistent', socket, logFile: join(folder, 'shim.log') };
  await assert.rejects(startRunner(t, { folder: join(folder, 'spool'), shim }), { code: 'storage_failed' });
});

test('a shim that cannot be started is a clear error', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const shim = {
    entry: join(folder, 'missing.mjs'),
    socket: join(folder, 's.sock'),
    logFile: join(folder, 'shim.log'),
  };
  await assert.rejects(startRunner(t, { folder: join(folder, 'spool'), shim }), { code: 'storage_failed' });
  assert.match(await readFile(shim.logFile, 'utf8'), /Cannot find module/);
});
