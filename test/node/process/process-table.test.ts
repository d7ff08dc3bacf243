import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseProcessStat } from '../../../src/node/process/proc-files.ts';
import { ProcessGroup } from '../../../src/node/process/process-group.ts';
import { type ProcessTable, ProcTable, PsTable } from '../../../src/node/process/process-table.ts';
import { cleanUp, processState, temporaryFolder, until } from '../runner/support/harness.ts';

test('a stat line is read whatever the program is called', () => {
  fc.assert(
    fc.property(fc.string(), fc.nat(), fc.nat(), fc.nat(), (name, group, session, ticks) => {
      const rest = Array.from({ length: 15 }, (_, i) => i + 3).join(' ');
      const line = `12 (${name}) S 1 ${group} ${session} ${rest} ${ticks} 0 0\n`;
      const expected = { pid: 12, name, parent: 1, group, session, state: 'S', cpuTicks: 10 + 11, startTicks: ticks };
      assert.deepEqual(parseProcessStat(line), expected);
    }),
    { examples: [['a) R 5 6 (b', 7, 8, 9]] },
  );
  fc.assert(fc.property(fc.string(), (text) => void parseProcessStat(text)));
  for (const text of ['', '12 sh S 1 2', '1 (x) S 1']) assert.equal(parseProcessStat(text), undefined);
});

test('a group whose members the table hides counts as alive', async (t) => {
  const hidden: ProcessTable = {
    find: () => undefined,
    group: () => [],
    family: () => [],
    findHolder: () => undefined,
    holders: () => [],
  };
  const child = spawn('sleep', ['60'], { stdio: 'ignore', detached: true });
  cleanUp(t, () => child.kill('SIGKILL'));
  const group = new ProcessGroup(child.pid ?? 0, undefined, hidden);
  assert.equal(group.isAlive(), true);
  assert.equal(group.leaderIsAlive(), false, 'but is not followed without a proof of who it is');
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(group.isAlive(), false);
});

test('what kill(2) takes for the own group, or for all processes, is no group of a command', () => {
  const table = new ProcTable();
  for (const leader of [0, 1, -1, 1.5, Number.NaN]) {
    assert.throws(() => new ProcessGroup(leader, undefined, table), /is not the process group of a command/);
  }
});

test('/proc finds the oldest leader that holds a file', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'held');
  // The pid is told once all are there; the one in the middle leads no group.
  const script = `exec 3> ${path}; setsid sleep 60 & echo $!; sleep 60 & wait`;
  const leader = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  cleanUp(t, () => process.kill(-(leader.pid ?? 0), 'SIGKILL'));
  const [line] = await once(leader.stdout, 'data');
  cleanUp(t, () => process.kill(Number(String(line)), 'SIGKILL'));
  const table = new ProcTable();
  assert.equal(table.findHolder(path)?.pid, leader.pid);
  assert.equal(table.findHolder(join(folder, 'missing')), undefined);
  await writeFile(join(folder, 'other'), '');
  assert.equal(table.findHolder(join(folder, 'other')), undefined);
});

const tables: [string, ProcessTable][] = [
  ['/proc', new ProcTable()],
  ['ps', new PsTable()],
];

for (const [name, table] of tables) {
  test(`${name} tells the living from zombies, and one process from its successor`, async (t) => {
    // The parent never collects its child, which leads a group of its own.
    const script =
      "use POSIX; $p = fork; if (!$p) { setpgid(0,0); exit 0 } print qq($p\\n); $| = 1; print ''; sleep 60";
    const parent = spawn('perl', ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
    cleanUp(t, () => parent.kill('SIGKILL'));
    const [line] = await once(parent.stdout, 'data');
    const zombie = Number(String(line));
    await until(async () => (await processState(zombie)) === 'Z', 'a zombie');
    const pid = parent.pid ?? 0;
    const facts = table.find(pid);
    assert.equal(facts?.group, pid);
    assert.equal(facts?.zombie, false);
    assert.equal(table.find(pid)?.identity, facts?.identity);
    assert.equal(table.find(zombie)?.zombie, true);
    assert.deepEqual(
      table.group(zombie).map((member) => member.pid),
      [zombie],
    );
    assert.equal(new ProcessGroup(zombie, table.find(zombie)?.identity, table).isAlive(), false, 'zombies only');
    const group = new ProcessGroup(pid, facts?.identity, table);
    assert.equal(group.isAlive() && group.leaderIsAlive(), true);
    const successor = new ProcessGroup(pid, 'another start', table);
    assert.equal(successor.isAlive() || successor.leaderIsAlive(), false);
    assert.equal(successor.signal('SIGKILL'), true);
    assert.equal(group.isAlive(), true, 'a group that is not ours is not signaled');
    group.signal('SIGKILL');
    await once(parent, 'exit');
    assert.equal(table.find(pid), undefined);
    assert.equal(group.isAlive(), false);
  });
}
