import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { JobEvent } from '../../../src/protocol/job-messages.ts';
import {
  type Answer,
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
} from '../../client/fake-gateway.ts';
import { TestWorld } from '../test-world.ts';

const SHOW = `GET /v1/jobs/${JOB}`;
const FOLLOW = `POST /v1/jobs/${JOB}/follow`;

describe('fleet jobs', { timeout: 20_000 }, () => {
  let gateway: FakeGateway;
  let world: TestWorld;
  beforeEach(async () => {
    gateway = await new FakeGateway().listen();
    world = new TestWorld(gateway.home);
  });
  afterEach(() => gateway.close());

  test('lists them; asks for what the options say', async () => {
    world.clock = { ...world.clock, now: () => Date.UTC(2026, 0, 2) };
    gateway.on(
      'GET /v1/jobs',
      json({
        jobs: [
          jobView(runView({ exitCode: 3 })),
          jobView(runView(), runView({ index: 1 })),
          jobView(...[0, 4, 0, 5].map((exitCode, index) => runView({ exitCode, index }))),
        ],
      }),
    );
    const { stdout } = await world.run('jobs', '--node', 'n', '--state', 'exited', '--since', '24h', '--limit', '5');
    assert.equal(gateway.seen[0]?.url, `/v1/jobs?node=n&state=exited&since=${Date.UTC(2026, 0, 1)}&limit=5`);
    const lines = stdout.trimEnd().split('\n');
    assert.match(lines[0] ?? '', /^JOB +CREATED +ON +STATE +COMMAND$/);
    assert.match(lines[1] ?? '', /^abcdefghjkmn +1d ago +node-1 +exited 3 +true$/);
    assert.match(lines[2] ?? '', / 2 exited 0 /);
    assert.match(lines[3] ?? '', / 2 exited 0, 2 exited non-zero /);
    assert.equal(JSON.parse((await world.run('jobs', '--json')).stdout).length, 3);
  });

  test('show: every run, and with -b what was said', async () => {
    gateway.on(
      SHOW,
      json(jobView(runView({ stdoutBytes: 3 }), runView({ index: 1, state: 'timed_out', exitCode: null }))),
    );
    gateway.on(
      FOLLOW,
      stream(jobEvent(2), dataEvent('stdout', 'hi\n', 8), endEvent(), endEvent({ index: 1, state: 'timed_out' }), DONE),
    );
    const { stdout } = await world.run('jobs', 'show', JOB, '-b');
    assert.match(stdout, /node-1 +exited 0 +100ms +3 B\n/);
    assert.match(stdout, /node-2 +timed out/);
    assert.match(stdout, /-{15}\nnode-1\n-{15}\nhi\n$/);
    assert.equal(JSON.parse((await world.run('jobs', 'show', JOB, '--json')).stdout).job, JOB);
  });

  test('logs of a job that has ended: all of it, as it was', async () => {
    gateway.on(SHOW, json(jobView(runView({ stdoutBytes: 3 }))));
    gateway.on(FOLLOW, stream(jobEvent(), dataEvent('stdout', Buffer.from([1, 255]), 7), endEvent(), DONE));
    const { stdoutBytes, exitCode } = await world.run('jobs', 'logs', JOB);
    assert.deepEqual([stdoutBytes, exitCode], [Buffer.from([1, 255]), 0]);
  });

  test('logs and show -b fail when output is missing, unless a person watches or it was allowed', async () => {
    gateway.on(SHOW, json(jobView(runView({ truncated: true }))));
    const gap = { type: 'gap', run: `${JOB}.0`, index: 0, node: 'node-1', next: 14, stdoutBytes: 5, stderrBytes: 0 };
    gateway.on(FOLLOW, stream(jobEvent(), gap as JobEvent, endEvent({ truncated: true }), DONE));
    for (const words of [
      ['jobs', 'logs', JOB],
      ['jobs', 'logs', '-f', JOB],
      ['jobs', 'logs', '--json', JOB],
      ['jobs', 'logs', '--jsonl', JOB],
      ['jobs', 'show', '-b', JOB],
    ]) {
      world.stdout.isTTY = false;
      assert.equal((await world.run(...words)).exitCode, 255, String(words));
      assert.equal((await world.run(...words, '--allow-truncation')).exitCode, 0, String(words));
      world.stdout.isTTY = true;
      assert.equal((await world.run(...words)).exitCode, 0, String(words));
    }
    world.stdout.isTTY = false;
    assert.equal((await world.run('jobs', 'show', JOB)).exitCode, 0, 'it prints no output');
  });

  test('logs of a job that goes on: what there is, without waiting; with -f to its end', async () => {
    const running = runView({ state: 'running', exitCode: null, stdoutBytes: 4, stderrBytes: 1 });
    gateway.on(SHOW, json(jobView(running)));
    const held = openStream(jobEvent(), dataEvent('stdout', 'one\n', 9), dataEvent('stderr', '!', 15));
    const rest = stream(
      jobEvent(),
      dataEvent('stdout', 'one\n', 9),
      dataEvent('stdout', 'two\n', 18),
      endEvent(),
      DONE,
    );
    gateway.on(FOLLOW, held, rest);
    const now = await world.run('jobs', 'logs', JOB);
    assert.deepEqual([now.stdout, now.stderr, now.exitCode], ['one\n', '!', 0]);
    assert.equal((await world.run('jobs', 'logs', '-f', JOB)).stdout, 'one\ntwo\n');
  });

  test('logs of a job that has said nothing yet ask for nothing', async () => {
    gateway.on(SHOW, json(jobView(runView({ state: 'queued', exitCode: null }))));
    assert.equal((await world.run('jobs', 'logs', JOB)).stdout, '');
    assert.equal(gateway.requestsTo(FOLLOW).length, 0);
  });

  test('logs of several runs carry names; of one node they do not, and the others are not sent', async () => {
    gateway.on(SHOW, json(jobView(runView(), runView({ index: 1 }))));
    const both = stream(
      jobEvent(2),
      dataEvent('stdout', 'a\n', 7, 0),
      dataEvent('stdout', 'b\n', 7, 1),
      endEvent(),
      endEvent({ index: 1 }),
      DONE,
    );
    gateway.on(FOLLOW, both);
    assert.equal((await world.run('jobs', 'logs', JOB)).stdout, 'node-1: a\nnode-2: b\n');
    assert.equal((await world.run('jobs', 'logs', JOB, 'node-2')).stdout, 'b\n');
    const { from } = (gateway.requestsTo(FOLLOW)[1]?.body ?? {}) as { from?: Record<string, number> };
    assert.deepEqual(from, { 0: Number.MAX_SAFE_INTEGER, 1: 0 });
    const unknown = await world.run('jobs', 'logs', JOB, 'node-3');
    assert.equal(unknown.exitCode, 255);
    assert.match(unknown.stderr, /has no run on node-3/);
  });

  test('--from begins behind that place, for one run only', async () => {
    const play: Answer = stream(jobEvent(), dataEvent('stdout', 'two\n', 18), endEvent(), DONE);
    gateway.on(SHOW, json(jobView(runView())), json(jobView(runView(), runView({ index: 1 }))));
    gateway.on(FOLLOW, play);
    assert.equal((await world.run('jobs', 'logs', JOB, '--from', '9')).stdout, 'two\n');
    assert.deepEqual(gateway.requestsTo(FOLLOW)[0]?.body, { from: { 0: 9 } });
    assert.equal((await world.run('jobs', 'logs', JOB, '--from', '9')).exitCode, 2);
    assert.equal((await world.run('jobs', 'logs', JOB, 'node-1', '--from', 'x')).exitCode, 2);
  });

  test('--from of a run that goes on leaves out what came before', async () => {
    gateway.on(SHOW, json(jobView(runView({ state: 'running', exitCode: null, stdoutBytes: 8 }))));
    gateway.on(FOLLOW, openStream(jobEvent(), dataEvent('stdout', 'one\n', 9), dataEvent('stdout', 'two\n', 18)));
    assert.equal((await world.run('jobs', 'logs', JOB, '--from', '9')).stdout, 'two\n');
  });

  test('wait gives the exit code of the command, and says why it did not exit', async () => {
    gateway.on(SHOW, json(jobView(runView({ state: 'running', exitCode: null }))));
    gateway.on(
      FOLLOW,
      stream(jobEvent(), endEvent({ exitCode: 4 }), DONE),
      stream(jobEvent(), endEvent({ state: 'unknown', exitCode: null, reason: 'node_lost_run' }), DONE),
    );
    assert.equal((await world.run('jobs', 'wait', JOB)).exitCode, 4);
    const lost = await world.run('jobs', 'wait', JOB);
    assert.equal(lost.exitCode, 255);
    assert.match(lost.stderr, /outcome unknown/);
  });

  test('cancel says what it began', async () => {
    gateway.on(`POST /v1/jobs/${JOB}/cancel`, json(jobView(runView({ state: 'running' }), runView({ index: 1 }))));
    const { stdout, exitCode } = await world.run('jobs', 'cancel', JOB);
    assert.deepEqual([stdout, exitCode], [`job ${JOB}: canceling 1 of 2 runs\n`, 0]);
  });
});
