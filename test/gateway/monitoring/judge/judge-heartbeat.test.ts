import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NODE_STATUSES, type NodeStatus } from '../../../../src/domain/states.ts';
import { DEFAULT_HEALTH_THRESHOLDS, LIMITS } from '../../../../src/gateway/monitoring/judge/limits.ts';
import { type HealthState, judgeHeartbeat, statusOfState } from '../../../../src/gateway/monitoring/judge/status.ts';
import type { Heartbeat } from '../../../../src/protocol/heartbeat.ts';
import { disk, HEALTHY } from './healthy-heartbeat.ts';

const STEP_MS = 30_000;

/** The status after each of these heartbeats, which come 30 s apart. */
function statusesOf(changes: readonly Partial<Heartbeat>[], stepMs = STEP_MS): NodeStatus[] {
  let state: HealthState | null = null;
  return changes.map((change, index) => {
    state = judgeHeartbeat(
      state,
      { beat: { ...HEALTHY, ...change }, skewMs: 0 },
      DEFAULT_HEALTH_THRESHOLDS,
      index * stepMs,
    );
    return statusOfState(state).status;
  });
}

const memory = (...values: number[]) => statusesOf(values.map((used) => ({ memTotalBytes: 100, memUsedBytes: used })));
const cpu = (...values: number[]) => statusesOf(values.map((cpuPct) => ({ cpuPct })));
const full = (...values: number[]) => statusesOf(values.map((usedPct) => ({ disks: [disk('/', usedPct)] })));
const changesOf = (statuses: readonly string[]) => statuses.filter((status, index) => status !== statuses[index - 1]);

test('a CPU at its limit is busy, but still online, until that has lasted for 15 minutes', () => {
  assert.deepEqual(changesOf(cpu(...Array<number>(30).fill(99))), ['online']);
  assert.deepEqual(changesOf(cpu(...Array<number>(40).fill(99), 10, 10, 10)), ['online', 'limited', 'online']);
  const state = [0, 30_000, 60_000].reduce<HealthState | null>(
    (before, at) =>
      judgeHeartbeat(before, { beat: { ...HEALTHY, cpuPct: 99 }, skewMs: 0 }, DEFAULT_HEALTH_THRESHOLDS, at),
    null,
  );
  assert.ok(state);
  assert.deepEqual(statusOfState(state), { status: 'online', reasons: ['busy: cpu 99% (limit 95%)'] });
});

test('a restless figure counts after three heartbeats in a row, and stops counting after three clear ones', () => {
  assert.deepEqual(memory(99, 99, 99, 10, 10, 10), ['online', 'online', 'limited', 'limited', 'limited', 'online']);
  assert.deepEqual(changesOf(memory(99, 99, 10, 99, 99, 10, 99)), ['online']);
});

test('a disk that is read-only by design may be full; one that has become so is an error', () => {
  const disks = (access: 'rw' | 'ro' | 'ro-fault') => [{ ...disk('/data', 100), inodesUsedPct: 100, access }];
  assert.deepEqual(changesOf(statusesOf([{ disks: disks('ro') }])), ['online']);
  assert.deepEqual(changesOf(statusesOf([{ disks: disks('rw') }])), ['limited']);
  assert.deepEqual(changesOf(statusesOf([{ disks: [{ ...disk('/data', 5), access: 'ro-fault' }] }])), ['error']);
});

test('a figure between clear and limit changes nothing', () => {
  assert.deepEqual(changesOf(memory(99, 99, 99, 86, 86, 86, 86, 86)), ['online', 'limited']);
  assert.deepEqual(changesOf(memory(86, 86, 86, 86)), ['online']);
});

test('a full disk counts at once: it does not fill by accident', () => {
  assert.deepEqual(full(89, 90, 89.5, 89.5, 89.5), ['online', 'limited', 'limited', 'limited', 'limited']);
  assert.equal(full(90, 88, 88, 88).at(-1), 'online');
});

test('a disk that was unmounted is clear', () => {
  assert.deepEqual(statusesOf([{ disks: [disk('/', 99)] }, { disks: [] }, { disks: null }, {}]).at(-1), 'online');
});

test('a fault that comes and goes is one error', () => {
  const beats = [{ faults: ['spool'] }, {}, { faults: ['spool'] }, {}, { faults: ['spool'] }, {}, {}, {}];
  assert.deepEqual(changesOf(statusesOf(beats)), ['error', 'online']);
});

test('after a silence that means offline, old conditions do not count', () => {
  assert.deepEqual(statusesOf([{ disks: [disk('/', 99)] }, {}], 90_000), ['limited', 'online']);
});

test('a clock that is set back does not hold a condition for longer than it settles', () => {
  const judge = (state: HealthState | null, memUsedBytes: number, at: number) =>
    judgeHeartbeat(
      state,
      { beat: { ...HEALTHY, memTotalBytes: 100, memUsedBytes }, skewMs: 0 },
      DEFAULT_HEALTH_THRESHOLDS,
      at,
    );
  let state = judge(null, 99, 1e9);
  for (const at of [0, 30_000, 60_000]) state = judge(state, 99, at);
  assert.equal(statusOfState(state).status, 'limited');
  state = judge(state, 10, -1e6);
  for (const at of [30_000, 60_000]) state = judge(state, 10, -1e6 + at);
  assert.equal(statusOfState(state).status, 'online');
});

test('the reason names the figure and, below its limit, where it will be clear', () => {
  const state = judgeHeartbeat(
    judgeHeartbeat(null, { beat: { ...HEALTHY, disks: [disk('/', 93)] }, skewMs: 0 }, DEFAULT_HEALTH_THRESHOLDS, 0),
    { beat: { ...HEALTHY, disks: [disk('/', 89.4)] }, skewMs: 0 },
    DEFAULT_HEALTH_THRESHOLDS,
    STEP_MS,
  );
  assert.deepEqual(statusOfState(state).reasons, ['disk / 89.4% (limit 90%, clear below 89%)']);
});

const percents = fc.array(fc.double({ min: 0, max: 100, noNaN: true }), { minLength: 1, maxLength: 60 });

test('noise around a limit that stays within the clearance changes the status once at most', () => {
  const noise = (clearance: number) =>
    fc.array(fc.double({ min: -clearance, max: clearance / 2, noNaN: true }), { maxLength: 80 });
  fc.assert(
    fc.property(noise(LIMITS.cpuPct.clearance), noise(LIMITS.diskUsedPct.clearance), (cpuNoise, diskNoise) => {
      assert.ok(changesOf(cpu(...cpuNoise.map((value) => 95 + value))).length <= 2);
      assert.ok(changesOf(full(...diskNoise.map((value) => 90 + value))).length <= 2);
    }),
  );
});

test('whatever the noise, a limited spell lasts as long as it settles, and so does what leads to the next', () => {
  fc.assert(
    fc.property(percents, (values) => {
      const statuses = cpu(...values);
      let length = 0;
      statuses.forEach((status, index) => {
        length += 1;
        if (index + 1 < statuses.length && statuses[index + 1] === status) return;
        if (index + 1 < statuses.length) assert.ok(length >= 2, `${status} for ${length} heartbeats`);
        length = 0;
      });
    }),
  );
});

test('monotone: a history that is worse at every point never has a better status', () => {
  const pair = fc.tuple(percents, fc.array(fc.double({ min: 0, max: 100, noNaN: true }), { maxLength: 60 }));
  fc.assert(
    fc.property(pair, ([values, more]) => {
      const worse = values.map((value, index) => Math.min(100, value + (more[index] ?? 0)));
      const better = cpu(...values);
      cpu(...worse).forEach((status, index) => {
        assert.ok(NODE_STATUSES.indexOf(status) >= NODE_STATUSES.indexOf(better[index] ?? 'online'));
      });
    }),
    { numRuns: 300 },
  );
});
