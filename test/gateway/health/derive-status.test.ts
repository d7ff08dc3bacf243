import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { StatusFacts } from '../../../src/gateway/health/derive-status.ts';
import { clockSkewMs, DEFAULT_HEALTH_THRESHOLDS, deriveStatus } from '../../../src/gateway/health/derive-status.ts';
import type { Heartbeat } from '../../../src/protocol/heartbeat.ts';
import { NODE_STATUSES } from '../../../src/protocol/node-status.ts';

const HEALTHY: Heartbeat = {
  at: 0,
  bootedAt: null,
  uptimeS: null,
  cpuPct: 10,
  load1: null,
  load5: null,
  load15: null,
  cores: 2,
  memTotalBytes: 1000,
  memUsedBytes: 500,
  swapTotalBytes: null,
  swapUsedBytes: null,
  disks: [{ mount: '/', fsType: 'ext4', sizeBytes: 100, usedBytes: 50, usedPct: 50 }],
  network: null,
  temperatureC: null,
  battery: null,
  agent: { version: '0.1.0', rssBytes: null, eventLoopLagMs: 1, uptimeS: null },
  runsActive: 0,
  rttMs: null,
  faults: [],
  accepting: true,
};

const facts = (heartbeat: Partial<Heartbeat> = {}, changes: Partial<StatusFacts> = {}): StatusFacts => ({
  sessionAgeMs: 600_000,
  heartbeat: { ...HEALTHY, ...heartbeat },
  heartbeatAgeMs: 5_000,
  skewMs: 0,
  ...changes,
});
const disk = (mount: string, usedPct: number) => ({
  mount,
  fsType: 'ext4',
  sizeBytes: 100,
  usedBytes: usedPct,
  usedPct,
});

test('a healthy node is online without reasons', () => {
  assert.deepEqual(deriveStatus(facts()), { status: 'online', reasons: [] });
});

test('no session is offline, however fresh the heartbeat', () => {
  assert.equal(deriveStatus(facts({}, { sessionAgeMs: null, heartbeatAgeMs: 0 })).status, 'offline');
});

test('90 s of silence are offline, and not one millisecond less', () => {
  assert.equal(deriveStatus(facts({}, { heartbeatAgeMs: 89_999 })).status, 'online');
  assert.equal(deriveStatus(facts({}, { heartbeatAgeMs: 90_000 })).status, 'offline');
});

test('a new session is online before its first heartbeat, for 90 s; old figures do not count', () => {
  const fresh = { sessionAgeMs: 1_000, heartbeatAgeMs: 3_600_000 };
  assert.equal(deriveStatus(facts({ faults: ['spool not writable'] }, fresh)).status, 'online');
  const none = { heartbeat: null, heartbeatAgeMs: null, skewMs: null };
  assert.equal(deriveStatus({ ...none, sessionAgeMs: 89_999 }).status, 'online');
  assert.equal(deriveStatus({ ...none, sessionAgeMs: 90_000 }).status, 'offline');
});

test('each threshold limits at its value, and not just below', () => {
  const cases: [name: string, below: StatusFacts, at: StatusFacts][] = [
    ['cpu', facts({ cpuPct: 94.99 }), facts({ cpuPct: 95 })],
    ['memory', facts({ memUsedBytes: 899 }), facts({ memUsedBytes: 900 })],
    ['disk', facts({ disks: [disk('/', 89.9)] }), facts({ disks: [disk('/', 10), disk('/data', 90)] })],
    ['temperature', facts({ temperatureC: 89 }), facts({ temperatureC: 90 })],
    [
      'battery',
      facts({ battery: { percent: 11, charging: false } }),
      facts({ battery: { percent: 10, charging: false } }),
    ],
    [
      'agent',
      facts({ agent: { ...HEALTHY.agent, eventLoopLagMs: 999 } }),
      facts({ agent: { ...HEALTHY.agent, eventLoopLagMs: 1000 } }),
    ],
    ['clock', facts({}, { skewMs: 60_000 }), facts({}, { skewMs: 60_001 })],
    ['clock', facts({}, { skewMs: -60_000 }), facts({}, { skewMs: -60_001 })],
    ['refuses', facts({ accepting: true }), facts({ accepting: false })],
  ];
  for (const [name, below, at] of cases) {
    assert.equal(deriveStatus(below).status, 'online', name);
    const { status, reasons } = deriveStatus(at);
    assert.equal(status, 'limited', name);
    assert.equal(reasons.length, 1, name);
    assert.ok(reasons[0]?.startsWith(name), reasons[0]);
  }
});

test('a charging battery is not a reason', () => {
  assert.equal(deriveStatus(facts({ battery: { percent: 1, charging: true } })).status, 'online');
});

test('each full disk is a reason of its own, by mount point', () => {
  const { reasons } = deriveStatus(facts({ disks: [disk('/', 99), disk('/data', 93.96)] }));
  assert.deepEqual(reasons, ['disk / 99% (limit 90%)', 'disk /data 93.9% (limit 90%)']);
});

test('faults make an error, and come before the crossed limits', () => {
  const { status, reasons } = deriveStatus(facts({ faults: ['spool not writable'], accepting: false }));
  assert.equal(status, 'error');
  assert.deepEqual(reasons, ['spool not writable', 'refuses new runs']);
});

test('configured thresholds replace the defaults, which cannot be changed', () => {
  assert.equal(deriveStatus(facts({ cpuPct: 96 }), { ...DEFAULT_HEALTH_THRESHOLDS, cpuPct: 99 }).status, 'online');
  assert.equal(
    deriveStatus(facts({}, { heartbeatAgeMs: 20_000 }), { ...DEFAULT_HEALTH_THRESHOLDS, offlineAfterMs: 15_000 })
      .status,
    'offline',
  );
  assert.ok(Object.isFrozen(DEFAULT_HEALTH_THRESHOLDS));
});

test('skew takes half the round trip for the way', () => {
  assert.equal(clockSkewMs(1_000, 1_050, 100), 0);
  assert.equal(clockSkewMs(5_000, 1_000, null), 4_000);
});

const percentOrNull = fc.option(fc.double({ min: 0, max: 100, noNaN: true }));
const anyFacts: fc.Arbitrary<StatusFacts> = fc.record({
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

test('any facts have one status, always the same, with reasons unless online', () => {
  fc.assert(
    fc.property(anyFacts, (generated) => {
      const some = structuredClone(generated);
      const copy = structuredClone(generated);
      const derived = deriveStatus(some);
      assert.ok(NODE_STATUSES.includes(derived.status));
      assert.equal(derived.reasons.length > 0, derived.status !== 'online');
      assert.deepEqual(deriveStatus(copy), derived);
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
      const rank = (which: StatusFacts) => NODE_STATUSES.indexOf(deriveStatus(which).status);
      assert.ok(rank(worse) >= rank(some));
    }),
  );
});
