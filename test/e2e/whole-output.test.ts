/** `fleet run` into a pipe or a file: every byte, however little is kept, at the reader's pace, whatever is killed meanwhile. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { access, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FleetWorld, findShims, kill9, type Service, until } from '../support/fleet-processes.ts';

/** Kept, bytes: less than what is under way between node and reader. */
const LIMIT = 70_000;
const MIB = 1024 * 1024;

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const exists = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  );

describe('fleet run into a pipe', () => {
  let world: FleetWorld;
  let node: Service;
  let source: string;
  const bytes = randomBytes(24 * MIB);

  before(async () => {
    world = await FleetWorld.create();
    await mkdir(world.home, { mode: 0o700 });
    await writeFile(path.join(world.home, 'config.yaml'), `gateway:\n  maxOutputBytes: ${LIMIT}\n`, { mode: 0o600 });
    source = path.join(world.folder, 'source');
    await writeFile(source, bytes);
    await world.startGateway();
    node = await world.startNode('node-1');
  });

  after(() => world.close());

  /** A run whose reader waits after the first bytes; `resume` lets it read on. */
  function slowRun(command: string) {
    const first = Promise.withResolvers<void>();
    let read = (): void => {};
    let pid = 0;
    const done = world.fleet(['run', 'node-1', command], {
      deadlineMs: 120_000,
      onStart: (child) => {
        pid = child.pid ?? 0;
        child.stdout?.once('data', () => {
          child.stdout?.pause();
          first.resolve();
        });
        read = () => void child.stdout?.resume();
      },
    });
    return { done, first: first.promise, resume: () => read(), kill: () => process.kill(pid, 'SIGKILL') };
  }

  it('passes more than is kept, both streams, and the exit code; what is kept stays bounded', async () => {
    const run = await world.fleet(['run', 'node-1', `cat ${source}; head -c 3000000 /dev/zero >&2; exit 3`]);
    assert.equal(sha256(run.stdout), sha256(bytes));
    assert.deepEqual([run.code, run.stderr.length], [3, 3_000_000]);
    const [job] = await world.json<{ job: string; runs: { truncated: boolean }[] }[]>(['jobs', '--json']);
    assert.equal(job?.runs[0]?.truncated, true);
    const logs = await world.fleet(['jobs', 'logs', '--allow-truncation', job?.job ?? '']);
    assert.ok(logs.stdout.length <= LIMIT);
  });

  it('passes it as events, too', async () => {
    const run = await world.fleet(['run', '--jsonl', 'node-1', `head -c 5000000 ${source}`]);
    const events = run.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; data?: string; encoding?: BufferEncoding; next?: number });
    const data = events.filter(({ type }) => type === 'stdout');
    const all = Buffer.concat(data.map((event) => Buffer.from(event.data ?? '', event.encoding ?? 'utf8')));
    assert.equal(sha256(all), sha256(bytes.subarray(0, 5_000_000)));
    assert.equal(events.filter(({ type }) => type === 'gap').length, 0);
    assert.equal(run.code, 0);
  });

  it('a reader that waits makes the command wait, and misses nothing across kills of gateway and node', async () => {
    const mark = path.join(world.folder, 'mark');
    const run = slowRun(`cat ${source}; touch ${mark}`);
    await run.first;
    // Nothing tells that a command waits, but that it does not go on.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.equal(await exists(mark), false);
    assert.ok(world.gateway);
    await kill9(world.gateway);
    await world.startGateway();
    await kill9(node);
    node = await world.resumeNode('node-1');
    assert.equal(await exists(mark), false);
    run.resume();
    const result = await run.done;
    assert.equal(sha256(result.stdout), sha256(bytes));
    assert.equal(result.code, 0, result.stderr);
    assert.equal(await exists(mark), true);
  });

  it('goes on where it was, when the gateway is killed in the middle of it', async () => {
    let seen = 0;
    let killed: Promise<unknown> | undefined;
    const run = await world.fleet(['run', 'node-1', `cat ${source} ${source}`], {
      deadlineMs: 120_000,
      onStart: (child) =>
        child.stdout?.on('data', (chunk: Buffer) => {
          seen += chunk.length;
          if (seen > 10 * MIB && world.gateway) killed ??= kill9(world.gateway).then(() => world.startGateway());
        }),
    });
    await killed;
    assert.equal(sha256(run.stdout), sha256(Buffer.concat([bytes, bytes])));
    assert.equal(run.code, 0, run.stderr);
  });

  it('says what is missing, when the shim is killed', async () => {
    const run = slowRun(`cat ${source}`);
    await run.first;
    for (const pid of await findShims(world.nodeHome('node-1'))) process.kill(pid, 'SIGKILL');
    run.resume();
    const result = await run.done;
    assert.equal(result.code, 255);
    assert.match(result.stderr, /node_restarted|output_gap/);
  });

  it('a reader that is killed holds the command up no longer', async () => {
    const mark = path.join(world.folder, 'mark-2');
    const run = slowRun(`cat ${source}; touch ${mark}`);
    await run.first;
    run.kill();
    await run.done;
    await until(() => exists(mark), 'the end of the command', 110_000);
  });

  it('a reader that closes its pipe ends the command', async () => {
    const running = spawn('sh', ['-c', 'scripts/fleet run node-1 "yes; :" | head -c 10'], {
      env: { ...process.env, FLEET_HOME: world.home },
      stdio: 'ignore',
    });
    await new Promise((resolve) => running.once('close', resolve));
    const isEnded = async (): Promise<boolean> => {
      const [job] = await world.json<{ runs: { state: string }[] }[]>(['jobs', '--json']);
      return job?.runs[0]?.state === 'canceled';
    };
    await until(isEnded, 'the end of the run');
  });

  it('somebody else who follows gets what is kept, with a named gap', async () => {
    const job = (await world.fleet(['run', '--async', 'node-1', `cat ${source}`])).text.trim();
    const logs = await world.fleet(['jobs', 'logs', '-f', job]);
    assert.equal(logs.code, 255);
    assert.equal(logs.stdout.length, LIMIT);
    assert.match(logs.stderr, /were not kept/);
  });
});
