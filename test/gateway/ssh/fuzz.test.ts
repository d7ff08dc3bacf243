import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { fuzzGateway } from '../../support/ssh-fuzz/fuzz-gateway.ts';
import { startPortTarget } from '../../support/ssh-fuzz/gateway-target.ts';

/** A second or two; `scripts/fuzz` goes on for as long as one likes. */
const CONNECTIONS = 150;
/** What a process of Node.js varies by. */
const MAX_GROWTH_BYTES = 24 * 1024 * 1024;

test('a gateway that is fed mutated packets goes on serving, holds on to none of them, and does not end', async (t) => {
  const seed = randomInt(2 ** 32);
  t.diagnostic(`seed ${seed}`);
  const { connections, phases, served, before, after, left } = await fuzzGateway({
    seed,
    goesOn: (begun) => begun < CONNECTIONS,
    startTarget: startPortTarget,
  });
  assert.equal(connections, CONNECTIONS);
  for (const count of Object.values(phases)) assert.ok(count > CONNECTIONS / 6, JSON.stringify(phases));
  assert.ok(served >= 3);
  assert.deepEqual(left, { connections: 0, unauthenticated: 0 });
  assert.ok(after.heapBytes - before.heapBytes < MAX_GROWTH_BYTES, `${before.heapBytes} → ${after.heapBytes} bytes`);
});
