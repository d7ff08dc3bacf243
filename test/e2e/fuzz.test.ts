import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { fuzzGateway } from '../support/ssh-fuzz/fuzz-gateway.ts';
import { startFleetTarget } from '../support/ssh-fuzz/gateway-target.ts';

/** A second or two; `scripts/fuzz` goes on for as long as one likes. */
const CONNECTIONS = 40;
/** What a process of Node.js varies by. */
const MAX_GROWTH_BYTES = 32 * 1024 * 1024;

test('a gateway that strangers and a stolen key feed mutated packets keeps its node, and runs what people ask for', async (t) => {
  const seed = randomInt(2 ** 32);
  t.diagnostic(`seed ${seed}`);
  const goesOn = (begun: number): boolean => begun < CONNECTIONS;
  const { connections, phases, served, before, after, left } = await fuzzGateway({
    seed,
    goesOn,
    startTarget: startFleetTarget,
  });
  assert.equal(connections, CONNECTIONS);
  for (const count of Object.values(phases)) assert.ok(count > 0, JSON.stringify(phases));
  assert.ok(served >= 2);
  assert.deepEqual(left, { connections: 0, unauthenticated: 0 });
  assert.ok(after.heapBytes - before.heapBytes < MAX_GROWTH_BYTES, `${before.heapBytes} → ${after.heapBytes} bytes`);
});
