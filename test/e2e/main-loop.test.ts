/** A gateway, two nodes, a command, its output: the whole way, through real processes and a real tunnel. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { hostname, release } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { ProcTable } from '../../src/node/process/process-table.ts';
import { FleetWorld } from '../support/fleet-processes.ts';

interface RunJson {
  job: string;
  node: string;
  run: string;
  state: string;
  exitCode: number | null;
  signal: string | null;
  reason: string | null;
  stdout: string;
  stderr: string;
  truncated: boolean;
  durationMs: number | null;
}

describe('the main loop', () => {
  let world: FleetWorld;

  before(async () => {
    world = await FleetWorld.create();
    await world.startGateway();
    await world.startNode('node-1');
    await world.startNode('node-2', '--label', 'rack=b');
  });

  after(() => world.close());

  it('lists both nodes as online, with the facts of this machine', async () => {
    const nodes = await world.json<Record<string, unknown>[]>(['nodes', '--json']);
    // `limited` is online, too: on a machine that is busy with these very tests.
    const isLive = (status: unknown): boolean => status === 'online' || status === 'limited';
    assert.deepEqual(
      nodes.map(({ name, status }) => [name, isLive(status)]),
      [
        ['node-1', true],
        ['node-2', true],
      ],
    );
    assert.equal(nodes[0]?.hostname, hostname());
    assert.equal(nodes[0]?.arch, process.arch);
    assert.deepEqual(nodes[1]?.labels, { rack: 'b' });
    const table = await world.fleet(['nodes']);
    assert.match(table.text, /node-1\s+(online|limited)/);
  });

  it('runs a command and gives its output and its exit code', async () => {
    const uname = await world.fleet(['run', 'node-1', 'uname -a']);
    assert.equal(uname.code, 0);
    assert.ok(uname.text.includes(release()));
    assert.equal((await world.fleet(['run', 'node-1', 'exit 7'])).code, 7);
  });

  it('keeps stdout and stderr apart', async () => {
    const result = await world.fleet(['run', 'node-1', 'for i in 1 2 3; do echo out$i; echo err$i >&2; done']);
    assert.equal(result.text, 'out1\nout2\nout3\n');
    assert.equal(result.stderr, 'err1\nerr2\nerr3\n');
  });

  it('gives the words to the shell as ssh does: joined by blanks, not quoted', async () => {
    assert.equal(
      (await world.fleet(['run', 'node-1', 'echo', '"a  b"', '$FLEET_NODE', '*.nothing'])).text,
      'a  b node-1 *.nothing\n',
    );
    assert.equal((await world.fleet(['run', 'node-1', '--', 'echo', '-n', 'x'])).text, 'x');
    assert.equal((await world.fleet(['run', 'node-1', 'printf', "'%s|'", 'a', 'b'])).text, 'a|b|');
  });

  it('leaves the options behind the command to the command', async () => {
    assert.equal(
      (await world.fleet(['run', 'node-1', 'echo', '--json', '-l', '--timeout', '1s'])).text,
      '--json -l --timeout 1s\n',
    );
  });

  it('sets FLEET_NODE, FLEET_JOB and FLEET_RUN', async () => {
    const run = await world.json<RunJson>(['run', '--json', 'node-1', 'echo $FLEET_NODE $FLEET_JOB $FLEET_RUN']);
    assert.equal(run.stdout, `node-1 ${run.job} ${run.run}\n`);
  });

  it('carries 20 MB of binary output unchanged', async () => {
    const file = path.join(world.folder, 'random');
    const bytes = randomBytes(20_000_000);
    await writeFile(file, bytes);
    const result = await world.fleet(['run', 'node-1', `cat ${file}; printf done >&2`]);
    assert.equal(result.code, 0);
    assert.equal(result.stdout.length, bytes.length);
    assert.equal(sha256(result.stdout), sha256(bytes));
    assert.equal(result.stderr, 'done');
  });

  it('forwards stdin when asked to, and leaves it alone otherwise', async () => {
    const bytes = randomBytes(3_000_000);
    const counted = await world.fleet(['run', '--stdin', 'node-1', 'sha256sum'], { stdin: bytes });
    assert.equal(counted.text.split(' ')[0], sha256(bytes));
    const without = await world.fleet(['run', 'node-1', 'cat; echo end'], { stdin: Buffer.from('not for you') });
    assert.equal(without.text, 'end\n');
    const file = path.join(world.folder, 'input');
    await writeFile(file, 'from a file');
    const fleet = path.resolve(import.meta.dirname, '../../scripts/fleet');
    const env = { ...process.env, FLEET_HOME: world.home };
    const inShell = (input: string) =>
      promisify(execFile)('sh', ['-c', `exec ${fleet} run node-1 'cat; echo end' < ${input}`], { env });
    const unsent = await inShell(file);
    assert.deepEqual([unsent.stdout, unsent.stderr], ['end\n', 'fleet: stdin was not sent; use --stdin\n']);
    assert.equal((await inShell('/dev/null')).stderr, '');
    const unreadable = (redirection: string) =>
      promisify(execFile)('sh', ['-c', `exec ${fleet} run --stdin node-1 cat ${redirection}`], { env });
    await assert.rejects(unreadable('< /'), { code: 2, stderr: 'fleet: stdin is a folder\n' });
    // As nohup leaves it: open for writing only.
    await assert.rejects(unreadable('0> /dev/null'), ({ code, stderr }: { code: number; stderr: string }) => {
      assert.equal(code, 130);
      assert.match(
        stderr,
        /^fleet: stdin was not delivered to the command: cannot read the data to send: EBADF\n.*: canceled/,
      );
      return true;
    });
  });

  it('tells a signal, a timeout and an unknown node by their exit codes', async () => {
    assert.equal((await world.fleet(['run', 'node-1', 'kill -9 $$'])).code, 128 + 9);
    const late = await world.json<RunJson>(['run', '--json', '--timeout', '300ms', 'node-1', 'sleep 60'], 124);
    assert.equal(late.state, 'timed_out');
    const unknown = await world.fleet(['run', '--json', 'nobody', 'true']);
    assert.equal(unknown.code, 255);
    assert.equal((JSON.parse(unknown.text) as { error: { code: string } }).error.code, 'not_found');
  });

  it('honours --cwd and --env', async () => {
    const result = await world.fleet([
      'run',
      '--cwd',
      world.folder,
      '--env',
      'GREETING=good day',
      'node-1',
      'pwd; echo $GREETING',
    ]);
    assert.equal(result.text, `${world.folder}\ngood day\n`);
    const nowhere = await world.json<RunJson>(['run', '--json', '--cwd', '/does/not/exist', 'node-1', 'true'], 255);
    assert.equal(nowhere.state, 'failed_to_start');
    assert.match(nowhere.reason ?? '', /^no_such_folder/);
  });

  it('streams output while the command runs', async () => {
    const seen: number[] = [];
    const begun = Date.now();
    await world.fleet(['run', 'node-1', 'echo first; sleep 1; echo second'], {
      onStart: (child) => child.stdout?.on('data', () => seen.push(Date.now() - begun)),
    });
    const [first = 0, second = 0] = seen;
    assert.ok(second - first > 700, `came at ${seen.join(' and ')} ms`);
  });

  it('gives every event with --jsonl', async () => {
    const result = await world.fleet(['run', '--jsonl', 'node-1', 'echo grüße; printf "\\377" >&2']);
    const events = result.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(events.at(-1)?.type, 'end');
    assert.equal(events.find(({ type }) => type === 'stdout')?.data, 'grüße\n');
    const binary = events.find(({ type }) => type === 'stderr');
    assert.deepEqual([binary?.data, binary?.encoding], [Buffer.from([255]).toString('base64'), 'base64']);
  });

  it('broadcasts to all online nodes, one labelled line each', async () => {
    const result = await world.fleet(['broadcast', 'echo hello from $FLEET_NODE']);
    assert.equal(result.code, 0);
    assert.deepEqual(result.text.trimEnd().split('\n').sort(), [
      'node-1: hello from node-1',
      'node-2: hello from node-2',
    ]);
  });

  it('gathers equal output under folded names with -b', async () => {
    const result = await world.fleet(['broadcast', '-b', 'echo same']);
    assert.match(result.text, /node-\[1-2\] \(2\)\n-+\nsame\n/);
  });

  it('ends a broadcast with the largest code, and 0 with --exit-zero', async () => {
    const command = 'test $FLEET_NODE = node-1 || exit 3';
    const result = await world.fleet(['broadcast', '--json', command]);
    assert.equal(result.code, 3);
    const { runs } = JSON.parse(result.text) as { runs: RunJson[] };
    assert.deepEqual(
      runs.map(({ node, exitCode }) => [node, exitCode]),
      [
        ['node-1', 0],
        ['node-2', 3],
      ],
    );
    assert.equal((await world.fleet(['broadcast', '--exit-zero', command])).code, 0);
  });

  it('selects nodes, and says so with --dry-run', async () => {
    assert.equal((await world.fleet(['broadcast', '--on', '@rack=b', 'echo $FLEET_NODE'])).text, 'node-2: node-2\n');
    assert.equal((await world.fleet(['broadcast', '-x', 'node-2', 'echo $FLEET_NODE'])).text, 'node-1: node-1\n');
    assert.equal(
      (await world.fleet(['broadcast', '--dry-run', '--on', 'node-[1-2]', 'rm -rf /'])).text,
      'node-1\nnode-2\n',
    );
    assert.equal((await world.fleet(['broadcast', '--on', 'node-[1-3]', 'true'])).code, 255);
  });

  it('remembers jobs and their output', async () => {
    const run = await world.json<RunJson>(['run', '--json', 'node-1', 'echo kept; exit 4'], 4);
    const jobs = await world.json<{ job: string; command: string }[]>(['jobs', '--json', '--node', 'node-1']);
    assert.equal(jobs[0]?.job, run.job);
    assert.equal((await world.fleet(['jobs', 'logs', run.job])).text, 'kept\n');
    assert.match((await world.fleet(['jobs', 'show', run.job.slice(0, 8)])).text, /exited/);
    assert.equal((await world.fleet(['jobs', 'wait', run.job])).code, 4);
  });

  it('runs in the background with --async', async () => {
    const started = await world.fleet(['run', '--async', 'node-1', 'echo later']);
    const job = started.text.trim();
    assert.match(job, /^[0-9a-z]{12}$/);
    assert.equal((await world.fleet(['jobs', 'wait', job])).code, 0);
    assert.equal((await world.fleet(['jobs', 'logs', job])).text, 'later\n');
  });

  it('does one thing once for one idempotency key', async () => {
    const file = path.join(world.folder, 'count');
    for (let round = 0; round < 2; round += 1) {
      await world.fleet(['run', '--idempotency-key', 'k1', 'node-1', `echo x >> ${file}`]);
    }
    assert.equal(await readFile(file, 'utf8'), 'x\n');
  });

  it('cancels on Ctrl-C, and only says so once the process group is gone', async () => {
    const file = path.join(world.folder, 'pid');
    const result = await world.fleet(['run', 'node-1', `echo $$ > ${file}; echo ready; sleep 60 & wait`], {
      onStart: (child) => child.stdout?.once('data', () => child.kill('SIGINT')),
    });
    assert.equal(result.code, 130);
    const pid = Number(await readFile(file, 'utf8'));
    // A zombie that its adoptive parent has not collected yet is gone, too, though it answers to signal 0.
    const members = new ProcTable().group(pid).filter(({ zombie }) => !zombie);
    assert.deepEqual(members, []);
  });

  it('shows health with real figures and the Nagios exit code', async () => {
    const result = await world.fleet(['health', '--json']);
    const health = JSON.parse(result.text) as { status: string; nodes: Record<string, unknown>[] };
    assert.equal(health.nodes.length, 2);
    for (const node of health.nodes) {
      assert.ok(Number(node.memUsedPct) > 0 && Number(node.memUsedPct) < 100);
      assert.ok(Number(node.diskUsedPct) > 0);
      assert.ok(Number(node.uptimeS) > 0);
    }
    assert.equal(result.code, { online: 0, limited: 1, error: 2, offline: 2 }[health.status]);
    const report = await world.fleet(['health', 'report', '--since', '1h', '--format', 'json']);
    assert.equal((JSON.parse(report.text) as { nodes: unknown[] }).nodes.length, 2);
  });
});

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
