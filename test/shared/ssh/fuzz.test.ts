import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { fuzzNode } from '../../support/ssh-fuzz/fuzz-node.ts';

const CONNECTIONS = 120;
/** What a process of Node.js varies by. */
const MAX_GROWTH_BYTES = 24 * 1024 * 1024;

test('a node that meets a gateway gone mad goes on dialling, and holds on to nothing', async (t) => {
  const seed = randomInt(2 ** 32);
  t.diagnostic(`seed ${seed}`);
  const { connections, connected, before, after } = await fuzzNode({ seed, goesOn: (count) => count < CONNECTIONS });
  assert.ok(connections >= CONNECTIONS);
  assert.ok(connected > 10, `${connected} of ${connections} were let in`);
  assert.ok(after.heapBytes - before.heapBytes < MAX_GROWTH_BYTES, `${before.heapBytes} → ${after.heapBytes} bytes`);
});
