import assert from 'node:assert/strict';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import Database from 'better-sqlite3';
import { MIGRATIONS } from '../../../src/gateway/migrations.ts';
import { Store } from '../../../src/gateway/store.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';

const STEP = MIGRATIONS.findIndex((sql) => sql.includes('CREATE TABLE new_jobs'));

/** A database as it was before jobs and runs were made anew. */
function oldDatabase(t: TestContext): { file: string; database: Database.Database } {
  const file = path.join(tempFolder(t), 'fleet.db');
  const database = new Database(file);
  for (const sql of MIGRATIONS.slice(0, STEP)) database.exec(sql);
  database.pragma(`user_version = ${STEP}`);
  return { file, database };
}

test('jobs, runs and logs of an older database are all there, each run at its job', (t) => {
  const { file, database } = oldDatabase(t);
  database.exec(`
    INSERT INTO jobs (seq, id, kind, command, options, target, created_at, created_by, idempotency_key) VALUES
      (3, 'aaaaaaaaaaaa', 'shell', 'one', '{}', 't', 10, 'x', 'key'), (7, '000000000000', 'shell', 'two', '{"lane":"l"}', 't', 20, 'x', NULL);
    INSERT INTO runs (seq, id, job_id, idx, node_id, node_name, state, queued_at, exit_code, ended_at, log_bytes, journal) VALUES
      (5, '000000000000.0', '000000000000', 0, 'n', 'node', 'running', 21, NULL, NULL, 0, 'j'),
      (6, '000000000000.1', '000000000000', 1, 'm', 'other', 'exited', 21, 3, 30, 5, NULL),
      (9, 'aaaaaaaaaaaa.0', 'aaaaaaaaaaaa', 0, 'n', 'node', 'unknown', 11, NULL, NULL, 0, NULL);
    INSERT INTO run_log (run_seq, offset, bytes) VALUES (6, 0, x'0102030405');`);
  database.close();
  const store = new Store(file);
  cleanUp(t, () => store.close());
  assert.deepEqual(
    store.jobs.list({ since: 0, limit: 9 }).map(({ seq, id, command }) => [seq, id, command]),
    [
      [7, '000000000000', 'two'],
      [3, 'aaaaaaaaaaaa', 'one'],
    ],
  );
  assert.equal(store.jobs.byIdempotencyKey('x', 'key')?.id, 'aaaaaaaaaaaa');
  const [running, exited] = store.runs.ofJob('000000000000');
  assert.deepEqual(
    [running?.id, running?.state, running?.journal, running?.jobSeq],
    ['000000000000.0', 'running', 'j', 7],
  );
  assert.deepEqual([exited?.seq, exited?.nodeName, exited?.exitCode, exited?.endedAt], [6, 'other', 3, 30]);
  assert.deepEqual(store.runs.readLog(6, 0), Buffer.from([1, 2, 3, 4, 5]));
  assert.deepEqual(
    store.runs.open().map(({ id }) => id),
    ['000000000000.0'],
  );
  // An end without a time was possible once.
  assert.equal(store.runs.byId('aaaaaaaaaaaa.0')?.endedAt, 11);
});

test('a step that would leave a row without what it refers to is not done, and says which', (t) => {
  const { file, database } = oldDatabase(t);
  database.pragma('foreign_keys = OFF');
  database.exec("INSERT INTO run_log (run_seq, offset, bytes) VALUES (99, 0, x'00')");
  database.close();
  assert.throws(() => new Store(file), {
    code: 'storage_corrupt',
    message: /row 1 of run_log refers to a missing row of runs/,
  });
  const after = new Database(file);
  cleanUp(t, () => after.close());
  assert.equal(after.pragma('user_version', { simple: true }), STEP);
});

test('only the id of a run finds it', (t) => {
  const store = new Store(path.join(tempFolder(t), 'fleet.db'));
  cleanUp(t, () => store.close());
  const common = { kind: 'shell', command: 'c', options: {}, target: 't', createdBy: 'x', createdAt: 1 } as const;
  const job = store.jobs.insert({ ...common, id: 'abc', idempotencyKey: null });
  const place = { jobSeq: job.seq, jobId: job.id, nodeId: 'n', nodeName: 'n', queuedAt: 1, expiresAt: null };
  for (const index of [0, 1]) store.runs.insert({ ...place, index });
  assert.equal(store.runs.byId('abc.1')?.index, 1);
  for (const id of [
    'abc',
    'abc.',
    'abc.01',
    'abc.+1',
    'abc.1.0',
    'abc.2',
    'ab.1',
    '.1',
    'abc.1e0',
    `abc.${'9'.repeat(40)}`,
  ]) {
    assert.equal(store.runs.byId(id), undefined, id);
  }
});
