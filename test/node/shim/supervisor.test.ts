import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openProcessTable } from '../../../src/node/process/process-table.ts';
import type { ShimEvent, StartOrder } from '../../../src/node/shim/messages.ts';
import { RunCgroups } from '../../../src/node/shim/run-cgroups.ts';
import { Supervisor } from '../../../src/node/shim/supervisor.ts';
import { systemClock } from '../../../src/shared/clock.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { DEADLINE_MS, temporaryFolder, until } from '../runner/support/harness.ts';

const timeout = { timeout: DEADLINE_MS + 10_000 };

async function setUp(t: TestContext) {
  const folder = await temporaryFolder(t);
  const events: ShimEvent[] = [];
  const supervisor = new Supervisor(
    {
      processes: openProcessTable(),
      cgroups: new RunCgroups('none', silentLogger, undefined),
      clock: systemClock,
      logger: silentLogger,
      logPath: (run) => join(folder, `${run}.log`),
      pipePath: (name) => join(folder, name),
    },
    (event) => events.push(event),
  );
  const order = (run: string, program: string): StartOrder => {
    const [stdout, stderr] = [`${run}.1`, `${run}.2`];
    execFileSync('mkfifo', [join(folder, stdout), join(folder, stderr)]);
    const command = { argv: [program], cwd: '/', env: {} } as const;
    return { run, pipes: { stdout, stderr, stdin: null }, maxOutputBytes: 1000, startedAt: 1, command };
  };
  const ends = (): ShimEvent[] => events.filter(({ event }) => event === 'end');
  return { supervisor, order, ends };
}

test('states include a command that is being started only once it was', timeout, async (t) => {
  const { supervisor, order } = await setUp(t);
  const failing = supervisor.start(order('missing.0', '/nonexistent'));
  const starting = supervisor.start(order('true.0', '/bin/true'));
  assert.equal(supervisor.idle, false);
  const told = supervisor.states();
  await assert.rejects(failing, /^StartFailure: no_such_program: \/nonexistent$/);
  const { pid } = await starting;
  assert.deepEqual(
    (await told).map((state) => [state.run, state.pid]),
    [['true.0', pid]],
  );
});

test('an end is reported again on request, and only then', timeout, async (t) => {
  const { supervisor, order, ends } = await setUp(t);
  await supervisor.start(order('true.0', '/bin/true'));
  await until(() => supervisor.idle && ends().length === 1, 'its end');
  supervisor.handle({ do: 'finish', run: 'true.0' });
  await until(() => ends().length > 1, 'its end once more');
  assert.deepEqual(ends()[1], ends()[0]);
  assert.equal(supervisor.isEmpty, false);
  supervisor.handle({ do: 'forget', run: 'true.0' });
  assert.deepEqual([supervisor.isEmpty, await supervisor.states(), ends().length], [true, [], 2]);
});
