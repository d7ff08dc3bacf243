/** People on other machines: real processes, each in a home of its own, over real SSH. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FleetWorld, kill9, type Result, until } from '../support/fleet-processes.ts';

describe('people', () => {
  let world: FleetWorld;
  /** Runs the CLI in the home of that person, who has logged in. */
  const as = (person: string, ...args: string[]): Promise<Result> =>
    world.fleet(args, { home: path.join(world.folder, person) });
  const login = async (person: string, role: string): Promise<Result> => {
    const { code, command } = await world.json<{ code: string; command: string }>([
      ...['invite', '--role', role, '--name', person, '--json'],
    ]);
    assert.match(command, /^fleet login /);
    return await as(person, 'login', `127.0.0.1:${world.port}`, '--code', code);
  };
  /** Starts `fleet run` as that person, and resolves when its output has begun. */
  const startRun = async (person: string, command: string) => {
    const service = world.spawn(['run', 'node-1', command], { home: path.join(world.folder, person) });
    await until(() => service.stdout().includes('begun'), 'the command to begin');
    return service;
  };

  before(async () => {
    world = await FleetWorld.create();
    await world.startGateway();
    await world.startNode('node-1');
    assert.equal((await login('anna', 'operator')).text, `logged in to 127.0.0.1:${world.port} as anna (operator)\n`);
    assert.equal((await login('vera', 'viewer')).code, 0);
  });

  after(() => world.close());

  it('lets an operator work as on the gateway itself', async () => {
    const ran = await as('anna', 'run', 'node-1', 'echo out; echo err >&2; exit 7');
    assert.deepEqual([ran.code, ran.text, ran.stderr], [7, 'out\n', 'err\n']);
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const echoed = await world.fleet(['run', '--stdin', 'node-1', 'cat'], {
      home: path.join(world.folder, 'anna'),
      stdin: bytes,
    });
    assert.deepEqual(echoed.stdout, bytes);
    assert.equal((await as('anna', 'broadcast', 'echo hi')).text, 'node-1: hi\n');
    const [job] = JSON.parse((await as('anna', 'jobs', '--json')).text) as { createdBy: string }[];
    assert.equal(job?.createdBy, 'anna');
    assert.ok([0, 1].includes((await as('anna', 'health')).code ?? -1));
    for (const args of [['nodes'], ['agents'], ['gateway', 'status'], ['health', 'report']]) {
      const { code, stderr } = await as('anna', ...args);
      assert.ok(code === 0 || code === 1, `${args.join(' ')}: ${code} ${stderr}`);
    }
    assert.equal((await as('anna', 'keys', 'list')).code, 77);
    assert.equal((await as('anna', 'invite')).code, 77);
  });

  it('lets a viewer look and not run', async () => {
    assert.match((await as('vera', 'nodes')).text, /node-1/);
    const refused = await as('vera', 'run', 'node-1', 'echo no');
    assert.deepEqual([refused.code, refused.text], [77, '']);
    assert.match(refused.stderr, /permission denied: requires jobs\.run/);
    assert.equal((await as('vera', 'nodes', 'rm', 'node-1')).code, 77);
  });

  it('cancels by Ctrl-C', async () => {
    const run = await startRun('anna', 'echo begun; sleep 60');
    run.child.kill('SIGINT');
    assert.equal((await run.exited).code, 130);
    const [job] = JSON.parse((await as('anna', 'jobs', '--json')).text) as { counts: object }[];
    assert.deepEqual(job?.counts, { canceled: 1 });
  });

  it('goes on through a gateway that is killed and comes back', async () => {
    const go = path.join(world.folder, 'go');
    const run = await startRun('anna', `echo begun; while [ ! -e '${go}' ]; do sleep 0.1; done; echo ended`);
    assert.ok(world.gateway);
    await kill9(world.gateway);
    await world.startGateway();
    await writeFile(go, '');
    assert.equal((await run.exited).code, 0);
    assert.equal(run.stdout(), 'begun\nended\n');
  });

  it('gives stock ssh with the same key the API and nothing else', async () => {
    const home = path.join(world.folder, 'anna', 'person');
    const ssh = async (args: string[], stdin: string): Promise<{ out: string; err: string }> => {
      const options = [
        'StrictHostKeyChecking=no',
        'UserKnownHostsFile=/dev/null',
        'IdentitiesOnly=yes',
        'BatchMode=yes',
      ];
      const flags = options.flatMap((option) => ['-o', option]);
      const where = ['-F', 'none', '-i', path.join(home, 'id_ed25519'), '-p', String(world.port), ...flags];
      const child = spawn('ssh', [...where, ...args, 'anna@127.0.0.1']);
      let out = '';
      let err = '';
      child.stdout.on('data', (chunk: Buffer) => {
        out += chunk;
      });
      child.stderr.on('data', (chunk: Buffer) => {
        err += chunk;
      });
      child.stdin.on('error', () => undefined);
      // Left open: an HTTP server takes the end of the input for the client's leaving.
      child.stdin.write(stdin);
      const late = setTimeout(() => child.kill('SIGKILL'), 30_000);
      await new Promise((resolve) => child.once('close', resolve));
      clearTimeout(late);
      return { out, err };
    };
    const login = JSON.parse(await readFile(path.join(home, 'gateways', `127.0.0.1_${world.port}.json`), 'utf8')) as {
      token: string;
    };
    const ask = (request: string, token: string) =>
      ssh(
        ['-W', 'fleet-gateway:1'],
        `${request} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\nconnection: close\r\n\r\n`,
      );
    assert.match((await ask('GET /v1/nodes', login.token)).out, /^HTTP\/1.1 200.*node-1/s);
    assert.match((await ask('GET /v1/nodes', 'x')).out, /^HTTP\/1.1 401.*token_invalid/s);
    assert.match((await ask('GET /v1/keys', login.token)).out, /^HTTP\/1.1 403.*forbidden/s);
    for (const where of ['fleet-node:1', '127.0.0.1:22', `127.0.0.1:${world.port}`, 'fleet-gateway:2']) {
      assert.match((await ssh(['-W', where], '')).err, /administratively prohibited/, where);
    }
    const forward = ['-N', '-o', 'ExitOnForwardFailure=yes', '-R', 'fleet-node:1:127.0.0.1:9'];
    assert.match((await ssh(forward, '')).err, /forwarding failed/);
    assert.match((await ssh(['-T'], '')).err, /prohibited|failed/);
  });

  it('cuts a revoked person in the middle of a stream, for good', async () => {
    const run = await startRun('anna', 'echo begun; sleep 60');
    assert.equal((await world.fleet(['keys', 'revoke', 'anna'])).code, 0);
    assert.equal((await run.exited).code, 77);
    assert.match(run.stderr(), /key of anna was revoked/);
    for (const args of [['nodes'], ['run', 'node-1', 'true'], ['login']]) {
      assert.equal((await as('anna', ...args)).code, 77, args.join(' '));
    }
    const keys = await world.json<{ name: string; revokedAt: string | null }[]>([
      ...['keys', 'list', '--all', '--kind', 'person', '--json'],
    ]);
    assert.deepEqual(
      keys.map(({ name, revokedAt }) => [name, revokedAt !== null]),
      [
        ['anna', true],
        ['vera', false],
      ],
    );
  });

  it('says what to do where nobody has logged in, and after logging out', async () => {
    const elsewhere = await as('nobody', '--gateway', `127.0.0.1:${world.port}`, 'nodes');
    assert.equal(elsewhere.code, 77);
    assert.match(elsewhere.stderr, /fleet login 127\.0\.0\.1:\d+ --code CODE/);
    assert.equal((await as('vera', 'logout')).code, 0);
    assert.equal((await as('vera', 'nodes')).code, 255);
  });
});
