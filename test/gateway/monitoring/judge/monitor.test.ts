import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { readHistory } from '../../../../src/gateway/monitoring/history/node-history.ts';
import { DEFAULT_HEALTH_THRESHOLDS } from '../../../../src/gateway/monitoring/judge/limits.ts';
import { HealthMonitor, lastSeen } from '../../../../src/gateway/monitoring/judge/monitor.ts';
import { Sessions } from '../../../../src/gateway/nodes/sessions.ts';
import { Store } from '../../../../src/gateway/store.ts';
import type { Heartbeat } from '../../../../src/protocol/heartbeat.ts';
import { FleetError } from '../../../../src/shared/errors.ts';
import { silentLogger } from '../../../../src/shared/logger.ts';
import { settle } from '../../../support/deadline.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { cleanUp, tempFolder } from '../../../support/temp-folder.ts';
import { FACTS } from '../../identity/fixtures.ts';
import { disk, HEALTHY } from './healthy-heartbeat.ts';

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
  });
  monitor.start();
  const connect = async () => {
    const closed = Promise.withResolvers<string>();
    const peer = {
      id: randomBytes(4).toString('hex'),
      remoteAddress: '192.0.2.1',
      connectedAt: clock.now(),
      openForwarded: () => Promise.reject(new Error('no forward')),
      close: (reason: string) => closed.resolve(reason),
      closed: closed.promise,
    };
    await sessions.accept({ id: 'n', name: 'n' }, peer);
    const session = sessions.get('n');
    assert.ok(session !== undefined);
    return session;
  };
  /** As after a start of the gateway: nothing in memory. */
  const restarted = () =>
    new HealthMonitor({
      epochs: { suspicionOf: () => undefined },
      store,
      sessions,
      clock,
      logger: silentLogger,
      thresholds: { ...DEFAULT_HEALTH_THRESHOLDS },
    });
  return { clock, store, sessions, monitor, errors, connect, restarted };
}

const FULL = { ...HEALTHY, disks: [disk('/', 95)] };

test('after a restart, the last heartbeat comes from the store; an unreadable one is ignored', (t) => {
  const { store, monitor } = setUp(t);
  assert.equal(monitor.healthOf({ id: 'n' }).status, 'offline');
  monitor.forget('n');
  store.health.putHeartbeat({ nodeId: 'n', at: 1, rttMs: null, skewMs: null, sample: '{}', state: '{"odd": true}' });
  assert.equal(monitor.healthOf({ id: 'n' }).latest, undefined);
});

test('a restart forgets neither conditions that are about to count nor the quality of the link', async (t) => {
  const { clock, monitor, connect, restarted } = setUp(t);
  const session = await connect();
  for (const rttMs of [40, 60, 40]) {
    await clock.advance(30_000);
    await monitor.accept(session, {
      ...HEALTHY,
      at: clock.now(),
      rttMs,
      memTotalBytes: 100,
      memUsedBytes: rttMs === 60 ? 10 : 99,
    });
  }
  const again = restarted();
  assert.equal(again.healthOf({ id: 'n' }).status, 'online');
  assert.deepEqual(again.healthOf({ id: 'n' }).link, monitor.healthOf({ id: 'n' }).link);
  for (let beat = 0; beat < 2; beat += 1) {
    await clock.advance(30_000);
    await again.accept(session, { ...HEALTHY, at: clock.now(), rttMs: 40, memTotalBytes: 100, memUsedBytes: 99 });
  }
  assert.equal(again.healthOf({ id: 'n' }).status, 'limited');
});

test('an incident is stored once, from its first heartbeat to its last, and ends with the session', async (t) => {
  const { clock, store, sessions, monitor, connect } = setUp(t);
  const session = await connect();
  const begun = clock.now();
  const beat = async (sample: Heartbeat) => {
    await clock.advance(30_000);
    await monitor.accept(session, { ...sample, at: clock.now() });
  };
  await beat(HEALTHY);
  for (let count = 0; count < 3; count += 1) await beat(FULL);
  for (let count = 0; count < 3; count += 1) await beat(HEALTHY);
  await beat({ ...HEALTHY, faults: ['spool'] });
  await clock.advance(10_000);
  sessions.close('n', 'gone');
  await settle();
  const spells = store.incidents.betweenOf(['n'], 0, clock.now() + 1).get('n') ?? [];
  assert.deepEqual(
    spells.map(({ status, startedAt, endedAt, reasons }) => [
      status,
      startedAt - begun,
      (endedAt ?? 0) - begun,
      reasons,
    ]),
    [
      ['limited', 60_000, 210_000, ['disk / 95% (limit 90%)']],
      ['error', 240_000, 250_000, ['spool']],
    ],
  );
});

test('while the disk is full, health is still up to date, and incidents and disks are stored once possible', async (t) => {
  const { clock, store, sessions, monitor, errors, connect } = setUp(t);
  const session = await connect();
  const begun = clock.now();
  const beat = async (sample: Heartbeat) => {
    await clock.advance(30_000);
    await monitor.accept(session, { ...sample, at: clock.now() });
  };
  const full = t.mock.method(store, 'write', () =>
    Promise.reject(new FleetError('storage_failed', 'database or disk is full')),
  );
  for (let count = 0; count < 3; count += 1) await beat(FULL);
  assert.equal(sessions.online('n'), session);
  assert.equal(monitor.healthOf({ id: 'n' }).status, 'limited');
  assert.equal(lastSeen({ lastSeenAt: begun }, monitor.healthOf({ id: 'n' })), clock.now());
  assert.deepEqual(errors, ['cannot store heartbeats; the history will have a gap']);
  assert.equal(monitor.storageFault, 'heartbeats cannot be stored: database or disk is full');
  full.mock.restore();
  await beat(FULL);
  assert.equal(monitor.storageFault, null);
  assert.deepEqual(
    (store.incidents.betweenOf(['n'], 0, clock.now() + 1).get('n') ?? []).map(({ status, startedAt }) => [
      status,
      startedAt - begun,
    ]),
    [['limited', 120_000]],
  );
  assert.equal(store.history.disks.trendsOf(['n'], 0).get('n')?.[0]?.readings, 1);
  t.mock.method(store, 'write', () => Promise.reject(new TypeError('a defect')));
  await assert.rejects(beat(FULL), TypeError);
});

test('each new session but the first is a reconnect', async (t) => {
  const { clock, monitor, sessions, connect } = setUp(t);
  for (let count = 0; count < 3; count += 1) {
    await monitor.accept(await connect(), { ...HEALTHY, at: clock.now(), rttMs: 20 });
    sessions.close('n', 'cut');
    await clock.advance(60_000);
  }
  const { link, status } = monitor.healthOf({ id: 'n' });
  assert.deepEqual([link.reconnectsPerHour, link.score, status], [2, 0, 'offline']);
});

test('figures go into the history, disks once an hour', async (t) => {
  const { clock, store, monitor, connect } = setUp(t);
  const session = await connect();
  for (const usedPct of [50, 51]) {
    await monitor.accept(session, { ...HEALTHY, at: clock.now(), cpuPct: usedPct, disks: [disk('/', usedPct)] });
    await clock.advance(60_000);
  }
  const [trend] = store.history.disks.trendsOf(['n'], 0).get('n') ?? [];
  assert.deepEqual([trend?.mount, trend?.readings, trend?.sumPct], ['/', 1, 50]);
  const period = { from: clock.now() - 3_600_000, to: clock.now(), parts: 48 };
  assert.equal(readHistory(store.history, 'n', period).statistics('cpuPct')?.avg, 50.5);
});
