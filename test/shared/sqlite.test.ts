import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { FleetError } from '../../src/shared/errors.ts';
import { sqliteFailure } from '../../src/shared/sqlite.ts';
import { cleanUp, tempFolder } from '../support/temp-folder.ts';

function failureOf(action: () => unknown): { code: string; retryable: boolean } {
  try {
    action();
  } catch (error) {
    const { code, retryable } = sqliteFailure(error, 'it failed');
    return { code, retryable };
  }
  return assert.fail('it did not fail');
}

test('what SQLite throws is told apart: what may pass, what contradicts, what is damaged, what is a defect', (t) => {
  const folder = tempFolder(t);
  const file = path.join(folder, 'a.db');
  const open = (options?: Database.Options): Database.Database => {
    const database = new Database(file, { timeout: 0, ...options });
    cleanUp(t, () => void database.close());
    return database;
  };
  const database = open();
  database.exec('CREATE TABLE t (n INTEGER PRIMARY KEY CHECK (n > 0), m TEXT NOT NULL UNIQUE) STRICT');
  database.exec("INSERT INTO t VALUES (1, 'a')");
  const contradicting = [
    "INSERT INTO t VALUES (1, 'b')",
    "INSERT INTO t VALUES (2, 'a')",
    'INSERT INTO t VALUES (2, NULL)',
  ];
  for (const sql of [...contradicting, "INSERT INTO t VALUES (-1, 'b')", "INSERT INTO t VALUES ('x', 'b')"]) {
    assert.deepEqual(
      failureOf(() => database.exec(sql)),
      { code: 'storage_conflict', retryable: false },
      sql,
    );
  }
  assert.deepEqual(failureOf(() => database.exec('SELECT * FROM missing')).code, 'internal');
  assert.deepEqual(
    failureOf(() => open({ readonly: true }).exec("INSERT INTO t VALUES (3, 'c')")),
    {
      code: 'storage_failed',
      retryable: true,
    },
  );
  database.pragma('max_page_count = 3');
  assert.deepEqual(
    failureOf(() => database.prepare('INSERT INTO t VALUES (4, ?)').run('x'.repeat(100_000))),
    {
      code: 'storage_failed',
      retryable: true,
    },
  );
  database.exec('BEGIN EXCLUSIVE');
  assert.deepEqual(
    failureOf(() => open().exec("INSERT INTO t VALUES (5, 'e')")),
    {
      code: 'storage_busy',
      retryable: true,
    },
  );
  database.exec('ROLLBACK');
  const garbage = path.join(folder, 'garbage');
  writeFileSync(garbage, 'no database '.repeat(1000));
  assert.deepEqual(
    failureOf(() => new Database(garbage).exec('SELECT * FROM t')),
    {
      code: 'storage_corrupt',
      retryable: false,
    },
  );
});

test('errors of our own pass unchanged', () => {
  const own = new FleetError('conflict', 'x');
  assert.equal(sqliteFailure(own, 'it failed'), own);
});
