import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { DONE, endEvent, FakeGateway, jobEvent, stream } from '../client/fake-gateway.ts';
import { TestWorld } from './test-world.ts';

const BIN = path.resolve(import.meta.dirname, '../../src/bin.ts');
/** Passes on words and variables that Node.js itself cannot: `\ooo` in them is a byte. */
const LAUNCHER = 'for word do shift; set -- "$@" "$(printf "%b" "$word")"; done; exec "$@"';

describe('bytes that are not UTF-8', { timeout: 120_000 }, () => {
  let gateway: FakeGateway;
  const children: ChildProcess[] = [];
  before(async () => {
    gateway = await new FakeGateway().listen();
    gateway.on('POST /v1/jobs', stream(jobEvent(), endEvent(), DONE));
  });
  after(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await gateway.close();
  });

  async function run(words: readonly string[], variables: readonly string[] = []) {
    const env = { PATH: process.env.PATH, FLEET_HOME: gateway.home };
    const line = ['env', ...variables, process.execPath, BIN, ...words];
    const child = spawn('sh', ['-c', LAUNCHER, 'sh', ...line], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    children.push(child);
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
    return { code: code as number | null, stdout, stderr };
  }

  test('are refused by their place wherever they stand, without a word of what was typed, and nothing is sent', async () => {
    const table: [string[], string[], string][] = [
      [['run', 'node-1', 'rm caf\\0351'], [], '\\xe9 at byte 7 of argument 3: not UTF-8'],
      [['run', 'node-1', 'printf', '\\0377', 'x'], [], '\\xff at byte 1 of argument 4: not UTF-8'],
      [['run', 'node-1', '', 'caf\\0303'], [], '\\xc3 at byte 4 of argument 4: not UTF-8'],
      [['run', '--cwd', '/srv/caf\\0351', 'node-1', 'pwd'], [], '\\xe9 at byte 9 of argument 3: not UTF-8'],
      [['run', '--cwd=/srv/caf\\0351', 'node-1', 'pwd'], [], '\\xe9 at byte 15 of argument 2: not UTF-8'],
      [['run', '--env', 'K=secret\\0200', 'node-1', 'env'], [], '\\x80 at byte 9 of argument 3: not UTF-8'],
      [['run', '--env', 'LATIN', 'node-1', 'env'], ['LATIN=secret\\0351'], '\\xe9 at byte 7 of the variable LATIN'],
      [['run', '--user', 'ren\\0351', 'node-1', 'id'], [], 'argument 3'],
      [['run', 'caf\\0351', 'id'], [], 'argument 2'],
      [['broadcast', '--outdir', '/tmp/caf\\0351', 'id'], [], 'argument 3'],
      [['agent', 'run', 'node-1', 'coder', 'caf\\0351'], [], 'argument 5'],
      [['schedule', 'add', '0 7 * * *', '--', 'run', 'node-1', 'rm caf\\0351'], [], 'argument 7'],
      [['audit', 'verify', '--file', 'caf\\0351'], [], 'argument 4'],
      [['node', 'up', '--label', 'site=caf\\0351'], [], 'argument 4'],
      [['--home', '/tmp/caf\\0351', 'nodes'], [], 'argument 2'],
      [['nodes'], ['FLEET_HOME=/tmp/caf\\0351'], '\\xe9 at byte 9 of the variable FLEET_HOME'],
      [['nodes'], ['FLEET_HOME=', 'HOME=/tmp/caf\\0351'], 'the path of the home folder is not UTF-8'],
    ];
    for (const [words, variables, expected] of table) {
      const { code, stdout, stderr } = await run(words, variables);
      assert.ok(stderr.includes(expected), `${words.join(' ')}: ${stderr}`);
      assert.equal(code, 2, words.join(' '));
      assert.equal(stdout, '');
      assert.ok(!stderr.includes('\ufffd') && !stderr.includes('secret'), stderr);
    }
    assert.deepEqual(gateway.seen, []);
    assert.deepEqual(
      readdirSync('/tmp').filter((name) => name.startsWith('caf\ufffd')),
      [],
    );
  });

  test('are none in UTF-8, a U+FFFD that was typed included, nor in a variable that is not asked for', async () => {
    const words = ['run', '--env', 'ODD', 'node-1', 'echo', '', '\ufffd', 'caf\u00e9 \u{1f600}'];
    const { code, stderr } = await run(words, ['ODD=\ufffd', 'LATIN=\\0351']);
    assert.equal(stderr, '');
    assert.equal(code, 0);
    const body = gateway.requestsTo('POST /v1/jobs').at(-1)?.body as { command: string; env: object };
    assert.equal(body.command, 'echo  \ufffd caf\u00e9 \u{1f600}');
    assert.deepEqual(body.env, { ODD: '\ufffd' });
  });

  test('are assumed where the system does not tell the bytes', async () => {
    const world = new TestWorld(gateway.home);
    const before = gateway.seen.length;
    const { exitCode, stderr } = await world.run('run', 'node-1', 'rm caf\ufffd');
    assert.equal(exitCode, 2);
    assert.match(stderr, /argument 5 is not UTF-8/);
    world.osBytes = () => Buffer.from('node\0another\0command line\0');
    assert.equal((await world.run('run', 'node-1', 'rm caf\ufffd')).exitCode, 2);
    assert.equal(gateway.seen.length, before);
  });
});
