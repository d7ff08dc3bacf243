/** `fleet node up` that does not get through: what a person hears, and what goes on. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FleetWorld, until } from '../support/fleet-processes.ts';

/** Processes that serve this home. */
function processesOf(home: string): number[] {
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .map(Number)
    .filter((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        return words.includes(home) && words.includes('up');
      } catch {
        return false;
      }
    });
}

describe('node up --detach', () => {
  let world: FleetWorld;

  before(async () => {
    world = await FleetWorld.create();
    await world.startGateway();
  });

  after(() => world.close());

  it('to a gateway that cannot be reached says after a while why, goes on, and gives way to the corrected command', async () => {
    const server = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');
    await until(() => server.listening, 'a server that never says a word');
    const { port } = server.address() as { port: number };
    const causes: [string, RegExp][] = [
      [
        'gatway.invalid',
        /^fleet: cannot resolve gatway\.invalid; still trying in the background \(stop: fleet node down\)\n/m,
      ],
      ['127.0.0.1:1', /^fleet: 127\.0\.0\.1:1: connection refused; still trying in the background/m],
      [`127.0.0.1:${port}`, /^fleet: .*127\.0\.0\.1:\d+.*; still trying in the background/m],
    ];
    await Promise.all(
      causes.map(async ([gateway, expected], index) => {
        const home = path.join(world.folder, `h${index}`);
        const result = await world.fleet(['--home', home, 'node', 'up', '--gateway', gateway, '--detach']);
        assert.equal(result.code, 255);
        assert.match(result.stderr, expected);
        const again = await world.fleet(['--home', home, 'node', 'up', '--gateway', gateway, '--detach']);
        assert.match(again.stderr, /already running.*\n.*fleet node down/);
        assert.equal((await world.fleet(['--home', home, 'node', 'down'])).code, 0);
      }),
    );
    server.close();
    const { code } = await world.json<{ code: string }>(['invite', '--name', 'right', '--json']);
    const home = path.join(world.folder, 'h0');
    const args = ['--home', home, 'node', 'up', '--gateway', `127.0.0.1:${world.port}`, '--code', code, '--detach'];
    const right = await world.fleet(args);
    assert.match(right.text, /^right is online/, right.stderr);
    if (process.geteuid?.() === 0) assert.match(right.stderr, /runs as root and has no policy/);
    const { text } = await world.fleet(['--home', home, 'node', 'logs']);
    assert.equal(/runs as root and has no policy/.test(text), process.geteuid?.() === 0);
    await world.fleet(['--home', home, 'node', 'down']);
  });

  it('that is ended by Ctrl-C leaves nothing behind', async () => {
    const home = path.join(world.folder, 'interrupted');
    const result = await world.fleet(['--home', home, 'node', 'up', '--gateway', 'gatway.invalid', '--detach'], {
      onStart: (child) => {
        void until(() => processesOf(home).length === 2, 'the child').then(() => child.kill('SIGINT'));
      },
    });
    assert.equal(result.code, 130, result.stderr);
    await until(() => processesOf(home).length === 0, 'the end of the child');
  });
});
