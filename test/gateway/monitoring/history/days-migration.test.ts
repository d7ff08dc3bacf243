import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { MIGRATIONS } from '../../../../src/gateway/migrations.ts';
import { HISTORY_DAYS } from '../../../../src/gateway/monitoring/history/migrations.ts';
import { DAY_MS, HOUR_MS } from '../../../../src/gateway/monitoring/history/resolutions.ts';
import { Store } from '../../../../src/gateway/store.ts';
import { cleanUp, tempFolder } from '../../../support/temp-folder.ts';
import { figures, openStore, readBothWays, rollUp } from './history-store.ts';

const T0 = Date.UTC(2026, 0, 1);
const NOW = T0 + 3 * DAY_MS + 14 * HOUR_MS + 20 * 60_000;
/** More than one step makes. */
const NODES = Array.from({ length: 30 }, (_, index) => `n${index}`);

test('a database without days gets them step by step, and reports stay the same throughout', async (t) => {
  const { store: filled, file } = openStore(t, NODES);
  await filled.write(() => {
    for (let at = T0; at < NOW; at += HOUR_MS / 2) {
      for (const [index, id] of NODES.entries()) {
        filled.history.insert(id, at, figures(20 + index + ((at / 1_000) % 17)));
        filled.history.disks.insert(id, at, [
          { mount: '/', usedPct: 50 + (at - T0) / DAY_MS },
          { mount: '/home', usedPct: 10 + index },
        ]);
      }
    }
    rollUp(filled, NOW);
  });
  const period = { from: NOW - 2.5 * DAY_MS, to: NOW, parts: 24 };
  const disksFrom = NOW - 3 * DAY_MS;
  const made = await readBothWays(filled.history, period);
  const trends = [...filled.history.disks.trendsOf(NODES, disksFrom)];
  filled.close();

  // As the fleet before left it, whatever migrations came after.
  const old = path.join(tempFolder(t), 'old.db');
  const version = MIGRATIONS.indexOf(HISTORY_DAYS);
  const database = new Database(old);
  for (const sql of MIGRATIONS.slice(0, version)) database.exec(sql);
  database.pragma(`user_version = ${version}`);
  database.exec(`
    ATTACH '${file}' AS made;
    INSERT INTO nodes (id, name, public_key, created_at) SELECT id, name, public_key, created_at FROM made.nodes;
    INSERT INTO history_nodes SELECT * FROM made.history_nodes;
    INSERT INTO history_raw SELECT * FROM made.history_raw;
    INSERT INTO history_5m SELECT * FROM made.history_5m;
    INSERT INTO history_1h SELECT * FROM made.history_1h;
    INSERT INTO history_disks SELECT * FROM made.history_disks;
    REPLACE INTO history_cursors SELECT * FROM made.history_cursors WHERE resolution <> '1d'`);
  database.close();

  const store = new Store(old);
  cleanUp(t, () => store.close());
  const check = async () => {
    assert.deepEqual((await readBothWays(store.history, period)).usual, made.usual);
    const found = [...store.history.disks.trendsOf(NODES, disksFrom)];
    assert.deepEqual(
      found.map(([id, list]) => [id, list.map(rounded)]),
      trends.map(([id, list]) => [id, list.map(rounded)]),
    );
  };
  await check();
  assert.equal(store.history.prune('1h', NOW, 1_000), 0, 'no hour goes before its day is made');
  // Heartbeats go on coming meanwhile, and one of an hour whose day is not made yet.
  store.history.insert('n3', T0 + DAY_MS + 1, figures(40));
  let steps = 0;
  while (await store.write(() => store.history.rollUp.step(NOW))) {
    steps += 1;
    const { usual, plain } = await readBothWays(store.history, period);
    assert.deepEqual(usual, plain);
  }
  assert.ok(steps >= 2 * 3, `${steps} steps`);
  assert.equal(store.history.rows('1d', { bucket: -1, node: -1, at: 0 }, 1e9, 1_000).length, 3 * NODES.length);
});

/** Sums in another order differ in their last digits. */
function rounded(trend: object) {
  return Object.entries(trend).map(([key, value]: [string, unknown]) => [
    key,
    typeof value === 'number' ? value.toPrecision(10) : value,
  ]);
}
