/** A node as the first process of a container, in a real process namespace. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { leavePidOne } from '../../src/cli/service/process.ts';
import { FleetWorld, until } from '../support/fleet-processes.ts';

const PATIENCE_MS = 60_000;
const THROUGH = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];

test('orphans are collected, and signals arrive', { timeout: 2 * PATIENCE_MS }, async (t) => {
  if (spawnSync(THROUGH[0] ?? '', [...THROUGH.slice(1), 'true']).status !== 0) {
    return t.diagnostic('this account may make no process namespace');
  }
  const world = await FleetWorld.create();
  t.after(() => world.close());
  await world.startGateway();
  const { code } = await world.json<{ code: string }>(['invite', '--name', 'n1', '--json']);
  const node = await world.startThrough(THROUGH, 'n1', '--code', code);
  const orphans = 'for i in $(seq 40); do (sleep 0.1 &); done; sleep 1';
  const count = "ps -eo stat= | grep -c '^Z'; ps -o comm= -p 1";
  assert.equal((await world.fleet(['run', 'n1', `${orphans}; ${count}`])).text, '0\nsh\n');
  const [first] = execFileSync('pgrep', ['-P', String(node.child.pid)], { encoding: 'utf8' }).split('\n');
  process.kill(Number(first), 'SIGTERM');
  assert.deepEqual(await node.exited, { code: 0, signal: null });
  await until(async () => (await world.fleet(['nodes'])).text.includes('offline'), 'its goodbye', PATIENCE_MS);
});

test('only a service that is process 1 gives its place away; without a shell it says what to do', () => {
  const calls: string[][] = [];
  const warnings: string[] = [];
  const surroundings = {
    pid: 1,
    argv: ['node', 'up'],
    self: { file: '/node', args: ['/fleet.cjs'] },
    execve: (file: string, args: readonly string[]) => void calls.push([file, ...args]),
    hasShell: true,
    warn: (text: string) => void warnings.push(text),
  };
  leavePidOne({ ...surroundings, pid: 2 });
  leavePidOne({ ...surroundings, argv: ['nodes'] });
  assert.deepEqual([calls, warnings], [[], []]);
  leavePidOne(surroundings);
  assert.deepEqual([calls[0]?.[0], calls[0]?.slice(-4)], ['/bin/sh', ['/node', '/fleet.cjs', 'node', 'up']]);
  leavePidOne({ ...surroundings, hasShell: false });
  assert.equal(calls.length, 1);
  assert.match(warnings.join(), /docker run --init/);
});
