import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { MIGRATIONS } from '../../../../src/gateway/migrations.ts';
import { DiskHistoryTable } from '../../../../src/gateway/monitoring/history/disk-history-table.ts';
import { forecastDisk } from '../../../../src/gateway/monitoring/history/forecast-disk.ts';
import { DAY_MS, HOUR_MS } from '../../../../src/gateway/monitoring/history/resolutions.ts';
import { openDatabase } from '../../../../src/gateway/store/database.ts';
import { cleanUp, tempFolder } from '../../../support/temp-folder.ts';
import { openStore } from './history-store.ts';

const FIRST_HOUR = Date.UTC(2026, 0, 1) / HOUR_MS;

const anyReadings = fc.array(
  fc.record({
    node: fc.integer({ min: 1, max: 3 }),
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
  const disks = new DiskHistoryTable(database);
  fc.assert(
    fc.property(anyReadings, fc.nat({ max: 24 * 6 }), (readings, ahead) => {
      database.exec('BEGIN; DELETE FROM history_disks; DELETE FROM history_disk_days');
      for (const { node, hour, mount, usedPct } of readings) {
        disks.insert(node, FIRST_HOUR + hour, [{ mount, usedPct }]);
      }
      const zero = FIRST_HOUR + ahead;
      const [days, hours] = [true, false].map((areDaysMade) => disks.trends([1, 2], zero, areDaysMade));
      database.exec('COMMIT');
      assert.equal(days?.length, hours?.length);
      for (const [index, trend] of (hours ?? []).entries()) {
        for (const [key, value] of Object.entries(trend) as [keyof typeof trend, number | string][]) {
          const found = days?.[index]?.[key];
          if (typeof value === 'string' || typeof found !== 'number') assert.equal(found, value);
          else assert.ok(Math.abs(found - value) <= 1e-9 * Math.max(1, Math.abs(value)), `${key} ${found} ${value}`);
        }
      }
    }),
    { numRuns: 40 },
  );
});

test('a disk that fills is told from days as from hours', async (t) => {
  const { store } = openStore(t);
  const from = Date.UTC(2026, 0, 1);
  const now = from + 10 * DAY_MS + 7 * HOUR_MS;
  await store.write(() => {
    for (let at = from; at < now; at += HOUR_MS) {
      store.history.insertDisks('a', at, [{ mount: '/', usedPct: 60 + (2 * (at - from)) / DAY_MS }]);
    }
  });
  const trends = store.history.diskTrendsOf(['a', 'b', 'nobody'], from);
  assert.deepEqual([...trends.keys()], ['a']);
  const [trend] = trends.get('a') ?? [];
  assert.ok(trend !== undefined);
  const forecast = forecastDisk(trend, from, now);
  assert.ok(Math.abs((forecast?.risePctPerDay ?? 0) - 2) < 1e-6);
  assert.ok(Math.abs((forecast?.fullAt ?? 0) - (from + 20 * DAY_MS)) < HOUR_MS);
  store.history.pruneDisks('a', now - 5 * DAY_MS);
  assert.equal(store.history.diskTrends('a', from)[0]?.readings, 5 * 24 + 7);
});
