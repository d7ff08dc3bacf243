import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';
import { isProcessAlive } from '../../../src/cli/service/process.ts';
import { TestWorld } from '../test-world.ts';

const PROGRAM = path.join(import.meta.dirname, 'detached-program.ts');

function worldFor(scenario: string): TestWorld {
  const world = new TestWorld('/nonexistent');
  const run = `process.env.SCENARIO=${JSON.stringify(scenario)};`;
  world.self = {
    file: process.execPath,
    args: ['--import', `data:text/javascript,${encodeURIComponent(run)}`, PROGRAM],
  };
  return world;
}

describe('--detach', { timeout: 30_000 }, () => {
  test('comes back when the process is ready, which goes on', async () => {
    const world = worldFor('ready');
    const { exitCode, stdout } = await world.run('node', 'up', '--detach', '--name', 'pi', '--json');
    const { pid, argv } = JSON.parse(stdout);
    try {
      assert.equal(exitCode, 0);
      assert.deepEqual(argv, ['--home', '/nonexistent', 'node', 'up', '--name', 'pi', '--json']);
      assert.notEqual(pid, process.pid);
      assert.ok(isProcessAlive(pid));
    } finally {
      process.kill(pid, 'SIGTERM');
    }
    while (isProcessAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 10));
  });

  test('passes on what a person must do before it is ready', async () => {
    const world = worldFor('pending');
    world.reportToParent = undefined;
    const { stdout, stderr } = await world.run('node', 'up', '--name', 'pi', '--detach');
    assert.equal(stdout, 'pi is online\n');
    assert.match(stderr, /1234-5678/);
  });

  test('why it could not start, with its exit code', async () => {
    const { exitCode, stderr } = await worldFor('fail').run('node', 'up', '--detach');
    assert.deepEqual([exitCode, stderr], [77, 'fleet: the key was revoked\nAsk.\n']);
  });

  test('what keeps it from being ready, after a while; it goes on', async () => {
    const { exitCode, stderr } = await worldFor('trying').run('node', 'up', '--detach');
    const [pid, ...lines] = stderr.split('\n');
    assert.deepEqual(lines.slice(0, 2), [
      'fleet: cannot resolve gatway.example.com; still trying in the background (stop: fleet node down)',
      'Spell it.',
    ]);
    assert.equal(exitCode, 255);
    assert.ok(isProcessAlive(Number(pid)));
    process.kill(Number(pid), 'SIGTERM');
    while (isProcessAlive(Number(pid))) await new Promise((resolve) => setTimeout(resolve, 10));
  });

  test('Ctrl-C while it is waited for ends it', async () => {
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
      ['SIGHUP', 129],
    ] as const) {
      const world = worldFor('slow');
      const running = world.run('node', 'up', '--detach');
      while (world.stderr.bytes.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      const pid = Number(world.stderr.bytes.toString());
      assert.ok(isProcessAlive(pid));
      assert.ok(world.signal(signal));
      assert.equal((await running).exitCode, code, signal);
      assert.equal(isProcessAlive(pid), false);
    }
  });

  test('a process that dies before it is ready is told, with the place of its log', async () => {
    const { exitCode, stderr } = await worldFor('die').run('node', 'up', '--detach');
    assert.equal(exitCode, 255);
    assert.match(stderr, /ended before it was ready \(exit code 9\)\nSee .*node\.log/);
  });
});
