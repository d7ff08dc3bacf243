import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { CONTENT_TYPES, GatewayMetrics } from '../../../../src/gateway/monitoring/metrics/gateway-metrics.ts';
import { GAUGE_NAMES } from '../../../../src/gateway/monitoring/metrics/node-metrics.ts';
import { tempFolder } from '../../../support/temp-folder.ts';
import { promtool, sampleNames } from './promtool.ts';

const FOLDER = path.join(import.meta.dirname, '../../../../examples/prometheus');
const read = (file: string): string => readFileSync(path.join(FOLDER, file), 'utf8');

/** Every name that a query of the examples may use: ours, and what Prometheus itself adds. */
async function known(): Promise<Set<string>> {
  const metrics = new GatewayMetrics();
  metrics.start();
  metrics.scheduleOutcome('x', 'failed', 1);
  const run = { state: 'exited', exitCode: 0, queuedAt: 0, deliveredAt: 1, startedAt: 2, endedAt: 3 } as const;
  metrics.runEnded(run as unknown as Parameters<GatewayMetrics['runEnded']>[0]);
  const text = await metrics.write('text', {
    runs: { queued: 0, delivered: 0, running: 0 },
    schedules: ['x'],
    sessions: 0,
    ssh: { connections: 0, unauthenticated: 0, refused: 0, killed: { grace: 1 } },
    version: '0',
    startedAt: 0,
  });
  metrics.close();
  return new Set([...sampleNames(text), ...GAUGE_NAMES, 'up']);
}

/** What looks like a metric in a query: a name that is no function, no label and no keyword. */
function metricsIn(query: string): string[] {
  const bare = query.replace(/"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(by|without|on|ignoring)\s*\([^)]*\)/g, ' ');
  return [...bare.matchAll(/\b[a-z_][a-z0-9_]*\b(?!\s*\()/gi)].map(([name]) => name).filter((name) => name !== 'by');
}

test('the reader of queries finds their metrics', () => {
  const query = 'histogram_quantile(0.9, sum by (le) (rate(a_bucket{x="b"}[5m]))) / on (node) c_total > 1e3';
  assert.deepEqual(metricsIn(query), ['a_bucket', 'c_total']);
});

test('Prometheus takes the scrape configuration and the rules', () => {
  const rules = promtool(['check', 'rules', path.join(FOLDER, 'fleet-rules.yml')]);
  assert.equal(rules.code, 0, rules.said);
  assert.match(rules.said, /SUCCESS: \d+ rules found/);
  const config = promtool(['check', 'config', '--syntax-only', path.join(FOLDER, 'prometheus.yml')]);
  assert.equal(config.code, 0, config.said);
});

test('every rule and every panel asks for metrics that exist', async () => {
  const names = await known();
  const rules = [...read('fleet-rules.yml').matchAll(/^ +expr: (.*)$/gm)].map(([, query = '']) => query);
  const { panels, templating } = JSON.parse(read('grafana-dashboard.json')) as {
    panels: { title: string; targets: { expr: string }[] }[];
    templating: { list: { query: string }[] };
  };
  const queries = [...rules, ...panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))];
  assert.ok(rules.length > 5 && panels.length > 5);
  for (const query of queries) {
    const used = metricsIn(query);
    assert.ok(used.length > 0, query);
    for (const name of used) assert.ok(names.has(name), `${name} in ${query}`);
  }
  assert.match(templating.list.map(({ query }) => query).join(), /fleet_node_up/);
  assert.equal(new Set(panels.map(({ title }) => title)).size, panels.length);
});

test('every query of the dashboard is valid', (t) => {
  const { panels } = JSON.parse(read('grafana-dashboard.json')) as { panels: { targets: { expr: string }[] }[] };
  const file = path.join(tempFolder(t), 'rules.yml');
  const queries = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr.replace('$__rate_interval', '5m')));
  const rules = queries.map((expr, index) => ({ record: `panel:${index}`, expr }));
  // JSON is YAML.
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
  const { code, said } = promtool(['check', 'rules', file]);
  assert.equal(code, 0, said);
});

test('the formats that are offered are those of prom-client', () => {
  assert.match(CONTENT_TYPES.openmetrics, /^application\/openmetrics-text; version=1\.0\.0/);
  assert.match(CONTENT_TYPES.text, /^text\/plain; version=0\.0\.4/);
});
