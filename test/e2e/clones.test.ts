/** One key on two machines: two homes, one copied from the other. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { NodeDetailView } from '../../src/protocol/views.ts';
import { FleetWorld, type Service, until as untilWithin } from '../support/fleet-processes.ts';

/** Two nodes that evict each other pause for up to 30 s. */
const DEADLINE_MS = 90_000;
const until = (condition: () => boolean | Promise<boolean>, what: string) => untilWithin(condition, what, DEADLINE_MS);

describe('clones', () => {
  let world: FleetWorld;
  const services: Service[] = [];
  const show = (): Promise<NodeDetailView> => world.json(['nodes', 'show', 'pi', '--json']);
  const stop = async (): Promise<void> => {
    for (const service of services) service.child.kill('SIGTERM');
    for (const service of services.splice(0)) await service.exited;
  };

  before(async () => {
    world = await FleetWorld.create();
    await world.startGateway();
    services.push(await world.startNode('pi'));
  });

  after(() => world.close());

  it('comes and goes without any suspicion, also when it is killed', async () => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      for (const service of services) service.child.kill(signal);
      for (const service of services.splice(0)) await service.exited;
      services.push(await world.resumeNode('pi'));
    }
    assert.equal((await show()).clone, null);
  });

  it('is noticed when its disk was copied: both machines are named, health warns, and nobody is locked out', async () => {
    await stop();
    execFileSync('cp', ['-a', world.nodeHome('pi'), world.nodeHome('copy')]);
    services.push(await world.resumeNode('pi'));
    assert.equal((await show()).clone, null, 'so far only one of them was here');
    services.push(await world.resumeNode('copy'));
    await until(async () => (await show()).clone !== null, 'the suspicion');
    const { clone } = await show();
    assert.equal(clone?.kind, 'behind');
    assert.deepEqual(
      clone?.machines.map(({ address }) => address),
      ['127.0.0.1', '127.0.0.1'],
    );
    await until(
      async () => (await world.fleet(['health', 'pi'])).stdout.includes('key used by two machines'),
      'the warning',
    );
    assert.match((await world.fleet(['nodes', 'show', 'pi'])).text, /duplicate key: +seen \d+ times/);
    assert.match(
      readFileSync(path.join(world.home, 'gateway', 'gateway.log'), 'utf8'),
      /seems to be used by two machines/,
    );
    // One that the other machine comes in between of ends as unknown: nobody can say that it did not run.
    await until(
      async () => (await world.fleet(['run', 'pi', '--expires', '1m', 'echo alive'])).text === 'alive\n',
      'a run',
    );
    await until(
      () => services.some(({ stderr }) => stderr().includes('another machine')),
      'the warning in a log of a node',
    );
  });

  it('is fine again once one of them is gone and an operator has said so', async () => {
    await stop();
    services.push(await world.resumeNode('pi'));
    assert.equal((await world.fleet(['health', 'pi'])).code === 0, false, 'nobody has looked at it yet');
    assert.equal((await world.fleet(['nodes', 'reset', 'pi'])).code, 0);
    assert.equal((await show()).clone, null);
    await stop();
    services.push(await world.resumeNode('pi'));
    assert.equal((await show()).clone, null);
    await stop();
    services.push(await world.resumeNode('copy'));
    await until(async () => (await show()).clone !== null, 'the copy to be noticed again');
    await stop();
  });

  it('says honestly that it does not know, when a run was handed to a machine that was since set back to a backup', async () => {
    execFileSync('rm', ['-rf', world.nodeHome('copy')]);
    services.push(await world.resumeNode('pi'));
    assert.equal((await world.fleet(['nodes', 'reset', 'pi'])).code, 0);
    await stop();
    execFileSync('cp', ['-a', world.nodeHome('pi'), world.nodeHome('backup')]);
    services.push(await world.resumeNode('pi'));
    const count = path.join(world.folder, 'count');
    const { text } = await world.fleet(['run', 'pi', '--async', `echo $$ >> ${count}; exec sleep 60`]);
    await until(() => existsSync(count) && readFileSync(count, 'utf8').endsWith('\n'), 'the start of the command');
    for (const service of services) service.child.kill('SIGKILL');
    for (const service of services.splice(0)) await service.exited;
    execFileSync('rm', ['-rf', world.nodeHome('pi')]);
    execFileSync('cp', ['-a', world.nodeHome('backup'), world.nodeHome('pi')]);
    services.push(await world.resumeNode('pi'));
    const job = text.trim();
    await until(async () => {
      const view = await world.json<{ runs: { state: string }[] }>(['jobs', 'show', job, '--json']);
      return view.runs[0]?.state === 'unknown';
    }, 'the run to be unknown');
    const pids = readFileSync(count, 'utf8').trim().split('\n').map(Number);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    assert.equal(pids.length, 1, 'and it has not run twice');
  });
});
