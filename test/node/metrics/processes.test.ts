import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { createReadProcesses } from '../../../src/node/metrics/processes.ts';
import type { ProcessFigures } from '../../../src/protocol/node-messages.ts';
import { processesAnswer } from '../../../src/protocol/node-messages.ts';
import { systemClock } from '../../../src/shared/clock.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { cleanUp } from '../../support/temp-folder.ts';

const figures = (pid: number, changes: Partial<ProcessFigures> = {}): ProcessFigures => ({
  pid,
  user: 'root',
  cpuPct: 0,
  memPct: 0,
  rssBytes: 0,
  command: 'x',
  ...changes,
});

test('one reading at a time, reused for two seconds, however many requests', async () => {
  const clock = new FakeClock();
  let readings = 0;
  const gate = Promise.withResolvers<void>();
  const read = async () => {
    readings += 1;
    await gate.promise;
    return [figures(readings)];
  };
  const ask = createReadProcesses({ clock, logger: silentLogger, read });
  const asked = Array.from({ length: 20 }, () => ask({ limit: 10, sort: 'cpu' }));
  gate.resolve();
  for (const answer of await Promise.all(asked)) assert.equal(answer[0]?.pid, 1);
  await clock.advance(1_999);
  assert.equal((await ask({ limit: 10, sort: 'mem' }))[0]?.pid, 1);
  await clock.advance(1);
  assert.equal((await ask({ limit: 10, sort: 'cpu' }))[0]?.pid, 2);
  assert.equal(readings, 2);
});

test('the largest come first, by CPU or memory, up to the limit, with bounded names', async () => {
  const read = async () => [
    figures(1, { cpuPct: 5, rssBytes: 10 }),
    figures(3, { cpuPct: 50, rssBytes: 1 }),
    figures(2, { cpuPct: 50, rssBytes: 1, command: 'y'.repeat(1_000) }),
  ];
  const ask = createReadProcesses({ clock: new FakeClock(), logger: silentLogger, read });
  const byCpu = await ask({ limit: 2, sort: 'cpu' });
  assert.deepEqual(
    byCpu.map(({ pid }) => pid),
    [2, 3],
  );
  assert.equal(byCpu[0]?.command, 'y'.repeat(64));
  assert.deepEqual(
    (await ask({ limit: 3, sort: 'mem' })).map(({ pid }) => pid),
    [1, 2, 3],
  );
});

test('a machine that cannot be read is a clear error', async () => {
  const read = async () => {
    throw new Error('no /proc');
  };
  const ask = createReadProcesses({ clock: new FakeClock(), logger: silentLogger, read });
  await assert.rejects(ask({ limit: 10, sort: 'cpu' }), { code: 'timeout' });
});

test('on this machine, a busy process is listed, without its arguments', { timeout: 60_000 }, async (t) => {
  const busy = spawn(process.execPath, ['-e', 'console.log(1); for (;;);', 'secret-word'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  cleanUp(t, () => void busy.kill('SIGKILL'));
  await once(busy.stdout, 'data');
  const ask = createReadProcesses({ clock: systemClock, logger: silentLogger });
  const processes = await ask({ limit: 50, sort: 'cpu' });
  assert.deepEqual(processesAnswer.parse({ processes }), { processes });
  const told = processes.find(({ pid }) => pid === busy.pid);
  assert.ok(told !== undefined && told.cpuPct > 0 && told.rssBytes > 0, JSON.stringify(told));
  assert.doesNotMatch(JSON.stringify(processes), /secret-word/);
});
