import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { AlertView } from '../../../src/protocol/alerts.ts';
import { FakeGateway, json } from '../../client/fake-gateway.ts';
import { TestWorld } from '../test-world.ts';

const ALERT: AlertView = {
  id: '0123456789',
  rule: 'disk',
  severity: 'critical',
  node: 'node-1',
  state: 'firing',
  since: '2026-01-01T00:00:00.000Z',
  firedAt: '2026-01-01T00:05:00.000Z',
  resolvedAt: null,
  summary: 'fullest disk 95% \u001b[31m(limit 90%)',
  reason: null,
  silencedUntil: null,
  deliveries: [
    {
      id: 'msg_1',
      receiver: 'hook',
      event: 'firing',
      outcome: 'delivered',
      attempts: 2,
      error: null,
      at: '2026-01-01T00:05:00.000Z',
    },
    {
      id: 'msg_2',
      receiver: 'chat',
      event: 'firing',
      outcome: 'given_up',
      attempts: 3,
      error: 'HTTP 404',
      at: '2026-01-01T00:06:00.000Z',
    },
  ],
};

describe('fleet alerts', { timeout: 20_000 }, () => {
  let gateway: FakeGateway;
  let world: TestWorld;
  beforeEach(async () => {
    gateway = await new FakeGateway().listen();
    world = new TestWorld(gateway.home);
    world.clock = { ...world.clock, now: () => Date.UTC(2026, 0, 1, 1) };
  });
  afterEach(() => gateway.close());

  test('a table that says who was told, and who was not and why', async () => {
    gateway.on('GET /v1/alerts', json({ alerts: [ALERT] }));
    const { stdout, exitCode } = await world.run('alerts');
    assert.equal(exitCode, 0);
    assert.match(
      stdout,
      /\n0123456789 +firing +critical +disk +node-1 +1h ago +hook, chat: given up \(HTTP 404\) +fullest disk 95% .\[31m\(limit 90%\)\n$/,
    );
    assert.ok(!stdout.includes('\u001b'));
    assert.equal(gateway.seen[0]?.url, '/v1/alerts');
  });

  test('--active and --limit are asked of the gateway; --json and --jsonl print what it said', async () => {
    gateway.on('GET /v1/alerts', json({ alerts: [ALERT, ALERT] }));
    assert.deepEqual(JSON.parse((await world.run('alerts', '--active', '--json')).stdout), [ALERT, ALERT]);
    assert.equal(gateway.seen[0]?.url, '/v1/alerts?active=true');
    const { stdout } = await world.run('alerts', '--limit', '7', '--jsonl');
    assert.equal(gateway.seen[1]?.url, '/v1/alerts?limit=7');
    const lines = Buffer.from(stdout).toString().trimEnd().split('\n').slice(-2);
    assert.deepEqual(
      lines.map((line) => JSON.parse(line) as AlertView),
      [ALERT, ALERT],
    );
    assert.equal((await world.run('alerts', '--json', '--jsonl')).exitCode, 2);
  });

  test('silence needs an end, and tells what was silenced', async () => {
    gateway.on(
      'POST /v1/alerts/silences',
      json({ id: 's', kind: 'node', what: 'node-1', until: '2026-01-01T03:00:00.000Z', reason: null, by: 'local' }),
    );
    const { stdout } = await world.run('alerts', 'silence', 'node-1', '--for', '2h', '--reason', 'new disk');
    assert.equal(stdout, 'node node-1: silenced for 2h\n');
    assert.deepEqual(gateway.seen[0]?.body, { what: 'node-1', forMs: 7_200_000, reason: 'new disk' });
    assert.equal((await world.run('alerts', 'silence', 'node-1')).exitCode, 2);
    assert.equal((await world.run('alerts', 'silence', '--for', '2h')).exitCode, 2);
    assert.equal((await world.run('alerts', 'silence', 'node-1', '--for', '0')).exitCode, 2);
  });

  test('the list of silences, and the end of one', async () => {
    const silence = {
      id: 's1',
      kind: 'rule',
      what: 'disk',
      until: '2026-01-01T03:00:00.000Z',
      reason: 'new one',
      by: 'ann',
    };
    gateway.on('GET /v1/alerts/silences', json({ silences: [silence] }));
    gateway.on('POST /v1/alerts/unsilence', json({ silences: [silence] }));
    assert.match((await world.run('alerts', 'silences')).stdout, /\ns1 +rule +disk +in 2h +ann +new one\n$/);
    assert.match((await world.run('alerts', 'unsilence', 'disk')).stdout, /rule disk: no longer silenced\n$/);
  });

  test('a test tells what came back, and fails if anybody did not take it', async () => {
    const taken = { receiver: 'hook', kind: 'webhook', delivered: true, error: null, durationMs: 12 };
    const refused = { receiver: 'chat', kind: 'slack', delivered: false, error: 'HTTP 404', durationMs: 30 };
    gateway.on('POST /v1/alerts/test', json({ results: [taken] }), json({ results: [taken, refused] }));
    assert.equal((await world.run('alerts', 'test', 'hook')).exitCode, 0);
    assert.deepEqual(gateway.seen[0]?.body, { receiver: 'hook' });
    const { stdout, exitCode } = await world.run('alerts', 'test');
    assert.match(stdout, /hook \(webhook\): delivered in 12 ms\nchat \(slack\): NOT delivered: HTTP 404\n$/);
    assert.equal(exitCode, 255);
  });

  test('the exit code of health counts what fires and is not silenced', async () => {
    const health = (alerts: AlertView[], status = 'online') => json({ status, nodes: [], alerts });
    const silenced = { ...ALERT, silencedUntil: '2026-01-01T03:00:00.000Z' };
    const warning: AlertView = { ...ALERT, severity: 'warning' };
    gateway.on(
      'GET /v1/health',
      health([]),
      health([warning]),
      health([warning, ALERT]),
      health([silenced]),
      health([ALERT], 'unknown'),
      health([warning], 'offline'),
    );
    const codes: number[] = [];
    for (let count = 0; count < 6; count += 1) codes.push((await world.run('health', '--json')).exitCode);
    assert.deepEqual(codes, [0, 1, 2, 0, 3, 2]);
  });
});
