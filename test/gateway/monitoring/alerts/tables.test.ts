import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { MIGRATIONS } from '../../../../src/gateway/migrations.ts';
import { GROUPED_DELIVERIES } from '../../../../src/gateway/monitoring/alerts/tables.ts';
import { Store } from '../../../../src/gateway/store.ts';
import { cleanUp, tempFolder } from '../../../support/temp-folder.ts';

test('messages from before grouping are sent separately, under their own ids', (t) => {
  const file = path.join(tempFolder(t), 'fleet.db');
  const before = MIGRATIONS.indexOf(GROUPED_DELIVERIES);
  assert.ok(before > 0);
  const database = new Database(file);
  for (const migration of MIGRATIONS.slice(0, before)) database.exec(migration);
  database.pragma(`user_version = ${before}`);
  const insert = database.prepare(
    `INSERT INTO alert_deliveries (id, receiver, alert_id, event, message, created_at, attempts, next_at)
     VALUES (?, 'hook', ?, 'firing', '{}', 1, ?, 1)`,
  );
  insert.run('msg_tried', 'a1', 3);
  insert.run('msg_new', 'a2', 0);
  database.close();
  const store = new Store(file);
  cleanUp(t, () => store.close());
  const row = store.deliveries.due({ receiver: 'hook', now: 1, latest: 1, latestFirst: 1 });
  assert.deepEqual([row?.id, row?.batch, row?.attempts], ['msg_tried', 'msg_tried', 3]);
  assert.equal(store.deliveries.batchSize('msg_tried'), 1);
  assert.equal(store.deliveries.byId('msg_new')?.batch, 'msg_new');
});
