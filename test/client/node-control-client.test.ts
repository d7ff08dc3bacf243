import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NodeControlClient } from '../../src/client/node-control-client.ts';
import type { NodeStatusView } from '../../src/protocol/node-control.ts';
import { FakeGateway, fail, json } from './fake-gateway.ts';

const STATUS: NodeStatusView = {
  profile: 'pi-7',
  name: 'pi-7',
  id: 'id',
  gateway: 'gw:1',
  state: 'online',
  pendingCode: null,
  lastError: null,
  retryAt: null,
  connectedSince: '2026-01-01T00:00:00.000Z',
  rttMs: 1,
  skewMs: -2,
  runsActive: 0,
  policy: null,
  faults: [],
  pid: 7,
  version: '1',
  startedAt: '2026-01-01T00:00:00.000Z',
  connects: 1,
};

test('speaks with a node over its socket, and says when none runs', { timeout: 10_000 }, async (context) => {
  const node = await new FakeGateway().listen();
  context.after(() => node.close());
  node.on('GET /v1/status', json(STATUS));
  node.on('POST /v1/shutdown', json({ pid: 7 }, 202), fail(409, 'conflict', 'already ending'));
  const client = new NodeControlClient({ socketPath: node.socketPath, profile: 'pi-7' });
  assert.deepEqual(await client.status(), STATUS);
  assert.deepEqual(await client.shutdown(), { pid: 7 });
  await assert.rejects(client.shutdown(), { code: 'conflict' });
  await node.stop();
  await assert.rejects(client.status(), { code: 'not_running', message: 'node pi-7 is not running' });
});
