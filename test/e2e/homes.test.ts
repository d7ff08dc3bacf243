/** Homes that cannot be used, and homes of somebody else: said in a moment, by every command, before anything is written. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FleetWorld } from '../support/fleet-processes.ts';

const isRoot = process.geteuid?.() === 0;
const NOBODY = 65534;

/** Every kind of command: one that starts, one that asks, one that reads a file, one that makes a key. */
const COMMANDS = [
  ['gateway', 'up', '--listen', '127.0.0.1:0'],
  ['gateway', 'up', '--detach', '--listen', '127.0.0.1:0'],
  ['gateway', 'status'],
  ['gateway', 'logs'],
  ['gateway', 'down'],
  ['node', 'up', '--gateway', '127.0.0.1:1'],
  ['node', 'status'],
  ['node', 'logs'],
  ['nodes'],
  ['run', 'n', 'true'],
  ['health'],
  ['login', '127.0.0.1:1', '--code', '7k3f-9m2q-x0zt-4hcv'],
];
/** What ends well where there is nothing to end. */
const MAY_SUCCEED = new Set(['gateway down']);

describe('homes', () => {
  let world: FleetWorld;

  before(async () => {
    world = await FleetWorld.create();
    chmodSync(world.folder, 0o755);
  });

  after(() => world.close());

  const through = (user: number) =>
    user === 0 ? [] : ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups'];

  async function all(home: string, expected: RegExp, user = 0): Promise<void> {
    for (const args of COMMANDS) {
      const result = await world.fleet(['--home', home, ...args], { deadlineMs: 30_000, through: through(user) });
      const what = `${args.join(' ')}: ${result.code} ${result.stderr}`;
      assert.ok(result.code !== 0 || MAY_SUCCEED.has(args.join(' ')), what);
      assert.doesNotMatch(result.stderr, /bug in fleet/, what);
      assert.ok(result.stderr.trimEnd().split('\n').length <= 3, what);
      const mustSay = ['up', 'login'].some((word) => args.includes(word));
      if (mustSay) assert.match(result.stderr, expected, what);
    }
  }

  it('that cannot be made: below /proc, below a file, a file, a device, a link to nowhere or in a circle', async () => {
    const file = path.join(world.folder, 'file');
    writeFileSync(file, 'text', { mode: 0o600 });
    const [dangling, circle] = [path.join(world.folder, 'dangling'), path.join(world.folder, 'circle')];
    symlinkSync(path.join(world.folder, 'nowhere', 'at-all'), dangling);
    symlinkSync(circle, circle);
    for (const home of ['/proc/nope', '/proc/nope/a/b', file, `${file}/below`, '/dev/null', dangling, circle]) {
      await all(home, new RegExp(`${home}.*\n.*--home`));
    }
  });

  it('that cannot be written: on a read-only or a full disk', { skip: !isRoot && 'needs root' }, async () => {
    for (const [name, options] of Object.entries({ ro: 'ro', full: 'size=4k,nr_inodes=1' })) {
      const disk = path.join(world.folder, name);
      mkdirSync(disk);
      execFileSync('mount', ['-t', 'tmpfs', '-o', `${options},mode=0700`, 'tmpfs', disk]);
      try {
        await all(path.join(disk, 'home'), /cannot make the folder .*\n.*--home/);
        await all(disk, new RegExp(disk));
      } finally {
        execFileSync('umount', [disk]);
      }
    }
  });

  it("that are another user's, whole or in part: says whose, and what to do", {
    skip: !isRoot && 'needs root',
  }, async () => {
    const [ofRoot, ofNobody, mixed] = ['root', 'nobody', 'mixed'].map((name) => path.join(world.folder, name));
    for (const home of [ofRoot, ofNobody, mixed] as string[]) mkdirSync(home, { mode: 0o700 });
    await all(ofRoot as string, /belongs to root, but fleet runs as nobody\n.*chown/, NOBODY);
    chownSync(ofNobody as string, NOBODY, NOBODY);
    for (const args of [
      ['gateway', 'up'],
      ['node', 'up', '--gateway', '127.0.0.1:1'],
    ]) {
      const result = await world.fleet(['--home', ofNobody as string, ...args]);
      assert.equal(result.code, 78, result.stderr);
      assert.match(result.stderr, /belongs to nobody, but fleet runs as root\n/);
      assert.deepEqual(readdirSync(ofNobody as string), []);
    }
    // `sudo fleet gateway up` in a home that was there.
    chownSync(mixed as string, NOBODY, NOBODY);
    mkdirSync(path.join(mixed as string, 'gateway'), { mode: 0o700 });
    const result = await world.fleet(['--home', mixed as string, 'gateway', 'up'], { through: through(NOBODY) });
    assert.equal(result.code, 78, result.stderr);
    assert.match(result.stderr, /gateway belongs to root, but fleet runs as nobody\n.*chown/);
  });

  it('of another machine come up there only when taken over; a shared one holds a node of each machine', {
    skip: !isRoot && 'needs root',
  }, async () => {
    const id = path.join(world.folder, 'machine-id');
    writeFileSync(id, `${'7'.repeat(32)}\n`);
    const elsewhere = [
      'unshare',
      '--mount',
      'sh',
      '-c',
      `mount --bind ${id} /etc/machine-id && exec "$@"`,
      'elsewhere',
    ];
    await world.startGateway();
    const node = await world.startNode('pi');
    node.child.kill('SIGTERM');
    await node.exited;
    const home = world.nodeHome('pi');
    cpSync(home, world.nodeHome('copy'), { recursive: true });
    for (const place of [home, world.nodeHome('copy')]) {
      const result = await world.fleet(['--home', place, 'node', 'up'], { through: elsewhere });
      assert.equal(result.code, 78, result.stderr);
      assert.match(result.stderr, /belongs to the machine .*\n.*--adopt-home.*fleet node up --name NAME/);
    }
    const { code } = await world.json<{ code: string }>(['invite', '--name', 'other', '--json']);
    const where = `127.0.0.1:${world.port}`;
    const up = ['--home', home, 'node', 'up', '--detach'];
    const other = await world.fleet([...up, '--name', 'other', '--gateway', where, '--code', code], {
      through: elsewhere,
    });
    assert.equal(other.code, 0, other.stderr);
    // Each machine finds its own without being told.
    const mine = await world.fleet(up);
    assert.match(mine.text, /^pi is online/, mine.stderr);
    for (const name of ['pi', 'other']) await world.fleet(['--home', home, 'node', 'down', '--name', name]);
    assert.match((await world.fleet(up, { through: elsewhere })).text, /^other is online/);
    await world.fleet(['--home', home, 'node', 'down', '--name', 'other']);
    const adopted = await world.fleet([...up, '--name', 'pi', '--adopt-home'], { through: elsewhere });
    assert.match(adopted.text, /^pi is online/, adopted.stderr);
    await world.fleet(['--home', home, 'node', 'down', '--name', 'pi']);

    world.gateway?.child.kill('SIGTERM');
    await world.gateway?.exited;
    const gateway = await world.fleet(['gateway', 'up'], { through: elsewhere });
    assert.equal(gateway.code, 78, gateway.stderr);
    assert.match(gateway.stderr, /the gateway of .* belongs to the machine/);
    assert.equal(existsSync(path.join(world.home, 'gateway.sock')), false);
  });
});
