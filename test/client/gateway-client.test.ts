import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { GatewayClient } from '../../src/client/gateway-client.ts';
import type { PendingView } from '../../src/protocol/views.ts';
import type { FleetError } from '../../src/shared/errors.ts';
import { FakeGateway, fail, JOB, jobView, json, nodeView } from './fake-gateway.ts';

const NODE = nodeView({ name: 'a' });
const PENDING: PendingView = {
  name: 'pi',
  code: '1234-5678',
  fingerprint: 'SHA256:y',
  address: '192.0.2.2',
  hostname: 'pi',
  os: 'linux',
  arch: 'arm64',
  labels: {},
  since: '2026-01-01T00:00:00.000Z',
};

describe('GatewayClient', { timeout: 10_000 }, () => {
  let gateway: FakeGateway;
  let client: GatewayClient;
  beforeEach(async () => {
    gateway = await new FakeGateway().listen();
    client = new GatewayClient({ socketPath: gateway.socketPath });
  });
  afterEach(() => gateway.close());

  test('quotes what people type into paths and queries', async () => {
    gateway.on('GET /v1/nodes', json({ nodes: [] }));
    await client.nodes({ selector: '@a=b&c,d?', exclude: undefined });
    assert.equal(gateway.seen[0]?.url, '/v1/nodes?selector=%40a%3Db%26c%2Cd%3F');
    await assert.rejects(client.node('../gateway?x'), { code: 'not_found' });
    assert.equal(gateway.seen[1]?.url, '/v1/nodes/..%2Fgateway%3Fx');
  });

  test('unpacks lists', async () => {
    gateway.on('GET /v1/nodes', json({ nodes: [NODE] }));
    gateway.on('GET /v1/jobs', json({ jobs: [jobView()] }));
    gateway.on('GET /v1/pending', json({ pending: [PENDING] }));
    assert.deepEqual(await client.nodes(), [NODE]);
    assert.deepEqual(await client.jobs({ node: 'a', since: 5, limit: 3 }), [jobView()]);
    assert.deepEqual(await client.pending(), [PENDING]);
    assert.equal(gateway.seen[1]?.url, '/v1/jobs?node=a&since=5&limit=3');
  });

  test('an answer without a body is no failure', async () => {
    gateway.on('DELETE /v1/nodes/a', (response) => void response.writeHead(204).end());
    assert.equal(await client.removeNode('a'), undefined);
  });

  test('throws the error that the gateway meant', async () => {
    gateway.on('GET /v1/nodes/a', fail(409, 'ambiguous', 'fits two', 'Write more of it.'));
    await assert.rejects(client.node('a'), (error: FleetError) => {
      assert.deepEqual(error.toJSON(), { code: 'ambiguous', message: 'fits two', hint: 'Write more of it.' });
      return true;
    });
  });

  test('streams stdin as it is', async () => {
    const bytes = Buffer.from([0, 255, 10, 128]);
    gateway.on(`POST /v1/jobs/${JOB}/stdin`, (response) => void response.writeHead(204).end());
    await client.sendStdin(JOB, Readable.from([bytes]));
    assert.deepEqual(gateway.seen[0]?.bytes, bytes);
    assert.equal(gateway.seen[0]?.headers['content-type'], 'application/octet-stream');
  });

  test('a report has the status of its header', async () => {
    gateway.on(
      'GET /v1/health/report',
      (response) => void response.writeHead(200, { 'fleet-status': 'limited' }).end('# r'),
    );
    const report = await client.healthReport({ since: 5, format: 'md' });
    assert.equal(report.status, 'limited');
    assert.equal(await text(report.body), '# r');
    assert.equal(gateway.seen[0]?.url, '/v1/health/report?since=5&format=md');
  });

  test('tells an absent gateway from a broken connection', async () => {
    gateway.on('GET /v1/gateway', (response) => void response.destroy());
    await assert.rejects(client.gateway(), { code: 'connection_lost' });
    await gateway.stop();
    await assert.rejects(client.gateway(), { code: 'gateway_unreachable', hint: 'Start it: fleet gateway up' });
  });
});
