import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openProcessTable } from '../../../src/node/process/process-table.ts';
import { RunCgroups } from '../../../src/node/shim/run-cgroups.ts';
import { ShimServer } from '../../../src/node/shim/shim-server.ts';
import { Supervisor } from '../../../src/node/shim/supervisor.ts';
import { systemClock } from '../../../src/shared/clock.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { within } from '../../support/deadline.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { cleanUp, DEADLINE_MS, isAlive, makeSpec, temporaryFolder, until } from '../runner/support/harness.ts';
import { exists, kill, startHost } from '../runner/support/host-process.ts';

const timeout = { timeout: 4 * DEADLINE_MS };

/** A shim whose clock the test turns, in a home that it may delete. */
async function startServer(t: TestContext) {
  const home = join(await temporaryFolder(t), 'home');
  mkdirSync(home, { mode: 0o700 });
  const clock = new FakeClock();
  const supervisor = new Supervisor(
    {
      processes: openProcessTable(),
      cgroups: new RunCgroups('none', silentLogger, undefined),
      clock: systemClock,
      logger: silentLogger,
      logPath: (run) => join(home, `${run}.log`),
      pipePath: (name) => join(home, name),
    },
    (event) => server.report(event),
  );
  const server = new ShimServer({ shim: 'x', supervisor, clock, logger: silentLogger });
  const socket = join(home, 's.sock');
  await server.listen(socket);
  cleanUp(t, () => server.retire());
  const start = async (run: string, argv: readonly [string, ...string[]]) => {
    execFileSync('mkfifo', [join(home, `${run}.1`), join(home, `${run}.2`)]);
    const pipes = { stdout: `${run}.1`, stderr: `${run}.2`, stdin: null };
    const command = { argv: [...argv], cwd: '/', env: {} } as never;
    const { pid } = await supervisor.start({ run, pipes, maxOutputBytes: 1e6, startedAt: 1, command });
    cleanUp(t, () => isAlive(pid).then((alive) => alive && process.kill(pid, 'SIGKILL')));
    return pid;
  };
  let isClosed = false;
  void server.closed.then(() => {
    isClosed = true;
  });
  return { home, socket, clock, supervisor, server, start, isClosed: () => isClosed };
}

test('a shim whose home is deleted exits once its commands have, even if their pipes are held', timeout, async (t) => {
  const { home, clock, supervisor, server, start, isClosed } = await startServer(t);
  await start('ended.0', ['/bin/true']);
  await until(() => supervisor.idle, 'the end');
  const goes = join(home, '..', 'go');
  await start('running.0', [
    '/bin/sh',
    '-c',
    `while [ ! -e ${goes} ]; do echo x; sleep 0.05; done; sleep 600 & echo $! > ${goes}.pid`,
  ]);
  rmSync(home, { recursive: true });
  await clock.advance(60_000);
  assert.equal(isClosed(), false, 'a command runs');
  assert.equal(supervisor.isEmpty, false);
  execFileSync('touch', [goes]);
  await until(async () => {
    await clock.advance(5_000);
    return isClosed();
  }, 'the end of the shim');
  await server.closed;
  process.kill(Number(readFileSync(`${goes}.pid`, 'utf8')), 'SIGKILL');
});

test('a shim survives a folder that is missing briefly, and keeps ends for its node', timeout, async (t) => {
  const { home, clock, supervisor, start, isClosed } = await startServer(t);
  await start('ended.0', ['/bin/true']);
  await until(() => supervisor.idle, 'the end');
  execFileSync('mv', [home, `${home}.away`]);
  await clock.advance(5_000);
  execFileSync('mv', [`${home}.away`, home]);
  await clock.advance(3_600_000);
  assert.deepEqual([isClosed(), supervisor.isEmpty], [false, false]);
});

test("an exiting shim leaves its successor's socket at the same path alone", timeout, async (t) => {
  const { home, socket, clock, isClosed } = await startServer(t);
  rmSync(home, { recursive: true });
  mkdirSync(home);
  const successor = createServer().listen(socket);
  cleanUp(t, () => successor.close());
  await until(() => exists(socket), 'the successor');
  await clock.advance(60_000);
  await until(() => isClosed(), 'the end');
  assert.equal(await exists(socket), true);
});

test('the process ends by itself', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const spool = join(folder, 'spool');
  const { host } = await startHost(t, spool, [makeSpec(`echo $PPID > ${folder}/shim; exec sleep 3`)]);
  await until(() => exists(`${folder}/shim`), 'the command');
  await until(() => readFileSync(`${folder}/shim`, 'utf8').endsWith('\n'), 'its word');
  const shim = Number(readFileSync(`${folder}/shim`, 'utf8'));
  await kill(host, 'SIGKILL');
  rmSync(spool, { recursive: true, force: true });
  assert.equal(await isAlive(shim), true);
  await within(
    until(async () => !(await isAlive(shim)), 'the end of the shim'),
    'the end of the shim',
    60_000,
  );
});
