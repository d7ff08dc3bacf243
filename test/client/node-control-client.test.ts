import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NodeControlClient } from '../../src/client/node-control-client.ts';
import { FakeGateway, fail, json } from './fake-gateway.ts';

test('speaks with a node over its socket, and says when none runs', { timeout: 10_000 }, async (context) => {
  const node = await new FakeGateway().listen();
  context.after(() => node.close());
  node.on('GET /v1/status', json({ state: 'online' }));
  node.on('POST /v1/shutdown', json({ pid: 7 }, 202), fail(409, 'conflict', 'already ending'));
  const client = new NodeControlClient({ socketPath: node.socketPath, profile: 'pi-7' });
  assert.deepEqual(await client.status(), { state: 'online' });
  assert.deepEqual(await client.shutdown(), { pid: 7 });
  await assert.rejects(client.shutdown(), { code: 'conflict' });
  await node.stop();
  await assert.rejects(client.status(), { code: 'not_running', message: 'node pi-7 is not running' });
});
