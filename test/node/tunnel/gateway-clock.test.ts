import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayClock } from '../../../src/node/tunnel/gateway-client.ts';
import { FakeClock } from '../../support/fake-clock.ts';

test("the gateway's time, continued by the monotonic clock, whatever the wall clock does", async () => {
  const own = new FakeClock(1_000_000);
  const gateway = new GatewayClock(own);
  assert.deepEqual([gateway.now(), gateway.skewMs()], [1_000_000, null]);
  gateway.set(5_000_000, 40);
  assert.equal(gateway.now(), 5_000_020, 'half of the round trip has passed since it was said');
  assert.equal(gateway.skewMs(), -4_000_020);
  await own.advance(1000);
  assert.equal(gateway.now(), 5_001_020);
  own.jumpWall(86_400_000);
  assert.equal(gateway.now(), 5_001_020);
  assert.equal(gateway.skewMs(), 86_400_000 - 4_000_020);
  gateway.set(6_000_000, 1);
  assert.ok(Number.isInteger(gateway.now()));
});
