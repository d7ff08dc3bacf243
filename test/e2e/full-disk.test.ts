/** Small disks that fill up, of the node and of the gateway: nothing is lost, and both go on by themselves once there is room. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { HealthView } from '../../src/protocol/views.ts';
import { FleetWorld, until } from '../support/fleet-processes.ts';

const PATIENCE_MS = 60_000;
/** Of an output of 39 MB. */
const LINES = 5_000_000;
const timeout = { timeout: 3 * PATIENCE_MS };

/** Undefined where nobody may mount. The disk goes when the last process that uses it is gone. */
async function smallDisk(t: TestContext, folder: string, size: string): Promise<string | undefined> {
  await mkdir(folder, { mode: 0o700 });
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=700`, 'fleet-test', folder], { stdio: 'ignore' });
  } catch {
    t.diagnostic('mounting is not allowed here');
    return undefined;
  }
  t.after(() => execFileSync('umount', ['--lazy', folder]));
  return folder;
}

async function createWorld(t: TestContext): Promise<FleetWorld> {
  const world = await FleetWorld.create();
  t.after(() => world.close().catch((error) => assert.equal(error.code, 'EBUSY')));
  return world;
}

async function beatOften({ home }: FleetWorld): Promise<void> {
  const config = { gateway: { heartbeatInterval: '1s' } };
  await writeFile(path.join(home, 'config.yaml'), JSON.stringify(config), { mode: 0o600 });
}

test('a node: an output larger than its disk, then a disk that others fill', timeout, async (t) => {
  const world = await createWorld(t);
  const disk = await smallDisk(t, world.nodeHome('n1'), '16m');
  if (disk === undefined) return;
  await mkdir(world.home, { mode: 0o700 });
  await beatOften(world);
  await world.startGateway();
  await world.startNode('n1');
  for (let round = 0; round < 2; round += 1) {
    const large = await world.fleet(['run', 'n1', 'head -c 40000000 /dev/zero; exit 3']);
    assert.ok([3, 255].includes(large.code ?? -1), large.stderr);
    // The gateway's acknowledgement gives the room back.
    await until(async () => (await world.fleet(['run', 'n1', 'true'])).code === 0, 'the next command', PATIENCE_MS);
  }
  const filler = path.join(disk, 'filler');
  const tail = path.join(world.folder, 'go');
  const wait = `until [ -e ${tail} ]; do sleep 0.1; done; echo late; exit 7`;
  let job = '';
  const isRunning = async (): Promise<boolean> => {
    const shown = job === '' ? 'failed_to_start' : (await world.fleet(['jobs', 'show', job])).text;
    // The node refuses it while the previous output still takes the room.
    if (shown.includes('failed_to_start')) job = (await world.fleet(['run', '--async', 'n1', wait])).text.trim();
    return shown.includes('running');
  };
  await until(isRunning, 'a run', PATIENCE_MS);
  // Takes what the node frees, too: outputs that the gateway has.
  const fill = (): unknown =>
    assert.throws(() => execFileSync('sh', ['-c', `cat /dev/zero >> ${filler}`], { stdio: 'ignore' }));
  const reasons = async (): Promise<string> =>
    (JSON.parse((await world.fleet(['health', '--json'])).text) as HealthView).nodes[0]?.reasons.join() ?? '';
  await until(
    async () => {
      fill();
      return /disk that holds .* is full/.test(await reasons());
    },
    'the fault in health',
    PATIENCE_MS,
  );
  await writeFile(tail, '');
  const ended = await world.fleet(['jobs', 'wait', job]);
  assert.equal(ended.code, 7, 'its end is recorded although the disk is full');
  await rm(filler);
  await until(async () => !/disk that holds/.test(await reasons()), 'the end of the fault', PATIENCE_MS);
  assert.equal((await world.fleet(['run', 'n1', 'echo on'])).text, 'on\n');
});

test('the gateway: the node keeps what cannot be stored, and delivers it once there is room', timeout, async (t) => {
  const world = await createWorld(t);
  const disk = await smallDisk(t, world.home, '24m');
  if (disk === undefined) return;
  await beatOften(world);
  await world.startGateway();
  await world.startNode('n1');
  const job = (await world.fleet(['run', '--async', 'n1', `seq ${LINES}`])).text.trim();
  await until(
    async () => /SQLITE_FULL/.test((await world.fleet(['run', '--async', 'n1', 'true'])).stderr),
    'a full disk',
    PATIENCE_MS,
  );
  const faults = async (): Promise<string> => (await world.fleet(['health', '--json'])).text;
  await until(async () => /heartbeats cannot be stored/.test(await faults()), 'the fault in fleet health', PATIENCE_MS);
  execFileSync('mount', ['-o', 'remount,size=200m', disk]);
  assert.equal((await world.fleet(['jobs', 'wait', job])).code, 0);
  const numbers = (await world.fleet(['jobs', 'logs', job])).text.trimEnd().split('\n');
  assert.equal(numbers.length, LINES);
  assert.ok(numbers.every((line, index) => line === String(index + 1)));
  await until(async () => !/cannot be stored/.test(await faults()), 'the end of the fault', PATIENCE_MS);
});
