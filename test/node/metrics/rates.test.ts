import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cpuPctBetween, DifferenceOf, networkRatesBetween } from '../../../src/node/metrics/rates.ts';
import type { InterfaceCounters } from '../../../src/node/metrics/source.ts';

const counters = (entries: Record<string, [number, number]>) =>
  new Map(Object.entries(entries).map(([name, [rxBytes, txBytes]]) => [name, { rxBytes, txBytes }]));

test('cpu is the busy share of what passed', () => {
  assert.equal(cpuPctBetween({ busy: 100, total: 1000 }, { busy: 150, total: 1200 }), 25);
  assert.equal(cpuPctBetween({ busy: 100, total: 1000 }, { busy: 100, total: 1000 }), null);
  assert.equal(cpuPctBetween({ busy: 100, total: 1000 }, { busy: 90, total: 1200 }), null);
  assert.equal(cpuPctBetween({ busy: 100, total: 1000 }, { busy: 310, total: 1200 }), 100);
});

test('cpu is null or within 0 and 100 for any counters', () => {
  const times = fc.record({ busy: fc.nat(), total: fc.nat() });
  fc.assert(
    fc.property(times, times, (before, after) => {
      const percent = cpuPctBetween(before, after);
      assert.ok(percent === null || (percent >= 0 && percent <= 100));
    }),
  );
});

test('network rates are bytes a second over all interfaces', () => {
  const rates = networkRatesBetween(
    counters({ eth0: [1000, 0], wlan0: [0, 500] }),
    counters({ eth0: [3000, 100], wlan0: [0, 900] }),
    2000,
  );
  assert.deepEqual(rates, { rxBytesPerS: 1000, txBytesPerS: 250, errorsPerS: null, dropsPerS: null });
});

test('errors and drops are reported where they are counted', () => {
  const card = { rxBytes: 0, txBytes: 0, errors: 1, drops: 10 };
  const before = new Map<string, InterfaceCounters>([
    ['eth0', card],
    ['odd0', { rxBytes: 0, txBytes: 0 }],
  ]);
  const after = new Map(before).set('eth0', { ...card, errors: 5, drops: 10 });
  const rates = networkRatesBetween(before, after, 2000);
  assert.deepEqual([rates?.errorsPerS, rates?.dropsPerS], [2, 0]);
});

test('an interface that is new or was recreated does not count yet', () => {
  const before = counters({ eth0: [1000, 1000], usb0: [9000, 9000] });
  const after = counters({ eth0: [2000, 1000], usb0: [10, 10], usb1: [7777, 7777] });
  const rates = networkRatesBetween(before, after, 1000);
  assert.deepEqual([rates?.rxBytesPerS, rates?.txBytesPerS], [1000, 0]);
  assert.equal(networkRatesBetween(counters({}), after, 1000), null);
  assert.equal(networkRatesBetween(before, before, 0), null);
});

test('a difference needs two readings, keeps the last rate for a hasty third, and starts over after a failure', () => {
  const difference = new DifferenceOf<number, number>((before, after, elapsedMs) => (after - before) / elapsedMs);
  assert.equal(difference.next(1000, 0), null);
  assert.equal(difference.next(3000, 1000), 2);
  assert.equal(difference.next(9000, 1001), 2);
  assert.equal(difference.next(4000, 2000), 1);
  assert.equal(difference.next(null, 3000), null);
  assert.equal(difference.next(5000, 4000), null);
  assert.equal(difference.next(8000, 5000), 3);
});
