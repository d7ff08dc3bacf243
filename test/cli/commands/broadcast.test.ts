import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import {
  DONE,
  dataEvent,
  endEvent,
  FakeGateway,
  JOB,
  jobEvent,
  json,
  nodeView,
  openStream,
  stateEvent,
  stream,
} from '../../client/fake-gateway.ts';
import { until } from '../../support/deadline.ts';
import { TestWorld } from '../test-world.ts';

describe('fleet broadcast', { timeout: 20_000 }, () => {
  let gateway: FakeGateway;
  let world: TestWorld;
  beforeEach(async () => {
    gateway = await new FakeGateway().listen();
    world = new TestWorld(gateway.home);
  });
  afterEach(() => gateway.close());

  const body = (): Record<string, unknown> =>
    gateway.requestsTo('POST /v1/jobs').at(-1)?.body as Record<string, unknown>;

  /** Three nodes: two say the same, the third another thing, fails and complains. */
  const three = stream(
    jobEvent(3),
    stateEvent('running', 0),
    dataEvent('stdout', 'sa', 7, 0),
    dataEvent('stdout', 'other\n', 11, 2),
    dataEvent('stdout', 'same\n', 10, 1),
    dataEvent('stderr', 'bad\n', 20, 2),
    dataEvent('stdout', 'me\n', 15, 0),
    endEvent({ index: 2, exitCode: 3 }),
    endEvent({ index: 0 }),
    endEvent({ index: 1 }),
    DONE,
  );

  test('goes to all connected nodes by default; each line behind the name of its node', async () => {
    gateway.on('POST /v1/jobs', three);
    const { exitCode, stdout, stderr } = await world.run('broadcast', 'uname', '-r');
    assert.equal(body().command, 'uname -r');
    assert.deepEqual(body().target, { selector: '@online,@limited,@error' });
    assert.equal(stdout, 'node-3: other\nnode-2: same\nnode-1: same\n');
    assert.equal(
      stderr,
      'node-3: bad\nfleet: node-3: exited with code 3\nfleet: 2 of 3 nodes succeeded, 1 exited with 3\n',
    );
    assert.equal(exitCode, 3);
  });

  test('what stands on the two sides of a gap is not one line, and the gap is told once', async () => {
    const gap = { type: 'gap', run: `${JOB}.0`, index: 0, node: 'node-1', stdoutBytes: 0, stderrBytes: 2048 } as const;
    const events = [
      jobEvent(1),
      dataEvent('stdout', 'head', 9),
      { ...gap, next: 14 },
      dataEvent('stdout', 'tail\n', 24),
      endEvent({ truncated: true }),
      DONE,
    ];
    gateway.on('POST /v1/jobs', stream(...events));
    const { stdout, stderr, exitCode } = await world.run('broadcast', '--allow-truncation', 'true');
    assert.equal(stdout, 'node-1: head\nnode-1: tail\n');
    assert.equal(stderr, 'fleet: node-1: 0 B of stdout and 2 KiB of stderr were not kept\n');
    assert.equal(exitCode, 0);
    const outdir = ['--outdir', `${gateway.home}/out`];
    for (const format of [[], ['--json'], ['--jsonl'], ['-b'], outdir]) {
      assert.equal((await world.run('broadcast', ...format, 'true')).exitCode, 255, String(format));
    }
    assert.equal((await world.run('broadcast', '--exit-zero', 'true')).exitCode, 0);
    world.stdout.isTTY = true;
    assert.equal((await world.run('broadcast', 'true')).exitCode, 0);
    assert.equal((await world.run('broadcast', ...outdir, 'true')).exitCode, 255, 'nobody watches the files');
  });

  test('a prompt and a progress bar show while the command goes on', async () => {
    const held = openStream(jobEvent(2), dataEvent('stdout', '50%\r', 9, 0), dataEvent('stdout', 'Password: ', 9, 1));
    gateway.on('POST /v1/jobs', held);
    const running = world.run('broadcast', 'true');
    await until(() => world.stdout.bytes.includes('Password: '), 'the prompt');
    assert.equal(world.stdout.bytes.toString(), 'node-1: 50%\r\nnode-2: Password: ');
    held.more(dataEvent('stdout', 'ok\n', 20, 1), endEvent(), endEvent({ index: 1 }), DONE);
    assert.equal((await running).stdout, 'node-1: 50%\r\nnode-2: Password: ok\n');
  });

  test('passes on who, how many at once, and when to stop', async () => {
    gateway.on('POST /v1/jobs', three);
    await world.run('broadcast', '--on', 'web-*', '-x', 'web-3', '-f', '5', '--ramp', '--max-errors', '5%', 'true');
    assert.deepEqual(body().target, { selector: 'web-*', exclude: 'web-3' });
    assert.deepEqual(body().flow, { fanout: 5, ramp: true, maxErrors: '5%' });
  });

  test('offline nodes that were left out are named whoever watches, and --all takes them in', async () => {
    const left = { ...jobEvent(1), notTried: ['nas'] };
    gateway.on('POST /v1/jobs', stream(left, endEvent(), DONE));
    const { stderr, exitCode } = await world.run('broadcast', 'true');
    assert.deepEqual([stderr, exitCode], ['fleet: 1 of 1 succeeded; 1 offline, not tried: nas\n', 0]);
    assert.deepEqual(JSON.parse((await world.run('broadcast', '--json', 'true')).stdout).notTried, ['nas']);
    await world.run('broadcast', '--all', '-x', 'web-3', 'true');
    assert.deepEqual(body().target, { selector: '@all', exclude: 'web-3' });
    assert.equal((await world.run('broadcast', '--all', '--on', 'web-1', 'true')).exitCode, 2);
  });

  test('a failure that ends a ramp gives its own exit code', async () => {
    const held = { state: 'canceled', reason: 'max_errors', exitCode: null } as const;
    const ends = [endEvent({ exitCode: 1 }), endEvent({ index: 1, ...held }), endEvent({ index: 2, ...held })];
    gateway.on('POST /v1/jobs', stream(jobEvent(3), ...ends, DONE));
    const { stderr, exitCode } = await world.run('broadcast', '--ramp', '--max-errors', '0', 'false');
    assert.match(stderr, /1 failed, 2 not started\n$/);
    assert.equal(exitCode, 1);
  });

  test('-b shows equal output once; --diff what differs; -N no names', async () => {
    gateway.on('POST /v1/jobs', three);
    const gathered = await world.run('broadcast', '-b', 'true');
    const rule = '---------------';
    assert.equal(gathered.stdout, `${rule}\nnode-[1-2] (2)\n${rule}\nsame\n${rule}\nnode-3\n${rule}\nother\n`);
    const diff = await world.run('broadcast', '--diff', 'true');
    assert.match(diff.stdout, /^--- node-\[1-2\]\n\+\+\+ node-3\n@@.*@@\n-same\n\+other\n$/);
    assert.equal((await world.run('broadcast', '-N', 'true')).stdout, 'other\nsame\nsame\n');
  });

  test('--outdir keeps the bytes of each node, besides the output', async () => {
    gateway.on('POST /v1/jobs', three);
    const outdir = path.join(gateway.home, 'out');
    const { stdout } = await world.run('broadcast', '--outdir', outdir, 'true');
    assert.equal(readFileSync(path.join(outdir, 'node-1.out'), 'utf8'), 'same\n');
    assert.equal(readFileSync(path.join(outdir, 'node-3.err'), 'utf8'), 'bad\n');
    assert.match(stdout, /node-1: same/);
  });

  test('--json: all runs in order, and counts', async () => {
    gateway.on('POST /v1/jobs', three);
    const { exitCode, stdout, stderr } = await world.run('broadcast', '--json', 'true');
    const { job, runs, counts } = JSON.parse(stdout);
    assert.equal(job, JOB);
    assert.deepEqual(
      runs.map((run: Record<string, unknown>) => [run.node, run.exitCode, run.stdout, run.stderr]),
      [
        ['node-1', 0, 'same\n', ''],
        ['node-2', 0, 'same\n', ''],
        ['node-3', 3, 'other\n', 'bad\n'],
      ],
    );
    assert.deepEqual([counts.exited0, counts.exitedNonZero, counts.expired], [2, 1, 0]);
    assert.deepEqual([exitCode, stderr], [3, '']);
  });

  test('--jsonl: lines of all nodes as they come', async () => {
    gateway.on('POST /v1/jobs', three);
    const { stdout } = await world.run('broadcast', '--jsonl', 'true');
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      lines.map(({ type, node, data }) => [type, node, data]),
      [
        ['state', 'node-1', undefined],
        ['stdout', 'node-1', 'sa'],
        ['stdout', 'node-3', 'other\n'],
        ['stdout', 'node-2', 'same\n'],
        ['stderr', 'node-3', 'bad\n'],
        ['stdout', 'node-1', 'me\n'],
        ['end', 'node-3', undefined],
        ['end', 'node-1', undefined],
        ['end', 'node-2', undefined],
      ],
    );
  });

  test('--exit-zero gives 0 for failed runs, but not for a fleet that failed', async () => {
    gateway.on('POST /v1/jobs', three, (response) => void response.writeHead(500).end());
    assert.equal((await world.run('broadcast', '--exit-zero', 'true')).exitCode, 0);
    assert.equal((await world.run('broadcast', '--exit-zero', 'true')).exitCode, 255);
  });

  test('all well: nothing but the output, as long as nobody watches', async () => {
    const well = stream(jobEvent(1), dataEvent('stdout', 'x', 6), endEvent(), DONE);
    gateway.on('POST /v1/jobs', well);
    assert.deepEqual(await world.run('broadcast', 'true').then(({ stdout, stderr }) => [stdout, stderr]), [
      'node-1: x\n',
      '',
    ]);
    world.stderr.isTTY = true;
    assert.match((await world.run('broadcast', 'true')).stderr, /1 of 1 node succeeded/);
  });

  test('--dry-run says who is meant, and runs nothing', async () => {
    gateway.on('GET /v1/nodes', json({ nodes: [nodeView({ name: 'web-1' }), nodeView({ name: 'web-2' })] }));
    const { stdout, stderr, exitCode } = await world.run('broadcast', '--on', 'web-*', '-x', 'db', '--dry-run');
    assert.deepEqual([stdout, stderr, exitCode], ['web-1\nweb-2\n', 'web-[1-2] (2)\n', 0]);
    const asJson = await world.run('broadcast', '--dry-run', '--json', 'true');
    assert.deepEqual(JSON.parse(asJson.stdout), {
      selector: '@online,@limited,@error',
      exclude: null,
      count: 2,
      folded: 'web-[1-2]',
      nodes: ['web-1', 'web-2'],
    });
    assert.deepEqual(
      gateway.seen.map(({ url }) => decodeURIComponent(url)),
      ['/v1/nodes?selector=web-*&exclude=db', '/v1/nodes?selector=@online,@limited,@error'],
    );
  });

  test('colours the names only where a person looks', async () => {
    gateway.on('POST /v1/jobs', stream(jobEvent(1), dataEvent('stdout', 'x\n', 7), endEvent(), DONE));
    world.env = { CLICOLOR_FORCE: '1' };
    assert.equal((await world.run('broadcast', 'true')).stdout, '\u001b[36mnode-1:\u001b[39m x\n');
    world.env = { CLICOLOR_FORCE: '1', NO_COLOR: '1' };
    assert.equal((await world.run('broadcast', 'true')).stdout, 'node-1: x\n');
  });

  test('refuses wrong numbers', async () => {
    for (const args of [
      ['-f', '0'],
      ['--fanout', 'x'],
      ['--max-errors', '5.5%'],
    ]) {
      assert.equal((await world.run('broadcast', ...args, 'true')).exitCode, 2, args.join(' '));
    }
    assert.equal(gateway.seen.length, 0);
  });
});
