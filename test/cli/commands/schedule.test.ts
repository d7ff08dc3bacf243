import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { addScheduleRequest, type FiringView, type ScheduleView } from '../../../src/protocol/schedule.ts';
import { FakeGateway, json } from '../../client/fake-gateway.ts';
import { TestWorld } from '../test-world.ts';

const FIRING: FiringView = {
  plannedAt: '2026-01-01T07:00:00.000Z',
  cause: 'time',
  state: 'failed',
  firedAt: '2026-01-01T07:00:00.010Z',
  endedAt: '2026-01-01T07:01:00.010Z',
  job: 'abcdefghjkmn',
  reason: '1 of 2 runs failed',
  count: 1,
};

const SCHEDULE: ScheduleView = {
  id: 'x',
  name: 'backup',
  cron: '0 7 * * *',
  timeZone: 'Europe/Berlin',
  overlap: 'skip',
  catchUp: 'once',
  action: { kind: 'job', request: { kind: 'shell', command: 'back\u001bup', target: { selector: '@role=db' } } },
  paused: false,
  createdAt: '2026-01-01T00:00:00.000Z',
  createdBy: 'local',
  nextAt: '2026-01-02T06:00:00.000Z',
  last: FIRING,
};

describe('fleet schedule', { timeout: 60_000 }, () => {
  let gateway: FakeGateway;
  let world: TestWorld;
  beforeEach(async () => {
    gateway = await new FakeGateway().listen();
    world = new TestWorld(gateway.home);
    world.clock = { ...world.clock, now: () => Date.UTC(2026, 0, 1, 8) };
    gateway.on('POST /v1/schedules', json(SCHEDULE, 201)).on('GET /v1/schedules', json({ schedules: [SCHEDULE] }));
  });
  afterEach(() => gateway.close());

  /** The body that this command line sends, which the gateway's own schema must take. */
  async function sent(...argv: string[]): Promise<unknown> {
    const { exitCode, stderr } = await world.run('schedule', 'add', ...argv);
    assert.equal(exitCode, 0, stderr);
    const body = gateway.requestsTo('POST /v1/schedules').at(-1)?.body;
    addScheduleRequest.parse(body);
    return body;
  }

  test('a broadcast, with its options and those of the schedule', async () => {
    const line = ['--name', 'backup', '--tz', 'Europe/Berlin', '--overlap', 'queue', '--catch-up', 'all', '0 7 * * *'];
    const inner = ['broadcast', '--on', '@role=db', '-x', 'db-9', '--fanout', '3', '--expires', '6h', '--env', 'A=b'];
    assert.deepEqual(await sent(...line, '--', ...inner, 'tar', 'cf', '-'), {
      cron: '0 7 * * *',
      name: 'backup',
      timeZone: 'Europe/Berlin',
      overlap: 'queue',
      catchUp: 'all',
      action: {
        kind: 'job',
        request: {
          kind: 'shell',
          command: 'tar cf -',
          target: { selector: '@role=db', exclude: 'db-9' },
          expiresMs: 6 * 3_600_000,
          env: { A: 'b' },
          flow: { fanout: 3 },
        },
      },
    });
  });

  test('a run, with and without the dashes', async () => {
    const expected = {
      cron: '*/5 * * * *',
      action: { kind: 'job', request: { kind: 'shell', command: 'df -h', target: { node: 'n' }, timeoutMs: 9_000 } },
    };
    assert.deepEqual(await sent('*/5 * * * *', '--', 'run', '--timeout', '9s', 'n', '--', 'df', '-h'), expected);
    assert.deepEqual(await sent('*/5 * * * *', 'run', '--timeout=9s', 'n', 'df -h'), expected);
  });

  test('a prompt for an agent, of one node or of any', async () => {
    const prompt = { kind: 'agent', command: 'fix -it', agent: 'coder' };
    assert.deepEqual(await sent('@daily', '--', 'agent', 'run', '--timeout', '1h', 'n', 'coder', '--', 'fix', '-it'), {
      cron: '@daily',
      action: { kind: 'job', request: { ...prompt, target: { node: 'n' }, timeoutMs: 3_600_000 } },
    });
    assert.deepEqual(await sent('@daily', 'agent', 'run', '--any', '--on', '@gpu=yes', 'coder', 'fix -it'), {
      cron: '@daily',
      action: { kind: 'job', request: { ...prompt, target: { any: '@gpu=yes' } } },
    });
    assert.deepEqual(await sent('@daily', 'agent', 'run', '--any', 'coder', 'fix -it'), {
      cron: '@daily',
      action: { kind: 'job', request: { ...prompt, target: { any: '@online,@limited' } } },
    });
  });

  test('a report', async () => {
    assert.deepEqual(await sent('@daily', 'health', 'report', '--format', 'html', '--since', '7d', '--out', 'w.html'), {
      cron: '@daily',
      action: { kind: 'report', format: 'html', sinceMs: 7 * 86_400_000, out: 'w.html' },
    });
  });

  test('what cannot be scheduled is refused here, with what can be', async () => {
    const wrong: [string[], RegExp][] = [
      [[], /nothing to schedule/],
      [['--', 'nodes', 'rm', 'x'], /"nodes rm" cannot be scheduled[\s\S]*run, broadcast, agent run, health report/],
      [['--', 'schedule', 'add', '@daily', 'run', 'n', 'x'], /cannot be scheduled/],
      [['--', 'run', '--help'], /cannot be scheduled/],
      [['--', 'rnu', 'n', 'x'], /unknown command/],
      [['--', 'run', '--stdin', 'n', 'x'], /--stdin cannot be used/],
      [['--', 'broadcast', '--outdir', 'd', 'x'], /--outdir cannot be used/],
      [['--', 'run', '--idempotency-key', 'k', 'n', 'x'], /--idempotency-key cannot be used/],
      [['--', 'run', '--json', 'n', 'x'], /--json cannot be used/],
      [['--', 'run', 'n'], /no command to run/],
      [['--', 'health', 'report'], /needs --out/],
      [['--', 'agent', 'run', 'n', 'coder'], /no prompt/],
      [['--', 'agent', 'run', '--any', 'coder', ' '], /no prompt/],
      [['--', 'agent', 'run', '--on', '@all', 'n', 'coder', 'x'], /--on requires --any/],
      [['--', 'agent', 'run', '--fallback', 'other', 'n', 'coder', 'x'], /--fallback cannot be used/],
      [['--', 'agent', 'run', '--jsonl', 'n', 'coder', 'x'], /--jsonl cannot be used/],
      [['--', 'health', 'report', '--out', 'x', '--since', 'soon'], /--since/],
      [['--overlap', 'maybe'], /overlap/],
    ];
    world.stderr.setMaxListeners(50);
    world.stdout.setMaxListeners(50);
    for (const [argv, message] of wrong) {
      const time = argv[0]?.startsWith('--o') ? [...argv, '@daily', 'run', 'n', 'x'] : ['@daily', ...argv];
      const { exitCode, stderr } = await world.run('schedule', 'add', ...time);
      assert.equal(exitCode, 2, `${argv.join(' ')}: ${stderr}`);
      assert.match(stderr, message);
    }
    assert.deepEqual(gateway.seen, []);
  });

  test('prints the name for scripts, and when it is due for people', async () => {
    const { stdout, stderr } = await world.run('schedule', 'add', '@daily', 'run', 'n', 'x');
    assert.equal(stdout, 'backup\n');
    assert.match(stderr, /broadcast @role=db: .*next: 2026-01-02T06:00:00.000Z.*Europe\/Berlin/);
    assert.ok(!stderr.includes('\u001b'));
  });

  test('list, show, history', async () => {
    gateway.on('GET /v1/schedules/backup', json(SCHEDULE));
    const missed = { ...FIRING, state: 'missed', firedAt: null, job: null, count: 7, reason: 'down' };
    gateway.on('GET /v1/schedules/backup/history', json({ firings: [FIRING, missed] }));
    const list = (await world.run('schedule', 'list')).stdout;
    assert.match(list, /backup +0 7 \* \* \* +Europe\/Berlin +in 22h +failed 58m ago +broadcast @role=db: back.up\n$/);
    assert.deepEqual(JSON.parse((await world.run('schedule', 'list', '--json')).stdout), [SCHEDULE]);
    assert.match(
      (await world.run('schedule', 'show', 'backup')).stdout,
      /Last: +failed[\s\S]*Why: +1 of 2 runs failed/,
    );
    const { stdout: history, stderr } = await world.run('schedule', 'history', 'backup', '--limit', '2');
    assert.equal(stderr, '1 failed, 7 missed\n');
    assert.match(history, /time +failed +1m +abcdefghjkmn +1 of 2 runs failed\n.*missed +- +- +7 times, down\n$/);
    assert.match(gateway.seen.at(-1)?.url ?? '', /limit=2/);
  });

  test('pause, resume, rm', async () => {
    gateway.on('PATCH /v1/schedules/backup', json({ ...SCHEDULE, paused: true, nextAt: null }), json(SCHEDULE));
    gateway.on('DELETE /v1/schedules/backup', (response) => void response.writeHead(204).end());
    assert.match((await world.run('schedule', 'pause', 'backup')).stderr, /paused/);
    assert.match((await world.run('schedule', 'resume', 'backup')).stderr, /in 22h/);
    assert.equal((await world.run('schedule', 'rm', 'backup')).exitCode, 0);
    const bodies = gateway.requestsTo('PATCH /v1/schedules/backup').map(({ body }) => body);
    assert.deepEqual(bodies, [{ paused: true }, { paused: false }]);
  });

  test('run: the id of the job; 255 when nothing was begun', async () => {
    const skipped = { ...FIRING, state: 'skipped', job: null, reason: 'the one before still goes on' };
    gateway.on('POST /v1/schedules/backup/run', json({ ...FIRING, state: 'started' }, 202), json(skipped, 202));
    const begun = await world.run('schedule', 'run', 'backup');
    assert.deepEqual([begun.exitCode, begun.stdout], [0, 'abcdefghjkmn\n']);
    const not = await world.run('schedule', 'run', 'backup');
    assert.deepEqual([not.exitCode, not.stdout], [255, '']);
    assert.match(not.stderr, /skipped: the one before still goes on/);
  });

  test('names are completed', async () => {
    assert.equal((await world.run('__complete', '--', 'schedule', 'rm', 'ba')).stdout, 'backup\n');
    assert.match((await world.run('__complete', '--', 'schedule', '')).stdout, /^add\nlist\n/);
    assert.equal((await world.run('__complete', '--', 'schedule', 'add', '--overlap', 'q')).stdout, 'queue\n');
  });
});
