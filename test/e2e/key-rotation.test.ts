/** New keys for old ones while everything runs: real processes, killed at the worst moments. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { NodeDetailView } from '../../src/protocol/views.ts';
import { FleetWorld, kill9, type Service, until as untilWithin } from '../support/fleet-processes.ts';

const until = (condition: () => boolean | Promise<boolean>, what: string) => untilWithin(condition, what, 90_000);

describe('key rotation', () => {
  let world: FleetWorld;
  let node: Service;
  const rotate = () => world.fleet(['node', 'rotate-key'], { home: world.nodeHome('pi') });
  const show = (): Promise<NodeDetailView> => world.json(['nodes', 'show', 'pi', '--json']);
  const echo = async (): Promise<void> => {
    assert.equal((await world.fleet(['run', 'pi', '--expires', '1m', 'echo well'])).text, 'well\n');
  };

  before(async () => {
    world = await FleetWorld.create();
    await world.startGateway();
    node = await world.startNode('pi');
  });

  after(() => world.close());

  it('gives the node a new key while a command runs, and refuses a copy of the old one for good', async () => {
    execFileSync('cp', ['-a', world.nodeHome('pi'), world.nodeHome('thief')]);
    const { id, fingerprint } = await show();
    const go = path.join(world.folder, 'go');
    const running = world.fleet(['run', 'pi', `echo begun; until [ -e ${go} ]; do sleep 0.1; done; echo ended`]);
    await until(async () => (await world.fleet(['jobs'])).text.includes('running'), 'the command to run');
    const { code, text } = await rotate();
    assert.equal(code, 0);
    await until(async () => (await show()).connectedSince !== null, 'the node to be back');
    const view = await show();
    assert.equal(view.id, id);
    assert.notEqual(view.fingerprint, fingerprint);
    assert.equal(text, `the key is now ${view.fingerprint}\n`);
    execFileSync('touch', [go]);
    assert.equal((await running).text, 'begun\nended\n');

    const thief = world.spawn(['node', 'up', '--gateway', `127.0.0.1:${world.port}`], {
      home: world.nodeHome('thief'),
    });
    assert.equal((await thief.exited).code, 77);
    assert.match(thief.stderr(), /replaced/);
    await echo();
  });

  it('is killed with -9 around a rotation, again and again, and always comes back as itself', async () => {
    const { id } = await show();
    for (const delayMs of [0, 120]) {
      const rotating = rotate();
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      await kill9(node);
      await rotating;
      node = await world.resumeNode('pi');
      assert.equal((await show()).id, id);
      assert.equal((await show()).clone, null);
    }
    await echo();
  });

  it('changes the key with the next connect when there is no gateway to tell', async () => {
    const { fingerprint } = await show();
    await kill9(world.gateway as Service);
    await until(async () => (await rotate()).text.includes('not connected'), 'the node to notice');
    await world.startGateway();
    await until(async () => (await show()).fingerprint !== fingerprint, 'the new key');
    await echo();
  });

  it('rotates the signing key of the gateway under live tunnels', async () => {
    await echo();
    const first = await world.json<{ key: string; graceEndsAt: string }>(['gateway', 'rotate-key', '--json']);
    assert.match(first.key, /^[0-9a-f]{16}$/);
    await echo();
    const second = await world.json<{ key: string }>(['gateway', 'rotate-key', '--json']);
    assert.notEqual(second.key, first.key);
    await kill9(world.gateway as Service);
    await world.startGateway();
    await echo();
  });
});
