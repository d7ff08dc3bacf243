import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, test } from 'node:test';
import {
  cutStream,
  DONE,
  dataEvent,
  endEvent,
  FakeGateway,
  fail,
  JOB,
  jobEvent,
  jobView,
  json,
  openStream,
  runView,
  stateEvent,
  stream,
} from '../../client/fake-gateway.ts';
import { settle } from '../../support/deadline.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { TestWorld } from '../test-world.ts';

describe('fleet run', { timeout: 20_000 }, () => {
  let gateway: FakeGateway;
  let world: TestWorld;
  beforeEach(async () => {
    gateway = await new FakeGateway().listen();
    world = new TestWorld(gateway.home);
  });
  afterEach(() => gateway.close());

  const bodyOf = (route: string): Record<string, unknown> =>
    gateway.requestsTo(route)[0]?.body as Record<string, unknown>;

  test('gives the bytes as they are and the exit code of the command', async () => {
    const bytes = Buffer.from([0, 255, 13, 10, 128]);
    gateway.on(
      'POST /v1/jobs',
      stream(
        jobEvent(),
        dataEvent('stdout', bytes, 10),
        dataEvent('stderr', 'oops\n', 20),
        endEvent({ exitCode: 7 }),
        DONE,
      ),
    );
    const result = await world.run('run', 'node-1', 'make', '-j4', '--json');
    assert.deepEqual(result.stdoutBytes, bytes);
    assert.equal(result.stderr, 'oops\n');
    assert.equal(result.exitCode, 7);
    const { idempotencyKey, ...request } = bodyOf('POST /v1/jobs');
    assert.deepEqual(request, { kind: 'shell', command: 'make -j4 --json', target: { node: 'node-1' }, follow: true });
    assert.equal(typeof idempotencyKey, 'string');
    assert.equal(world.stdinOpened, 0, 'stdin is not touched');
    assert.equal(world.listening, 0, 'signals are given back');
  });

  test('passes on every option, and a variable of its own environment', async () => {
    gateway.on('POST /v1/jobs', stream(jobEvent(), endEvent(), DONE));
    world.env = { HERE: 'x y', EMPTY: '' };
    const options = '--timeout 30s --expires 1h --cwd /tmp --user bob --lane l --idempotency-key k'.split(' ');
    const env = ['--env', 'A=1=2', '--env', 'HERE', '--env', 'EMPTY', '--env', 'NOT_SET'];
    await world.run('run', ...options, ...env, 'node-1', 'true');
    assert.deepEqual(bodyOf('POST /v1/jobs'), {
      kind: 'shell',
      command: 'true',
      target: { node: 'node-1' },
      timeoutMs: 30_000,
      expiresMs: 3_600_000,
      cwd: '/tmp',
      user: 'bob',
      lane: 'l',
      idempotencyKey: 'k',
      env: { A: '1=2', HERE: 'x y', EMPTY: '' },
      follow: true,
    });
  });

  test('says to a person that the command has not begun', async () => {
    const clock = new FakeClock();
    Object.assign(world, { clock });
    world.stderr.isTTY = true;
    const held = openStream(jobEvent());
    gateway.on('POST /v1/jobs', held);
    const running = world.run('run', 'node-1', 'true');
    await held.opened;
    while (!world.stderr.bytes.includes('still waiting for node-1 to start; Ctrl-C cancels the job')) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      await clock.advance(50);
    }
    held.more(stateEvent('running'), endEvent(), DONE);
    assert.equal((await running).exitCode, 0);
  });

  test('every invocation has a key of its own', async () => {
    gateway.on('POST /v1/jobs', stream(jobEvent(), endEvent(), DONE));
    world.random = Math.random;
    await world.run('run', 'node-1', 'true');
    await world.run('run', 'node-1', 'true');
    const keys = gateway
      .requestsTo('POST /v1/jobs')
      .map(({ body }) => (body as { idempotencyKey: string }).idempotencyKey);
    assert.equal(new Set(keys).size, 2);
  });

  test('--json: one object with what scripts rely on, in order', async () => {
    gateway.on(
      'POST /v1/jobs',
      stream(
        jobEvent(),
        dataEvent('stdout', Buffer.from('ä').subarray(0, 1), 6),
        dataEvent('stdout', Buffer.from('ä').subarray(1), 12),
        dataEvent('stderr', Buffer.from([255]), 18),
        endEvent({ exitCode: 255, stdoutBytes: 2, stderrBytes: 1 }),
        DONE,
      ),
    );
    const { stdout, stderr, exitCode } = await world.run('run', '--json', 'node-1', 'true');
    const { queuedAt, deliveredAt, startedAt, endedAt } = runView();
    const expected = {
      job: JOB,
      node: 'node-1',
      run: `${JOB}.0`,
      state: 'exited',
      exitCode: 255,
      signal: null,
      reason: null,
      stdout: 'ä',
      stderr: '/w==',
      stderrEncoding: 'base64',
      truncated: false,
      queuedAt,
      deliveredAt,
      startedAt,
      endedAt,
      durationMs: 100,
    };
    assert.equal(stdout, `${JSON.stringify(expected)}\n`);
    assert.equal(stderr, '');
    assert.equal(exitCode, 255);
  });

  test('--jsonl: one object a line, text kept whole', async () => {
    gateway.on(
      'POST /v1/jobs',
      stream(
        jobEvent(),
        stateEvent('running'),
        dataEvent('stdout', Buffer.from('ä').subarray(0, 1), 6),
        dataEvent('stdout', Buffer.concat([Buffer.from('ä').subarray(1), Buffer.from('b\u00e4').subarray(0, 2)]), 13),
        endEvent({ exitCode: 3 }, 20),
        DONE,
      ),
    );
    const { stdout, exitCode } = await world.run('run', '--jsonl', 'node-1', 'true');
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const run = { run: `${JOB}.0`, node: 'node-1' };
    assert.deepEqual(lines.slice(0, 3), [
      { type: 'state', job: JOB, ...run, state: 'running', at: '2026-01-01T00:00:00.000Z' },
      { type: 'stdout', ...run, data: 'äb', next: 13 },
      { type: 'stdout', ...run, data: 'ww==', encoding: 'base64', next: 13 },
    ]);
    assert.equal(lines.length, 4);
    assert.deepEqual([lines[3].type, lines[3].exitCode, lines[3].next], ['end', 3, 20]);
    assert.equal(exitCode, 3);
  });

  test('says on stderr why a run did not simply exit', async () => {
    const cases = [
      [{ state: 'timed_out', exitCode: null }, 124, /^fleet: node-1: timed out after 30s\n$/],
      [{ state: 'signaled', exitCode: null, signal: 'SIGKILL' }, 137, /killed by SIGKILL/],
      [{ state: 'rejected', exitCode: null, reason: 'forbidden: no' }, 126, /rejected by the node \(forbidden: no\)/],
      [{ state: 'expired', exitCode: null, reason: 'node_offline' }, 255, /node-1 is offline.*\n.*--expires 1h/],
      [{ state: 'expired', exitCode: null, reason: 'expired: x' }, 255, /not delivered in time/],
      [
        { state: 'unknown', exitCode: null, reason: 'node_lost_run: x' },
        255,
        /outcome unknown \(node_lost_run: x\)\nIt may have run/,
      ],
      [
        { state: 'failed_to_start', exitCode: null, reason: 'no_such_user: bob' },
        255,
        /failed to start \(no_such_user: bob\)/,
      ],
      [
        { truncated: true, stdoutBytes: 1024 ** 2 },
        255,
        /^fleet: node-1: 1 MiB of stdout and 0 B of stderr were not kept\nfleet: output is missing.* 255 instead of 0\n.*--allow-truncation\n$/,
      ],
      [{ exitCode: 3 }, 3, /^$/],
    ] as const;
    gateway.on('POST /v1/jobs', ...cases.map(([change]) => stream(jobEvent(), endEvent(change), DONE)));
    for (const [change, code, words] of cases) {
      const { exitCode, stderr, stdout } = await world.run('run', '--timeout', '30s', 'node-1', 'true');
      assert.equal(exitCode, code, JSON.stringify(change));
      assert.match(stderr, words);
      assert.equal(stdout, '');
    }
  });

  const GAP = {
    type: 'gap',
    run: `${JOB}.0`,
    index: 0,
    node: 'node-1',
    stdoutBytes: 12_897_484,
    stderrBytes: 0,
  } as const;

  test('says once how much was not kept; a machine gets it as an event', async () => {
    const events = [
      jobEvent(),
      dataEvent('stdout', Buffer.from('€').subarray(0, 2), 10),
      { ...GAP, next: 20 },
      dataEvent('stdout', 'end\n', 30),
      endEvent({ truncated: true }),
      DONE,
    ];
    gateway.on('POST /v1/jobs', stream(...events));
    const { stderr, stdoutBytes } = await world.run('run', '--allow-truncation', 'node-1', 'true');
    assert.equal(stderr, 'fleet: node-1: 12.3 MiB of stdout and 0 B of stderr were not kept\n');
    assert.deepEqual(stdoutBytes, Buffer.from([0xe2, 0x82, ...Buffer.from('end\n')]));

    const jsonl = await world.run('run', '--jsonl', 'node-1', 'true');
    const { index: _index, ...line } = GAP;
    const lines = jsonl.stdout.trimEnd().split('\n');
    assert.deepEqual(
      lines.map((text) => JSON.parse(text).type),
      ['stdout', 'gap', 'stdout', 'end'],
    );
    assert.deepEqual(JSON.parse(lines[1] ?? ''), { ...line, next: 20 });
    assert.equal(jsonl.stderr, '');

    const json = await world.run('run', '--json', 'node-1', 'true');
    assert.deepEqual([JSON.parse(json.stdout).truncated, json.stderr], [true, '']);
  });

  const LOSSES = {
    'a gap': [jobEvent(), { ...GAP, next: 20 }, endEvent({ truncated: true }), DONE],
    'a gap of unknown size': [jobEvent(), endEvent({ reason: 'output_gap: some output may be missing' }), DONE],
    'a truncation': [jobEvent(), endEvent({ truncated: true }), DONE],
  };
  for (const [what, events] of Object.entries(LOSSES)) {
    test(`${what} is a failure unless a person watches or it was allowed`, async () => {
      gateway.on('POST /v1/jobs', stream(...events));
      for (const format of [[], ['--json'], ['--jsonl']]) {
        const { exitCode, stdout, stderr } = await world.run('run', ...format, 'node-1', 'true');
        assert.equal(exitCode, 255);
        if (format.length === 0) assert.match(stderr, /output is missing.* 255 instead of 0/);
        if (format[0] === '--json') assert.match(JSON.parse(stdout).reason, /^output_(truncated|gap): /);
        assert.equal((await world.run('run', '--allow-truncation', ...format, 'node-1', 'true')).exitCode, 0);
      }
      world.stdout.isTTY = true;
      assert.equal((await world.run('run', 'node-1', 'true')).exitCode, 0);
    });
  }

  test('says that stdin was not sent: a file always, a pipe to a person only; and never reads it', async () => {
    gateway.on('POST /v1/jobs', stream(jobEvent(), endEvent(), DONE));
    gateway.on(`POST /v1/jobs/${JOB}/stdin`, (response) => void response.writeHead(204).end());
    world.stdin = Readable.from([]);
    const NOTE = 'fleet: stdin was not sent; use --stdin\n';
    for (const [kind, isTerminal, expected] of [
      ['file', false, NOTE],
      ['file', true, NOTE],
      ['pipe', false, ''],
      ['pipe', true, NOTE],
      ['other', true, ''],
    ] as const) {
      world.stdinKind = () => kind;
      world.stderr.isTTY = isTerminal;
      const { stderr, exitCode } = await world.run('run', 'node-1', 'cat');
      assert.deepEqual([stderr, exitCode, world.stdinOpened], [expected, 0, 0], kind);
    }
    world.stdinKind = () => 'file';
    const broadcast = await world.run('broadcast', 'cat');
    assert.match(broadcast.stderr, /^fleet: stdin was not sent; only fleet run --stdin sends it$/m);
    const sent = await world.run('run', '--stdin', 'node-1', 'cat');
    assert.deepEqual([sent.stderr, world.stdinOpened], ['', 1]);
  });

  test('--async prints the id of the job only', async () => {
    gateway.on('POST /v1/jobs', json(jobView(runView({ state: 'queued' })), 201));
    assert.deepEqual(await world.run('run', '--async', 'node-1', 'true').then(({ stdout }) => stdout), `${JOB}\n`);
    assert.equal(bodyOf('POST /v1/jobs').follow, false);
    const { stdout } = await world.run('run', '--async', '--json', 'node-1', 'true');
    assert.equal(JSON.parse(stdout).job, JOB);
  });

  test('--stdin sends what comes in, once', async () => {
    const held = openStream(jobEvent());
    gateway.on('POST /v1/jobs', held);
    gateway.on(`POST /v1/jobs/${JOB}/stdin`, (response) => {
      response.writeHead(204).end();
      held.more(endEvent(), DONE);
    });
    world.stdin = Readable.from([Buffer.from('a'), Buffer.from([0, 255])]);
    const { exitCode } = await world.run('run', '--stdin', 'node-1', 'cat');
    assert.equal(exitCode, 0);
    assert.equal(bodyOf('POST /v1/jobs').stdin, true);
    assert.deepEqual(gateway.requestsTo(`POST /v1/jobs/${JOB}/stdin`)[0]?.bytes, Buffer.from([97, 0, 255]));
  });

  test('a lost connection is no end: the output goes on where it was', async () => {
    gateway.on('POST /v1/jobs', cutStream(jobEvent(), dataEvent('stdout', 'one\n', 9)));
    gateway.on(`POST /v1/jobs/${JOB}/follow`, stream(jobEvent(), dataEvent('stdout', 'two\n', 18), endEvent(), DONE));
    const { stdout, stderr, exitCode } = await world.run('run', 'node-1', 'true');
    assert.deepEqual([stdout, stderr, exitCode], ['one\ntwo\n', '', 0]);
  });

  test('Ctrl-C cancels, waits for the confirmed end, and gives 130', async () => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      const held = openStream(jobEvent(), dataEvent('stdout', 'working\n', 13));
      gateway.on('POST /v1/jobs', held);
      gateway.on(`POST /v1/jobs/${JOB}/cancel`, (response, request) => {
        void json(jobView(runView({ state: 'running' })))(response, request);
        held.more(
          dataEvent('stdout', 'bye\n', 22),
          endEvent({ state: 'canceled', exitCode: null, reason: 'canceled by local' }),
          DONE,
        );
      });
      const running = world.run('run', 'node-1', 'true');
      while (!world.stdout.bytes.includes('working')) await new Promise((resolve) => setTimeout(resolve, 5));
      assert.ok(world.signal(signal));
      const { exitCode, stdout, stderr } = await running;
      assert.equal(exitCode, 130);
      assert.equal(stdout, 'working\nbye\n');
      assert.match(stderr, /node-1: canceled/);
      await gateway.close();
      gateway = await new FakeGateway().listen();
      world = new TestWorld(gateway.home);
    }
  });

  test('a second Ctrl-C leaves at once, and says where to look', async () => {
    gateway.on('POST /v1/jobs', openStream(jobEvent(), dataEvent('stdout', 'working\n', 13)));
    gateway.on(`POST /v1/jobs/${JOB}/cancel`, json(jobView(runView({ state: 'running' }))));
    const running = world.run('run', 'node-1', 'true');
    while (!world.stdout.bytes.includes('working')) await new Promise((resolve) => setTimeout(resolve, 5));
    world.signal('SIGINT');
    while (gateway.requestsTo(`POST /v1/jobs/${JOB}/cancel`).length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    world.signal('SIGINT');
    const { exitCode, stderr } = await running;
    assert.equal(exitCode, 130);
    assert.match(stderr, new RegExp(`exiting while job ${JOB} is being canceled.*\n.*fleet jobs show ${JOB}`));
  });

  for (const [signal, code] of [
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    test(`${signal} asks for the cancel and ends the command line, whatever the node does`, async () => {
      const clock = new FakeClock();
      Object.assign(world, { clock });
      gateway.on('POST /v1/jobs', openStream(jobEvent(), dataEvent('stdout', 'working\n', 13)));
      gateway.on(`POST /v1/jobs/${JOB}/cancel`, json(jobView(runView({ state: 'running' }))));
      const running = world.run('run', 'node-1', 'true');
      while (!world.stdout.bytes.includes('working')) await new Promise((resolve) => setTimeout(resolve, 5));
      assert.ok(world.signal(signal));
      while (gateway.requestsTo(`POST /v1/jobs/${JOB}/cancel`).length === 0) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await settle();
      await clock.advance(3_000);
      const { exitCode, stderr } = await running;
      assert.equal(exitCode, code);
      assert.match(stderr, new RegExp(`exiting while job ${JOB} is being canceled.*\n.*fleet jobs show ${JOB}`));
    });

    test(`${signal} ends the command line, whatever the gateway does`, async () => {
      const answers = [openStream(), openStream(jobEvent())];
      gateway.on('POST /v1/jobs', ...answers);
      for (const answer of answers) {
        const clock = new FakeClock();
        Object.assign(world, { clock });
        // No answer at all.
        gateway.on(`POST /v1/jobs/${JOB}/cancel`, () => {});
        const running = world.run('run', 'node-1', 'true');
        await answer.opened;
        await settle();
        assert.ok(world.signal(signal));
        await settle();
        await clock.advance(3_000);
        const { exitCode, stderr } = await running;
        assert.equal(exitCode, code);
        assert.match(
          stderr,
          /exiting before the gateway (confirmed that it accepted|accepted the cancellation of) (the )?job/,
        );
      }
    });
  }

  test('a second Ctrl-C waits a moment for the cancel to be accepted, and for no reader', async () => {
    const clock = new FakeClock();
    Object.assign(world, { clock });
    gateway.on('POST /v1/jobs', openStream(jobEvent(), dataEvent('stdout', 'working\n', 13)));
    gateway.on(`POST /v1/jobs/${JOB}/cancel`, () => {});
    const running = world.run('run', 'node-1', 'true');
    while (!world.stdout.bytes.includes('working')) await new Promise((resolve) => setTimeout(resolve, 5));
    world.stdout._write = () => {};
    world.stdout.write('stuck');
    world.signal('SIGINT');
    world.signal('SIGINT');
    await settle();
    await clock.advance(1_000);
    await settle();
    await clock.advance(1_000);
    const { exitCode, stderr } = await running;
    assert.equal(exitCode, 130);
    assert.match(stderr, new RegExp(`fleet jobs cancel ${JOB}`));
  });

  test('under nohup, SIGHUP stays ignored', async () => {
    Object.assign(world.signals, { hangupIgnored: () => true });
    gateway.on('POST /v1/jobs', openStream(jobEvent(), dataEvent('stdout', 'working\n', 13)));
    const running = world.run('run', 'node-1', 'true');
    while (!world.stdout.bytes.includes('working')) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(world.signal('SIGHUP'), false);
    world.signal('SIGINT');
    world.signal('SIGINT');
    assert.equal((await running).exitCode, 130);
  });

  test('Ctrl-C before the gateway has answered cancels once the job is known', async () => {
    const held = openStream();
    gateway.on('POST /v1/jobs', held);
    gateway.on(`POST /v1/jobs/${JOB}/cancel`, (response, request) => {
      void json(jobView(runView({ state: 'canceled', exitCode: null })))(response, request);
      held.more(endEvent({ state: 'canceled', exitCode: null }), DONE);
    });
    const running = world.run('run', 'node-1', 'true');
    await held.opened;
    world.signal('SIGINT');
    held.more(jobEvent());
    assert.equal((await running).exitCode, 130);
    assert.equal(gateway.requestsTo(`POST /v1/jobs/${JOB}/cancel`).length, 1);
  });

  test('who has pressed Ctrl-C is not told to press it', async () => {
    const clock = new FakeClock();
    Object.assign(world, { clock });
    world.stderr.isTTY = true;
    const held = openStream();
    gateway.on('POST /v1/jobs', held);
    const asked = Promise.withResolvers<void>();
    gateway.on(`POST /v1/jobs/${JOB}/cancel`, (response, request) => {
      void json(jobView(runView({ state: 'queued' })))(response, request);
      asked.resolve();
    });
    const running = world.run('run', 'node-1', 'true');
    await held.opened;
    world.signal('SIGINT');
    held.more(jobEvent());
    await asked.promise;
    await clock.advance(4000);
    held.more(endEvent({ state: 'canceled', exitCode: null }), DONE);
    assert.doesNotMatch((await running).stderr, /still waiting/);
  });

  test('a cancel that the gateway did not hear is asked again', async () => {
    const held = openStream(jobEvent(), dataEvent('stdout', 'working\n', 13));
    gateway.on('POST /v1/jobs', held);
    gateway.on(
      `POST /v1/jobs/${JOB}/cancel`,
      (response) => void response.destroy(),
      (response, request) => {
        void json(jobView(runView({ state: 'running' })))(response, request);
        held.more(endEvent({ state: 'canceled', exitCode: null }), DONE);
      },
    );
    const running = world.run('run', 'node-1', 'true');
    while (!world.stdout.bytes.includes('working')) await new Promise((resolve) => setTimeout(resolve, 5));
    world.signal('SIGINT');
    assert.equal((await running).exitCode, 130);
    assert.equal(gateway.requestsTo(`POST /v1/jobs/${JOB}/cancel`).length, 2);
  });

  test('errors of the fleet: 255 with the hint, or as JSON', async () => {
    gateway.on('POST /v1/jobs', fail(404, 'not_found', 'there is no node called node-9', 'See them all: fleet nodes'));
    const plain = await world.run('run', 'node-9', 'true');
    assert.deepEqual([plain.exitCode, plain.stdout], [255, '']);
    assert.equal(plain.stderr, 'fleet: there is no node called node-9\nSee them all: fleet nodes\n');
    const asJson = await world.run('run', '--json', 'node-9', 'true');
    assert.deepEqual([asJson.exitCode, asJson.stderr], [255, '']);
    assert.deepEqual(JSON.parse(asJson.stdout), {
      error: { code: 'not_found', message: 'there is no node called node-9', hint: 'See them all: fleet nodes' },
    });
    await gateway.stop();
    const absent = await world.run('run', 'node-1', 'true');
    assert.equal(absent.exitCode, 255);
    assert.match(absent.stderr, /^fleet: no gateway is running in this home .*\nStart it: fleet gateway up\n$/);
  });

  test('refuses what no node could pass on to a command, and says how much that is', async () => {
    const large = 's'.repeat(100_000);
    world.env.FROM_HERE = 's'.repeat(131_072);
    for (const [args, expected] of [
      [['run', 'node-1', large, large], /the command or prompt has 200001 bytes; the maximum is 122880/],
      [['agent', 'run', 'node-1', 'coder', large, large], /has 200001/],
      [
        ['run', '--env', 'FROM_HERE', 'node-1', 'true'],
        /--env: FROM_HERE takes 131081 bytes; a variable may take 122880/,
      ],
      [
        ['run', ...[1, 2, 3, 4, 5, 6].flatMap((n) => ['--env', `K${n}=${large}`]), 'node-1', 'true'],
        /--env: all variables together take 600072 bytes/,
      ],
    ] as const) {
      const { exitCode, stderr } = await world.run(...args);
      assert.equal(exitCode, 2);
      assert.match(stderr, expected);
      assert.ok(!stderr.includes('sss'));
    }
    assert.equal(gateway.seen.length, 0);
  });

  test('refuses what cannot be meant, before it asks anybody', async () => {
    for (const args of [
      ['run', 'node-1'],
      ['run', 'node-1', ''],
      ['run', '--timeout', 'soon', 'node-1', 'true'],
      ['run', '--timeout', '0', 'node-1', 'true'],
      ['run', '--env', '1A=x', 'node-1', 'true'],
      ['run', '--json', '--jsonl', 'node-1', 'true'],
      ['run', '--async', '--stdin', 'node-1', 'true'],
    ]) {
      const { exitCode, stderr, stdout } = await world.run(...args);
      assert.equal(exitCode, 2, args.join(' '));
      assert.ok((stderr + stdout).length > 0);
    }
    assert.equal(gateway.seen.length, 0);
  });
});
