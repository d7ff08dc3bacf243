import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { MIGRATIONS } from '../../../../src/gateway/migrations.ts';
import { DiskHistory } from '../../../../src/gateway/monitoring/history/disk-history.ts';
import { DAY_MS, HOUR_MS } from '../../../../src/gateway/monitoring/history/resolutions.ts';
import { openDatabase } from '../../../../src/gateway/store/database.ts';
import { cleanUp, tempFolder } from '../../../support/temp-folder.ts';
import { openStore } from './history-store.ts';

const FIRST_HOUR = Date.UTC(2026, 0, 1) / HOUR_MS;

const anyReadings = fc.array(
  fc.record({
    node: fc.constantFrom('a', 'b', 'c'),
    hour: fc.nat({ max: 24 * 6 }),
    mount: fc.constantFrom('/', '/home'),
    usedPct: fc.double({ min: 0, max: 100, noNaN: true }),
  }),
  { maxLength: 60 },
);

test('the sums of days are those of hours, whatever comes late or twice', (t) => {
  const database = openDatabase(path.join(tempFolder(t), 'x.db'), MIGRATIONS);
  cleanUp(t, () => database.close());
  // The nodes themselves do not matter here.
  database.pragma('foreign_keys = OFF');
  const disks = new DiskHistory(database);
  fc.assert(
    fc.property(anyReadings, fc.nat({ max: 24 * 6 }), (readings, ahead) => {
      database.exec('BEGIN; DELETE FROM history_disks; DELETE FROM history_disk_days');
      const stored = new Map<string, (typeof readings)[number]>();
      for (const { node, hour, mount, usedPct } of readings) {
        disks.insert(node, (FIRST_HOUR + hour) * HOUR_MS, [{ mount, usedPct }]);
        stored.set(`${node} ${mount} ${hour}`, { node, hour, mount, usedPct });
      }
      const trends = disks.trendsOf(['a', 'b'], (FIRST_HOUR + ahead) * HOUR_MS);
      database.exec('COMMIT');
      for (const node of ['a', 'b', 'c']) {
        for (const mount of ['/', '/home']) {
          const points = [...stored.values()]
            .filter((point) => point.node === node && point.mount === mount)
            // From the first whole day on.
            .filter(({ hour }) => hour >= Math.ceil(ahead / 24) * 24)
            .map(({ hour, usedPct }) => ({ x: hour - ahead, y: usedPct }));
          const found = trends.get(node)?.find((trend) => trend.mount === mount);
          assert.equal(found?.readings ?? 0, node === 'c' ? 0 : points.length);
          if (found === undefined) continue;
          const sum = (of: (point: { x: number; y: number }) => number) =>
            points.reduce((total, point) => total + of(point), 0);
          const expected = {
            firstHour: FIRST_HOUR + ahead + Math.min(...points.map(({ x }) => x)),
            lastHour: FIRST_HOUR + ahead + Math.max(...points.map(({ x }) => x)),
            sumHours: sum(({ x }) => x),
            sumSquaredHours: sum(({ x }) => x * x),
            sumPct: sum(({ y }) => y),
            sumSquaredPct: sum(({ y }) => y * y),
            sumProducts: sum(({ x, y }) => x * y),
          };
          for (const [key, value] of Object.entries(expected) as [keyof typeof expected, number][]) {
            const difference = Math.abs(found[key] - value);
            assert.ok(difference <= 1e-9 * Math.max(1, Math.abs(value)), `${key} ${found[key]} ${value}`);
          }
        }
      }
    }),
    { numRuns: 40 },
  );
});

test('a disk that fills has a forecast, and old readings go', async (t) => {
  const { store } = openStore(t);
  const from = Date.UTC(2026, 0, 1);
  const now = from + 10 * DAY_MS + 7 * HOUR_MS;
  const { disks } = store.history;
  await store.write(() => {
    for (let at = from; at < now; at += HOUR_MS) {
      disks.insert('a', at, [{ mount: '/', usedPct: 60 + (2 * (at - from)) / DAY_MS }]);
    }
  });
  const forecasts = disks.forecastsOf(['a', 'b', 'nobody'], now);
  assert.deepEqual([...forecasts.keys()], ['a']);
  const [forecast] = forecasts.get('a') ?? [];
  assert.equal(forecast?.mount, '/');
  assert.ok(Math.abs((forecast?.risePctPerDay ?? 0) - 2) < 1e-6);
  assert.ok(Math.abs((forecast?.fullAt ?? 0) - (from + 20 * DAY_MS)) < HOUR_MS);
  disks.prune('a', now - 5 * DAY_MS);
  assert.equal(disks.trendsOf(['a'], from).get('a')?.[0]?.readings, 5 * 24 + 7);
});
