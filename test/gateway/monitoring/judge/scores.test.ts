import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DEFAULT_HEALTH_THRESHOLDS } from '../../../../src/gateway/monitoring/judge/limits.ts';
import {
  type LinkState,
  linkAfterHeartbeat,
  linkAfterReconnect,
  linkScore,
  lostPct,
  machineScore,
  NEW_LINK,
  reconnectsPerHour,
} from '../../../../src/gateway/monitoring/judge/scores.ts';
import { disk, HEALTHY } from './healthy-heartbeat.ts';

const LIMITS = DEFAULT_HEALTH_THRESHOLDS;
const HOUR_MS = 3_600_000;

function linkOf(rtts: readonly (number | null)[], lostKeepalives = 0): LinkState {
  let link: LinkState = NEW_LINK;
  rtts.forEach((rttMs, index) => {
    link = linkAfterHeartbeat(link, { rttMs, tunnel: { lostKeepalives } }, index * 30_000);
  });
  return link;
}

test('a steady short round trip scores 100, no session 0, and an unknown one null', () => {
  assert.equal(linkScore(linkOf([20, 22, 20, 21]), true, 120_000), 100);
  assert.equal(linkScore(linkOf([20]), false, 120_000), 0);
  assert.equal(linkScore(NEW_LINK, true, 0), null);
  assert.equal(linkScore(linkOf([null, null]), true, 0), null);
});

test('latency, jitter, loss and reconnects each cost what the table says', () => {
  assert.equal(linkScore(linkOf([1_000, 1_000]), true, 0), 70);
  assert.equal(linkScore({ ...linkOf([20, 20]), jitterMs: 155 }, true, 0), 90);
  assert.equal(linkScore({ ...linkOf([20, 20]), kept: 90, lost: 10 }, true, 0), 80);
  let link = linkOf([20, 20]);
  for (let count = 0; count < 5; count += 1) link = linkAfterReconnect(link, 60_000 + count);
  assert.equal(linkScore(link, true, 100_000), 75);
  assert.equal(linkScore(link, true, 100_000 + HOUR_MS), 100, 'an hour later they do not count');
});

test('a link that is bad in every way is worth 0', () => {
  let link = linkOf([5_000, 10, 5_000, 10, 5_000], 3);
  for (let count = 0; count < 20; count += 1) link = linkAfterReconnect(link, 60_000);
  assert.equal(linkScore(link, true, 60_000), 0);
});

test('jitter is the difference between consecutive round trips', () => {
  assert.equal(linkOf([50]).jitterMs, null);
  assert.equal(linkOf([50, 50, 50]).jitterMs, 0);
  assert.equal(linkOf([50, 60]).jitterMs, 10);
  assert.equal(linkOf([50, 60, 60]).jitterMs, 7.5);
});

test('lost keepalives fade, and the reconnects that are remembered are bounded', () => {
  const link = linkOf([20, 20], 1);
  assert.equal(Math.round(lostPct(link) ?? 0), 50);
  let later = link;
  for (let index = 1; index <= 240; index += 1) {
    later = linkAfterHeartbeat(later, { rttMs: 20, tunnel: { lostKeepalives: 0 } }, 30_000 + index * 30_000);
  }
  assert.ok((lostPct(later) ?? 100) < 1);
  for (let count = 0; count < 3_000; count += 1) later = linkAfterReconnect(later, 30_000);
  assert.equal(reconnectsPerHour(later, 30_000), 1_000);
});

test('a machine with nothing near a limit is worth 100; each limit costs its points', () => {
  assert.equal(machineScore({ beat: HEALTHY, skewMs: 0 }, LIMITS), 100);
  assert.equal(machineScore({ beat: { ...HEALTHY, cpuPct: 95 }, skewMs: 0 }, LIMITS), 75);
  assert.equal(
    machineScore({ beat: { ...HEALTHY, disks: [disk('/', 40), disk('/data', 95)] }, skewMs: 0 }, LIMITS),
    65,
  );
  assert.equal(machineScore({ beat: { ...HEALTHY, battery: { percent: 5, charging: false } }, skewMs: 0 }, LIMITS), 85);
  assert.equal(machineScore({ beat: { ...HEALTHY, battery: { percent: 5, charging: true } }, skewMs: 0 }, LIMITS), 100);
  assert.equal(machineScore({ beat: { ...HEALTHY, faults: ['spool'], accepting: false }, skewMs: -70_000 }, LIMITS), 0);
});

const figure = fc.option(fc.double({ min: 0, max: 1e5, noNaN: true }));

test('scores are whole numbers from 0 to 100, and a worse figure never has a better one', () => {
  const link = fc.record({
    meanRttMs: figure,
    jitterMs: figure,
    kept: fc.nat(),
    lost: fc.nat(),
    more: fc.double({ min: 0, max: 1e5, noNaN: true }),
  });
  fc.assert(
    fc.property(link, ({ more, ...figures }) => {
      const state = { ...NEW_LINK, ...figures };
      const before = linkScore(state, true, 0);
      if (before === null) return;
      assert.ok(Number.isInteger(before) && before >= 0 && before <= 100);
      for (const key of ['meanRttMs', 'jitterMs', 'lost'] as const) {
        assert.ok((linkScore({ ...state, [key]: (state[key] ?? 0) + more }, true, 0) ?? 100) <= before, key);
      }
    }),
  );
  fc.assert(
    fc.property(fc.double({ min: 0, max: 100, noNaN: true }), fc.double({ min: 0, max: 100, noNaN: true }), (a, b) => {
      const of = (usedPct: number) =>
        machineScore({ beat: { ...HEALTHY, disks: [disk('/', usedPct)] }, skewMs: null }, LIMITS);
      assert.ok(of(Math.max(a, b)) <= of(Math.min(a, b)));
    }),
  );
});
