import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NODE_STATUSES } from '../../../../src/domain/states.ts';
import { DEFAULT_HEALTH_THRESHOLDS } from '../../../../src/gateway/monitoring/judge/limits.ts';
import {
  clockSkewMs,
  deriveStatus,
  type HealthState,
  judgeHeartbeat,
} from '../../../../src/gateway/monitoring/judge/status.ts';
import type { Heartbeat } from '../../../../src/protocol/heartbeat.ts';
import { disk, HEALTHY } from './healthy-heartbeat.ts';

interface Facts {
  sessionAgeMs: number | null;
  heartbeat: Heartbeat | null;
  heartbeatAgeMs: number | null;
  skewMs: number | null;
}

/** The status of a node that has said the same for two minutes, so that restless figures count. */
function statusOf({ heartbeat, skewMs, ...facts }: Facts, thresholds = DEFAULT_HEALTH_THRESHOLDS) {
  let state: HealthState | null = null;
  for (let at = 0; heartbeat !== null && at <= 120_000; at += 30_000) {
    state = judgeHeartbeat(state, { beat: heartbeat, skewMs }, thresholds, at);
  }
  return deriveStatus(facts, state, thresholds);
}

const facts = (heartbeat: Partial<Heartbeat> = {}, changes: Partial<Facts> = {}): Facts => ({
  sessionAgeMs: 600_000,
  heartbeat: { ...HEALTHY, ...heartbeat },
  heartbeatAgeMs: 5_000,
  skewMs: 0,
  ...changes,
});
test('a healthy node is online without reasons', () => {
  assert.deepEqual(statusOf(facts()), { status: 'online', reasons: [] });
});

test('no session is offline, however fresh the heartbeat', () => {
  assert.equal(statusOf(facts({}, { sessionAgeMs: null, heartbeatAgeMs: 0 })).status, 'offline');
});

test('90 s of silence are offline, and not one millisecond less', () => {
  assert.equal(statusOf(facts({}, { heartbeatAgeMs: 89_999 })).status, 'online');
  assert.equal(statusOf(facts({}, { heartbeatAgeMs: 90_000 })).status, 'offline');
});

test('a new session is online before its first heartbeat, for 90 s; old figures do not count', () => {
  const fresh = { sessionAgeMs: 1_000, heartbeatAgeMs: 3_600_000 };
  assert.equal(statusOf(facts({ faults: ['spool not writable'] }, fresh)).status, 'online');
  const none = { heartbeat: null, heartbeatAgeMs: null, skewMs: null };
  assert.equal(statusOf({ ...none, sessionAgeMs: 89_999 }).status, 'online');
  assert.equal(statusOf({ ...none, sessionAgeMs: 90_000 }).status, 'offline');
});

test('each threshold limits at its value, and not just below', () => {
  const cases: [name: string, below: Facts, at: Facts][] = [
    ['memory', facts({ memUsedBytes: 899 }), facts({ memUsedBytes: 900 })],
    ['disk', facts({ disks: [disk('/', 89.9)] }), facts({ disks: [disk('/', 10), disk('/data', 90)] })],
    ['temperature', facts({ temperatureC: 89 }), facts({ temperatureC: 90 })],
    [
      'battery',
      facts({ battery: { percent: 11, charging: false } }),
      facts({ battery: { percent: 10, charging: false } }),
    ],
    [
      'event loop lag',
      facts({ node: { ...HEALTHY.node, eventLoopLagMs: 999 } }),
      facts({ node: { ...HEALTHY.node, eventLoopLagMs: 1000 } }),
    ],
    ['clock', facts({}, { skewMs: 60_000 }), facts({}, { skewMs: 60_001 })],
    ['clock', facts({}, { skewMs: -60_000 }), facts({}, { skewMs: -60_001 })],
    ['refuses', facts({ accepting: true }), facts({ accepting: false })],
  ];
  for (const [name, below, at] of cases) {
    assert.equal(statusOf(below).status, 'online', name);
    const { status, reasons } = statusOf(at);
    assert.equal(status, 'limited', name);
    assert.equal(reasons.length, 1, name);
    assert.ok(reasons[0]?.startsWith(name), reasons[0]);
  }
});

test('a limit that is off is never exceeded', () => {
  const off = Number.POSITIVE_INFINITY;
  const limits = { cpuPct: off, memUsedPct: off, diskUsedPct: off, temperatureC: off, batteryPct: off };
  const worst = { cpuPct: 100, memUsedBytes: 1000, disks: [disk('/', 100)], temperatureC: 120 };
  const sample = facts({ ...worst, battery: { percent: 0, charging: false } });
  assert.equal(statusOf(sample, { ...DEFAULT_HEALTH_THRESHOLDS, ...limits }).status, 'online');
});

test('a charging battery is not a reason', () => {
  assert.equal(statusOf(facts({ battery: { percent: 1, charging: true } })).status, 'online');
});

test('each full disk is a reason of its own, by mount point', () => {
  const { reasons } = statusOf(facts({ disks: [disk('/', 99), disk('/data', 93.96)] }));
  assert.deepEqual(reasons, ['disk / 99% (limit 90%)', 'disk /data 93.9% (limit 90%)']);
});

test('faults are an error and are listed before exceeded limits', () => {
  const { status, reasons } = statusOf(facts({ faults: ['spool not writable'], accepting: false }));
  assert.equal(status, 'error');
  assert.deepEqual(reasons, ['spool not writable', 'refuses new runs']);
});

test('configured thresholds replace the defaults, which cannot be changed', () => {
  assert.equal(statusOf(facts({ cpuPct: 96 }), { ...DEFAULT_HEALTH_THRESHOLDS, cpuPct: 99 }).status, 'online');
  assert.equal(
    statusOf(facts({}, { heartbeatAgeMs: 20_000 }), { ...DEFAULT_HEALTH_THRESHOLDS, offlineAfterMs: 15_000 }).status,
    'offline',
  );
  assert.ok(Object.isFrozen(DEFAULT_HEALTH_THRESHOLDS));
});

test('clock skew allows for half the round trip', () => {
  assert.equal(clockSkewMs(1_000, 1_050, 100), 0);
  assert.equal(clockSkewMs(5_000, 1_000, null), 4_000);
});

const percentOrNull = fc.option(fc.double({ min: 0, max: 100, noNaN: true }));
const anyFacts: fc.Arbitrary<Facts> = fc.record({
  sessionAgeMs: fc.option(fc.nat()),
  heartbeatAgeMs: fc.option(fc.nat({ max: 200_000 })),
  skewMs: fc.option(fc.integer()),
  heartbeat: fc.option(
    fc
      .record({
        cpuPct: percentOrNull,
        memTotalBytes: fc.option(fc.nat()),
        memUsedBytes: fc.option(fc.nat()),
        temperatureC: fc.option(fc.integer({ min: -100, max: 250 })),
        disks: fc.option(fc.array(fc.double({ min: 0, max: 100, noNaN: true }).map((usedPct) => disk('/', usedPct)))),
        battery: fc.option(fc.record({ percent: fc.nat({ max: 100 }), charging: fc.boolean() })),
        faults: fc.array(fc.string({ minLength: 1 }), { maxLength: 3 }),
        accepting: fc.boolean(),
      })
      .map((changes): Heartbeat => ({ ...HEALTHY, ...changes })),
  ),
});

test('any facts have one status, always the same, with reasons unless online, and then only for being busy', () => {
  fc.assert(
    fc.property(anyFacts, (generated) => {
      const some = structuredClone(generated);
      const copy = structuredClone(generated);
      const derived = statusOf(some);
      assert.ok(NODE_STATUSES.includes(derived.status));
      if (derived.status === 'online') assert.ok(derived.reasons.every((reason) => reason.startsWith('busy: ')));
      else assert.ok(derived.reasons.length > 0);
      assert.deepEqual(statusOf(copy), derived);
      assert.deepEqual(some, copy);
    }),
  );
});

test('a worse figure never gives a better status', () => {
  fc.assert(
    fc.property(anyFacts, fc.double({ min: 0, max: 100, noNaN: true }), (some, more) => {
      if (some.heartbeat === null) return;
      const cpuPct = some.heartbeat.cpuPct ?? 0;
      const worse = { ...some, heartbeat: { ...some.heartbeat, cpuPct: Math.min(100, cpuPct + more) } };
      const rank = (which: Facts) => NODE_STATUSES.indexOf(statusOf(which).status);
      assert.ok(rank(worse) >= rank(some));
    }),
  );
});
