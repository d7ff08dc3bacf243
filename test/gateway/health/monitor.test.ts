import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { DEFAULT_HEALTH_THRESHOLDS } from '../../../src/gateway/health/derive-status.ts';
import { HealthMonitor } from '../../../src/gateway/health/monitor.ts';
import { Sessions } from '../../../src/gateway/sessions.ts';
import { Store } from '../../../src/gateway/store/store.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { settle } from '../../support/deadline.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';
import { FACTS } from '../identity/fixtures.ts';

function setUp(t: TestContext) {
  const clock = new FakeClock();
  const store = new Store(path.join(tempFolder(t), 'fleet.db'));
  cleanUp(t, () => store.close());
  store.nodes.insert({
    id: 'n',
    name: 'n',
    publicKey: randomBytes(32),
    ownLabels: {},
    labels: {},
    facts: FACTS,
    createdAt: 0,
  });
  const sessions = new Sessions({ store, clock, logger: silentLogger });
  const errors: string[] = [];
  const monitor = new HealthMonitor({
    epochs: { suspicionOf: () => undefined },
    store,
    sessions,
    clock,
    logger: { ...silentLogger, error: (_facts, message) => void errors.push(message) },
    thresholds: { ...DEFAULT_HEALTH_THRESHOLDS, offlineAfterMs: 90_000 },
    retentionMs: 3_600_000,
  });
  const count = () => store.health.heartbeats('n', 0, Number.MAX_SAFE_INTEGER).length;
  return { clock, store, monitor, errors, count };
}

const bare = {
  nodeId: 'n',
  cpuPct: null,
  load1: null,
  memUsedPct: null,
  diskUsedPct: null,
  rttMs: null,
  skewMs: null,
  sample: '{}',
};

test('old heartbeats go, also those of a fleet that makes more in a minute than one batch deletes', async (t) => {
  const { clock, store, monitor, count } = setUp(t);
  await store.write(() => {
    for (let at = 0; at < 5_000; at += 1) store.health.insertHeartbeat({ ...bare, at });
    store.health.insertHeartbeat({ ...bare, at: clock.now() });
  });
  monitor.start();
  await clock.advance(59_000);
  assert.equal(count(), 5_001);
  for (let step = 0; step < 20; step += 1) {
    await clock.advance(200);
    await settle(5);
  }
  assert.equal(count(), 1);
  monitor.close();
});

test('a disk that fails while it prunes does not end the pruning; close does', async (t) => {
  const { clock, store, monitor, errors, count } = setUp(t);
  store.health.insertHeartbeat({ ...bare, at: 1 });
  const prune = store.health.pruneHeartbeats.bind(store.health);
  store.health.pruneHeartbeats = () => {
    throw new Error('disk');
  };
  monitor.start();
  await clock.advance(60_000);
  await settle();
  assert.deepEqual([errors.length, count()], [1, 1]);
  store.health.pruneHeartbeats = prune;
  await clock.advance(60_000);
  await settle();
  assert.equal(count(), 0);
  await clock.advance(60_000);
  monitor.close();
  await settle();
  assert.equal(clock.pendingTimers, 0, 'a prune that was under way does not begin another');
});

test('after a start of the gateway, the last heartbeat comes from the store; one that it cannot read is none', (t) => {
  const { store, monitor } = setUp(t);
  assert.equal(monitor.healthOf({ id: 'n' }).status, 'offline');
  monitor.forget('n');
  store.health.insertHeartbeat({ ...bare, at: 1 });
  assert.equal(monitor.healthOf({ id: 'n' }).latest, undefined);
});
