import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { test } from 'node:test';
import { negotiateFormat } from '../../../src/gateway/api/monitoring-routes.ts';
import { MAX_DISKS_PER_NODE } from '../../../src/gateway/monitoring/metrics/node-metrics.ts';
import type { DiskUsage, Heartbeat } from '../../../src/protocol/heartbeat.ts';
import { until } from '../../support/deadline.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { promtool } from '../monitoring/metrics/promtool.ts';
import { API_TOKEN, type Client, type TestApi, testApi } from './harness.ts';

const OPENMETRICS = 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1';

const disk = (mount: string, usedPct = 50): DiskUsage => ({
  mount,
  fsType: 'ext4',
  sizeBytes: 1_000,
  usedBytes: 500,
  usedPct,
});

function beatOf(now: number, changes: Partial<Heartbeat> = {}): Heartbeat {
  return {
    at: now + 2_000,
    bootedAt: 0,
    uptimeS: 7_200,
    cpuPct: 12.5,
    load1: 0.5,
    load5: null,
    load15: null,
    cores: 4,
    memTotalBytes: 8e9,
    memUsedBytes: 2e9,
    swapTotalBytes: 0,
    swapUsedBytes: 0,
    disks: [disk('/'), disk('/mnt/a "b"\\c\nd')],
    network: null,
    temperatureC: null,
    battery: null,
    node: { version: '1', rssBytes: 5e7, eventLoopLagMs: 1, uptimeS: 1 },
    runsActive: 2,
    rttMs: 40,
    faults: [],
    accepting: true,
    ...changes,
  };
}

async function scrape(client: Client, accept?: string): Promise<{ type: string | undefined; text: string }> {
  const headers: Record<string, string> = accept === undefined ? {} : { accept };
  const response = await client.open('GET', '/metrics', undefined, { headers });
  const chunks: Buffer[] = [];
  for await (const chunk of response as Readable) chunks.push(chunk as Buffer);
  return { type: response.headers['content-type'], text: Buffer.concat(chunks).toString() };
}

const RULES = [
  { name: 'away', when: { status: 'offline' }, for: '5m', severity: 'critical' },
  { name: 'hot', when: { metric: 'temperatureC', above: 80 } },
];
const HOOK = { name: 'hook', kind: 'webhook', url: 'http://localhost/' };

/** One node that is well, one that has gone, one that is revoked; a run that has ended. */
async function fleet(t: Parameters<typeof testApi>[0], changes: Partial<Heartbeat> = {}): Promise<TestApi> {
  const api = await testApi(t, { alerts: { rules: RULES, notify: [HOOK] } });
  const { fake } = await api.addNode('a');
  const session = await fake.connect();
  await api.monitor.accept(session, beatOf(api.clock.now(), changes));
  await api.addNode('gone');
  await api.addNode('revoked');
  await api.admin.json('POST', '/v1/nodes/revoked/revoke');
  const job = { kind: 'shell', command: 'true', target: { node: 'a' } };
  const { job: id } = await api.admin.json<{ job: string }>('POST', '/v1/jobs', job);
  await until(() => fake.runs.has(`${id}.0`), 'the run');
  fake.end(`${id}.0`, { exitCode: 3 });
  await until(() => api.store.runs.byId(`${id}.0`)?.state === 'exited', 'its end');
  return api;
}

function assertHas(text: string, ...lines: string[]): void {
  for (const line of lines) assert.ok(text.split('\n').includes(line), `${line}\nis not among\n${text}`);
}

test('figures of nodes, runs and the gateway, in the units of Prometheus', async (t) => {
  const api = await fleet(t);
  const { type, text } = await scrape(api.admin);
  assert.equal(type, 'text/plain; version=0.0.4; charset=utf-8');
  assertHas(
    text,
    'fleet_nodes{status="online"} 1',
    'fleet_nodes{status="offline"} 1',
    'fleet_node_up{node="a"} 1',
    'fleet_node_up{node="gone"} 0',
    'fleet_node_status{node="gone",status="offline"} 1',
    'fleet_node_cpu_usage_ratio{node="a"} 0.125',
    'fleet_node_memory_used_bytes{node="a"} 2000000000',
    'fleet_node_rtt_seconds{node="a"} 0.04',
    'fleet_node_clock_skew_seconds{node="a"} 2.02',
    'fleet_node_filesystem_used_ratio{node="a",mountpoint="/"} 0.5',
    'fleet_node_filesystem_used_ratio{node="a",mountpoint="/mnt/a \\"b\\"\\\\c\\nd"} 0.5',
    `fleet_node_last_seen_timestamp_seconds{node="a"} ${api.clock.now() / 1_000}`,
    'fleet_runs_total{outcome="exited_nonzero"} 1',
    'fleet_runs_total{outcome="succeeded"} 0',
    'fleet_runs_open{state="queued"} 0',
    'fleet_run_duration_seconds_bucket{le="1"} 1',
    'fleet_gateway_ssh_killed_total{reason="grace"} 1',
    'fleet_gateway_ssh_connections 3',
  );
  assert.ok(!text.includes('revoked'));
  assert.ok(!text.includes('fleet_node_cpu_usage_ratio{node="gone"}'), 'an old figure is no figure');
  assert.ok(!text.includes('fleet_node_temperature_celsius{'), 'what is not known has no sample');
});

test('alerts by rule and state, also when there are none, and messages that wait; few lines for any number of nodes', async (t) => {
  const api = await fleet(t);
  const row = {
    rule: 'away',
    severity: 'critical' as const,
    since: 0,
    clearSince: null,
    firedAt: 1,
    resolvedAt: null,
    summary: 'x',
    reason: null,
    isNotified: true,
  };
  await api.store.write(() => {
    for (let index = 0; index < 100; index += 1) {
      const id = `alert${index}`;
      const state = index === 0 ? 'pending' : 'firing';
      api.store.alerts.put({ ...row, id, nodeId: `id-${index}`, nodeName: id, state });
    }
    api.store.alerts.put({ ...row, id: 'gone', nodeId: 'id-0', nodeName: 'x', rule: 'gone', state: 'firing' });
    api.store.alerts.put({ ...row, id: 'over', nodeId: 'id-0', nodeName: 'x', state: 'resolved', resolvedAt: 2 });
    api.store.deliveries.insert({
      id: 'm1',
      receiver: 'hook',
      alertId: 'alert1',
      rule: 'away',
      event: 'firing',
      message: '{}',
      createdAt: 0,
      nextAt: 0,
      batch: null,
    });
  });
  await api.admin.json('POST', '/v1/alerts/silences', { what: 'alert99', forMs: 60_000 });
  const { text } = await scrape(api.admin);
  assertHas(
    text,
    'fleet_alerts{rule="away",severity="critical",state="pending"} 1',
    'fleet_alerts{rule="away",severity="critical",state="firing"} 98',
    'fleet_alerts{rule="away",severity="critical",state="silenced"} 1',
    'fleet_alerts{rule="hot",severity="warning",state="firing"} 0',
    'fleet_alerts{rule="gone",severity="critical",state="firing"} 1',
    'fleet_alert_messages_waiting{receiver="hook"} 1',
  );
  assert.equal(text.match(/^fleet_alerts\{/gm)?.length, 7);
});

test('Prometheus itself finds nothing to complain about, in either format, however they take turns', async (t) => {
  const api = await fleet(t);
  const folder = tempFolder(t);
  for (let round = 0; round < 2; round += 1) {
    const plain = await scrape(api.admin);
    assert.deepEqual(promtool(['check', 'metrics'], plain.text), { code: 0, said: '' });
    const open = await scrape(api.admin, OPENMETRICS);
    assert.equal(open.type, 'application/openmetrics-text; version=1.0.0; charset=utf-8');
    assert.match(open.text, /\n# EOF\n$/);
    assert.match(open.text, /^# TYPE fleet_runs counter$/m);
    assert.match(open.text, /^fleet_runs_total\{outcome="exited_nonzero"\} 1$/m);
    // Its parser of OpenMetrics reads files with times only.
    const file = path.join(folder, `${round}.om`);
    writeFileSync(file, open.text.replace(/^([^#\n].*)$/gm, '$1 1700000000'));
    const { code, said } = promtool(['tsdb', 'create-blocks-from', 'openmetrics', file, path.join(folder, 'data')]);
    assert.equal(code, 0, said);
  }
});

test('who may read it: everybody who may see the fleet, on any door', async (t) => {
  const api = await testApi(t);
  assert.match((await scrape(api.connect({ kind: 'tcp' }, API_TOKEN))).text, /fleet_nodes/);
  await assert.rejects(scrape(api.connect({ kind: 'tcp' })), { code: 'token_invalid' });
  const node = await api.addNode('a');
  await assert.rejects(scrape(node.client), { code: 'forbidden' });
});

test('a node cannot fill the database of Prometheus, nor spoil the metrics with odd names', async (t) => {
  const disks = Array.from({ length: 64 }, (_, index) => disk(`/${index}\ud800`, index));
  const { text } = await scrape((await fleet(t, { disks })).admin);
  const samples = text.match(/^fleet_node_filesystem_used_ratio\{.*$/gm) ?? [];
  assert.equal(samples.length, MAX_DISKS_PER_NODE);
  assert.ok(
    samples.every((sample) => /mountpoint="\/(5[6-9]|6[0-3])/.test(sample)),
    'the fullest',
  );
  assert.deepEqual(promtool(['check', 'metrics'], text), { code: 0, said: '' });
});

test('the format that is asked for', () => {
  const cases: [string | undefined, string][] = [
    [undefined, 'text'],
    ['*/*', 'text'],
    ['text/plain', 'text'],
    [OPENMETRICS, 'openmetrics'],
    ['application/openmetrics-text', 'openmetrics'],
    ['application/openmetrics-text;version=0.0.1', 'text'],
    ['application/openmetrics-text;q=0', 'text'],
    ['application/openmetrics-text;version=1.0.0;q=0.3, text/plain;q=0.9', 'text'],
    ['application/openmetrics-text;q=banana', 'text'],
  ];
  for (const [accept, format] of cases) assert.equal(negotiateFormat(accept), format, accept);
});
