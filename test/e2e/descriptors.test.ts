/** File descriptors that are too few from the start, and that run out. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { FleetWorld, findShims, until } from '../support/fleet-processes.ts';

const canLimit = process.platform === 'linux' && process.geteuid?.() === 0;

function setLimit(pid: number, count: number | undefined): void {
  // The hard limit stays, so that it can be raised again.
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${count ?? 4096}:`]);
}

/** The first number that is free: with it as the limit there is none left. */
function openFiles(pid: number): number {
  const taken = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  let free = 0;
  while (taken.has(free)) free += 1;
  return free;
}

describe('file descriptors', { skip: !canLimit && 'needs root and prlimit(1)' }, () => {
  let world: FleetWorld;

  before(async () => {
    world = await FleetWorld.create();
    await world.startGateway();
    await world.startNode('n');
  });

  after(() => world.close());

  it('too few from the start: neither gateway nor node starts, and both say what to do', async () => {
    for (const args of [
      ['gateway', 'up'],
      ['node', 'up', '--gateway', '127.0.0.1:1'],
    ]) {
      for (const count of [24, 32, 40, 63]) {
        const home = world.nodeHome('few');
        const result = await world.fleet(['--home', home, ...args], {
          through: ['prlimit', `--nofile=${count}:${count}`],
        });
        const what = `${args.join(' ')} with ${count}: ${result.stderr}`;
        assert.equal(result.code, 78, what);
        assert.match(
          result.stderr,
          /needs at least 64 open files, but the limit is \d+\n.*ulimit -n .*LimitNOFILE/,
          what,
        );
      }
    }
  });

  it('that run out at the gateway: it logs so, and answers again once there are some', async () => {
    const { pid } = await world.json<{ pid: number }>(['gateway', 'status', '--json']);
    setLimit(pid, openFiles(pid));
    const cut: Socket[] = Array.from({ length: 5 }, () => connect(world.port, '127.0.0.1').on('error', () => {}));
    const log = async () => (await world.fleet(['gateway', 'logs'])).text;
    await until(async () => /no file descriptors are left.*EMFILE/.test(await log()), 'the log', 30_000);
    for (const socket of cut) socket.destroy();
    assert.notEqual((await world.fleet(['nodes'])).code, 0);
    setLimit(pid, undefined);
    await until(async () => /there are file descriptors again/.test(await log()), 'the log', 30_000);
    assert.equal((await world.fleet(['run', 'n', 'echo hi'])).text, 'hi\n');
  });

  it('that run out at a node: a fault with its name, and commands run again once there are some', async () => {
    const { pid } = await world.json<{ pid: number }>(['--home', world.nodeHome('n'), 'node', 'status', '--json']);
    setLimit(pid, openFiles(pid));
    const log = async () => (await world.fleet(['--home', world.nodeHome('n'), 'node', 'logs'])).text;
    await until(async () => /no file descriptors are left.*EMFILE/.test(await log()), 'the log', 30_000);
    setLimit(pid, undefined);
    const [shim = 0] = await findShims(world.nodeHome('n'));
    setLimit(shim, openFiles(shim));
    const refused = await world.fleet(['run', 'n', 'echo hi']);
    assert.equal(refused.code, 255, refused.stderr);
    assert.match(refused.stderr, /EMFILE/);
    setLimit(shim, undefined);
    assert.equal((await world.fleet(['run', 'n', 'echo hi'])).text, 'hi\n');
  });
});
