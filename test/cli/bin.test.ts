import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, test } from 'node:test';
import {
  DONE,
  dataEvent,
  endEvent,
  FakeGateway,
  JOB,
  jobEvent,
  jobView,
  json,
  openStream,
  runView,
  stream,
} from '../client/fake-gateway.ts';

const BIN = path.resolve(import.meta.dirname, '../../src/bin.ts');

describe('the process', { timeout: 30_000 }, () => {
  let gateway: FakeGateway;
  const children: ChildProcess[] = [];
  beforeEach(async () => {
    gateway = await new FakeGateway().listen();
  });
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await gateway.close();
  });

  function start(...argv: string[]) {
    const env = { ...process.env, FLEET_HOME: gateway.home, FLEET_NODE: 'inside', FLEET_JOB: 'x', FLEET_RUN: 'x.0' };
    const child = spawn(process.execPath, [BIN, ...argv], { env, stdio: ['pipe', 'pipe', 'pipe'] });
    children.push(child);
    const exited = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
    return { child, exited, stderr: text(child.stderr) };
  }

  test('gives the exit code, and works inside of a run of its own', async () => {
    gateway.on('POST /v1/jobs', stream(jobEvent(), dataEvent('stdout', 'hi\n', 8), endEvent({ exitCode: 9 }), DONE));
    const { child, exited } = start('run', 'node-1', 'true');
    assert.equal(await text(child.stdout), 'hi\n');
    assert.deepEqual(await exited, [9, null]);
  });

  test('leaves stdin alone, so that a loop over it goes on', async () => {
    gateway.on('POST /v1/jobs', stream(jobEvent(), endEvent(), DONE));
    const env = { ...process.env, FLEET_HOME: gateway.home };
    const script = `while read line; do "${process.execPath}" "${BIN}" run node-1 true; echo "$line"; done`;
    const shell = spawn('sh', ['-c', script], { env, stdio: ['pipe', 'pipe', 'inherit'] });
    children.push(shell);
    shell.stdin.end('one\ntwo\nthree\n');
    assert.equal(await text(shell.stdout), 'one\ntwo\nthree\n');
  });

  test('--stdin ends with the command, even when nobody closes it', async () => {
    const held = openStream(jobEvent());
    gateway.on('POST /v1/jobs', held);
    const { child, exited } = start('run', '--stdin', 'node-1', 'head -1');
    child.stdin.write('line\n');
    await held.opened;
    held.more(endEvent(), DONE);
    assert.deepEqual(await exited, [0, null]);
  });

  test('a slow reader gets every byte in order, and the gateway waits for it', async () => {
    const chunk = 'x'.repeat(64 * 1024 - 1);
    const count = 160;
    let sent = 0;
    gateway.on('POST /v1/jobs', async (response) => {
      response.writeHead(200);
      response.write(`${JSON.stringify(jobEvent())}\n`);
      for (; sent < count; sent += 1) {
        const event = dataEvent('stdout', `${chunk}\n`, (sent + 1) * 65_541);
        if (!response.write(`${JSON.stringify(event)}\n`)) await once(response, 'drain');
      }
      response.end(`${JSON.stringify(endEvent())}\n${JSON.stringify(DONE)}\n`);
    });
    const { child, exited } = start('run', 'node-1', 'true');
    await once(child.stdout, 'readable');
    let before = -1;
    while (before !== sent) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    assert.ok(sent < count / 2, `${sent} of ${count} chunks were taken without a reader`);
    assert.equal((await text(child.stdout)).length, count * 64 * 1024);
    assert.deepEqual(await exited, [0, null]);
  });

  test('when nobody reads any more, the job is canceled and no error is shown', async () => {
    const held = openStream(jobEvent(), dataEvent('stdout', 'y\n', 7));
    gateway.on('POST /v1/jobs', held);
    gateway.on(`POST /v1/jobs/${JOB}/cancel`, json(jobView(runView({ state: 'running' }))));
    const { child, exited, stderr } = start('run', 'node-1', 'yes');
    await once(child.stdout, 'readable');
    child.stdout.destroy();
    const writer = setInterval(() => held.more(dataEvent('stdout', 'y\n'.repeat(1000), 99_999)), 10);
    try {
      assert.deepEqual(await exited, [141, null]);
    } finally {
      clearInterval(writer);
    }
    assert.equal(await stderr, '');
    assert.equal(gateway.requestsTo(`POST /v1/jobs/${JOB}/cancel`).length, 1);
  });

  test('Ctrl-C in the terminal: cancel, the confirmed end, 130', async () => {
    const held = openStream(jobEvent(), dataEvent('stdout', 'working\n', 13));
    gateway.on('POST /v1/jobs', held);
    gateway.on(`POST /v1/jobs/${JOB}/cancel`, (response, request) => {
      void json(jobView(runView()))(response, request);
      held.more(dataEvent('stdout', 'bye\n', 22), endEvent({ state: 'canceled', exitCode: null }), DONE);
    });
    const { child, exited } = start('run', 'node-1', 'true');
    const out: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => {
      if (out.push(chunk) === 1) child.kill('SIGINT');
    });
    assert.deepEqual(await exited, [130, null]);
    assert.equal(Buffer.concat(out).toString('utf8'), 'working\nbye\n');
  });

  test('a full disk behind stdout is no success', async () => {
    gateway.on('GET /v1/nodes', json({ nodes: [] }));
    const env = { ...process.env, FLEET_HOME: gateway.home };
    const full = openSync('/dev/full', 'w');
    const child = spawn(process.execPath, [BIN, 'nodes', '--json'], { env, stdio: ['ignore', full, 'pipe'] });
    children.push(child);
    const [stderr, [code]] = await Promise.all([
      text(child.stderr as NonNullable<typeof child.stderr>),
      once(child, 'close'),
    ]);
    assert.equal(code, 255);
    assert.match(stderr, /cannot write to stdout: ENOSPC/);
  });

  test('a wrong command line: 2, at most three lines, and JSON where it was asked for', async () => {
    const plain = start('rnu');
    assert.deepEqual(await plain.exited, [2, null]);
    assert.equal(await plain.stderr, 'fleet: unknown command: fleet rnu\nDid you mean: fleet run\n');
    const asJson = start('nodes', '--json', '--nope');
    const out = await text(asJson.child.stdout);
    assert.equal(JSON.parse(out).error.code, 'usage');
    assert.deepEqual(await asJson.exited, [2, null]);
    const debug = start('nodes', '--debug', '--nope');
    assert.match(await debug.stderr, /\n {4}at .*yargs-args/);
  });
});
