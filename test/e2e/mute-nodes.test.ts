/** A node that hangs, and commands whose output is held: what stays in the way of nobody. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { FleetWorld, type Service, until } from '../support/fleet-processes.ts';

describe('what hangs', () => {
  let world: FleetWorld;
  let node: Service;
  const show = async (job: string): Promise<string> => (await world.fleet(['jobs', 'show', job])).text;

  before(async () => {
    world = await FleetWorld.create();
    await world.startGateway();
    node = await world.startNode('node-1');
  });

  after(async () => {
    node.child.kill('SIGCONT');
    await world.close();
  });

  it('gives no place of a node to held output, names who holds it, and keeps an exit 0 through the timeout', async () => {
    const jobs: string[] = [];
    for (let n = 0; n < 4; n += 1) {
      const { text } = await world.fleet(['run', '--async', '--timeout', '30s', 'node-1', 'sleep 300 &']);
      jobs.push(text.trim());
    }
    assert.equal((await world.fleet(['run', 'node-1', 'echo free'])).text, 'free\n');
    for (const job of jobs) {
      await until(
        async () => / exited with 0; sleep \(\d+\) still holds its output/.test(await show(job)),
        'the holder',
      );
    }
    for (const job of jobs) {
      const waited = await world.fleet(['jobs', 'wait', job]);
      assert.equal(waited.code, 0, waited.stderr);
      assert.match(waited.stderr, /output_held/);
    }
  });

  it('ends a job and its command line although the node hangs, and learns later what happened', async () => {
    const hung = world.spawn(['run', 'node-1', 'echo begun; exec sleep 300']);
    await until(() => hung.stdout() === 'begun\n', 'the command');
    const limited = world.spawn(['run', '--timeout', '5s', 'node-1', 'echo begun; exec sleep 300']);
    await until(() => limited.stdout() === 'begun\n', 'the other command');
    node.child.kill('SIGSTOP');
    hung.child.kill('SIGTERM');
    assert.equal((await hung.exited).code, 143);
    assert.match(hung.stderr(), /exiting while job .* is being canceled/);
    const { code } = await limited.exited;
    assert.equal(code, 255);
    assert.match(limited.stderr(), /no_answer/);
    const job = /jobs show (\S+)/.exec(hung.stderr())?.[1] ?? '';
    await until(async () => (await show(job)).includes('no_answer'), 'the deadline of the cancel');
    node.child.kill('SIGCONT');
    await until(async () => (await show(job)).includes('reported later'), 'the report');
  });
});
