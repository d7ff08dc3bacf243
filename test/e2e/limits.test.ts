/** Commands that write more than is kept: what a person and a script see of it, and that it is never silent. */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FleetWorld, findShims, kill9, type Service, until } from '../support/fleet-processes.ts';

/** Bytes; `seq` below writes lines of seven. */
const LIMIT = 70_000;

const numbers = (first: number, last: number): string =>
  Array.from({ length: last - first + 1 }, (_, n) => `${first + n}\n`).join('');

describe('a limit for output', () => {
  let world: FleetWorld;
  let node: Service;

  before(async () => {
    world = await FleetWorld.create();
    await mkdir(world.home, { mode: 0o700 });
    await writeFile(path.join(world.home, 'config.yaml'), `gateway:\n  maxOutputBytes: ${LIMIT}\n`, { mode: 0o600 });
    await world.startGateway();
    node = await world.startNode('node-1');
  });

  after(() => world.close());

  const kept = numbers(100_000, 104_999) + numbers(195_000, 199_999);

  it('keeps the beginning and the end, and says on stderr what is missing', async () => {
    const run = await world.fleet(['run', 'node-1', 'seq 100000 199999; exit 3']);
    assert.deepEqual([run.code, run.stderr], [3, '']);
    assert.equal(run.text, numbers(100_000, 199_999), 'into a pipe it goes whole');
    const [job] = await world.json<{ job: string }[]>(['jobs', '--json']);
    const logs = await world.fleet(['jobs', 'logs', job?.job ?? '']);
    assert.equal(logs.text, kept);
    assert.equal(logs.code, 255);
    assert.match(logs.stderr, /^fleet: node-1: 615 KiB of stdout and 0 B of stderr were not kept\n/);
    const allowed = await world.fleet(['jobs', 'logs', '--allow-truncation', job?.job ?? '']);
    assert.equal(allowed.code, 0);
  });

  it('says so to scripts, with the exact amounts', async () => {
    const run = await world.json<{ truncated: boolean; stdout: string; reason: string | null }>(
      ['run', '--json', 'node-1', 'seq 100000 199999'],
      255,
    );
    assert.deepEqual([run.truncated, run.stdout], [true, kept]);
    assert.match(run.reason ?? '', /^output_truncated/);
    const words = 'head -c 50000 /dev/zero; seq 100000 199999 >&2';
    const jsonl = await world.fleet(['broadcast', '--on', 'node-1', '--jsonl', words]);
    assert.equal(jsonl.code, 255);
    const lines = jsonl.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const gap = lines.find(({ type }) => type === 'gap');
    assert.equal(Number(gap?.stdoutBytes) + Number(gap?.stderrBytes), 750_000 - LIMIT);
    assert.ok(Number(gap?.next) > 0);
    const end = lines.at(-1);
    assert.deepEqual([end?.stdoutBytes, end?.stderrBytes, end?.truncated], [50_000, 700_000, true]);
  });

  it('keeps all of what is just as long as the limit', async () => {
    const run = await world.json<{ truncated: boolean; stdout: string }>([
      'run',
      '--json',
      'node-1',
      'seq 100000 109999',
    ]);
    assert.deepEqual([run.truncated, run.stdout], [false, numbers(100_000, 109_999)]);
    const broadcast = await world.fleet(['broadcast', '--on', 'node-1', 'seq 100000 199999']);
    assert.match(broadcast.stderr, /^fleet: node-1: 615 KiB of stdout and 0 B of stderr were not kept$/m);
    assert.equal(broadcast.text, kept.replaceAll(/^(?=.)/gm, 'node-1: '));
  });

  it('carries 300 MB past it', async () => {
    const run = await world.json<{ truncated: boolean; stdout: string; state: string }>(
      ['run', '--json', 'node-1', 'yes 123456 | head -c 300000000; echo end'],
      255,
    );
    assert.deepEqual([run.state, run.truncated, run.stdout.length], ['exited', true, LIMIT]);
    assert.ok(run.stdout.startsWith('123456\n123456\n') && run.stdout.endsWith('\n123456\n123456end\n'));
  });

  it('says so, too, when the shim of a killed node has lost a part of it', async () => {
    const there = path.join(world.folder, 'there');
    const go = path.join(world.folder, 'go');
    const wait = `touch ${there}; while [ ! -e ${go} ]; do sleep 0.05; done`;
    const running = world.fleet(['run', 'node-1', `seq 100000 119999; ${wait}; echo last`]);
    await until(async () => (await world.fleet(['run', 'node-1', `test -e ${there}`])).code === 0, 'the first part');
    const shims = await findShims(world.nodeHome('node-1'));
    await kill9(node);
    for (const pid of shims) process.kill(pid, 'SIGKILL');
    node = await world.resumeNode('node-1');
    await writeFile(go, '');
    const run = await running;
    assert.equal(run.code, 255);
    assert.ok(run.text.startsWith(numbers(100_000, 104_999)) && run.text.endsWith('last\n'));
    assert.match(run.stderr, /node_restarted/);
    const [job] = await world.json<{ job: string }[]>(['jobs', '--state', 'unknown', '--json']);
    const logs = await world.fleet(['jobs', 'logs', job?.job ?? '']);
    assert.ok(logs.text.startsWith(numbers(100_000, 104_999)) && logs.text.endsWith('last\n'));
    assert.match(logs.stderr, /^fleet: node-1: .* of stdout and 0 B of stderr were not kept\n/);
  });
});
