import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { MIGRATIONS } from '../../../src/gateway/migrations.ts';
import { openDatabase } from '../../../src/gateway/store/database.ts';
import { GroupCommit } from '../../../src/gateway/store/group-commit.ts';
import { FleetError } from '../../../src/shared/errors.ts';
import { within } from '../../support/deadline.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';

test('migrations run once, in a file for its owner only, with full durability', (t) => {
  const folder = tempFolder(t);
  const file = path.join(folder, 'fleet.db');
  const first = openDatabase(file, MIGRATIONS);
  assert.equal(first.pragma('user_version', { simple: true }), MIGRATIONS.length);
  assert.equal(first.pragma('journal_mode', { simple: true }), 'wal');
  assert.equal(first.pragma('synchronous', { simple: true }), 2);
  assert.equal(first.pragma('foreign_keys', { simple: true }), 1);
  first.exec(
    "INSERT INTO jobs (id, kind, command, options, target, created_at, created_by) VALUES ('j', 'shell', 'c', '{}', 't', 1, 'x')",
  );
  const names = readdirSync(folder);
  assert.ok(names.includes('fleet.db-wal'));
  for (const name of names) assert.equal(statSync(path.join(folder, name)).mode & 0o777, 0o600, name);
  first.close();
  const second = openDatabase(file, MIGRATIONS);
  assert.deepEqual(second.prepare('SELECT count(*) AS n FROM jobs').get(), { n: 1 });
  second.close();
});

test('a database of a newer fleet, or none at all, is refused and not touched', (t) => {
  const folder = tempFolder(t);
  const newer = path.join(folder, 'newer.db');
  const database = new Database(newer);
  database.pragma(`user_version = ${MIGRATIONS.length + 1}`);
  database.close();
  assert.throws(() => openDatabase(newer, MIGRATIONS), { code: 'config_invalid' });
  const garbage = path.join(folder, 'garbage.db');
  writeFileSync(garbage, 'no database '.repeat(1000));
  assert.throws(() => openDatabase(garbage, MIGRATIONS), {
    code: 'storage_corrupt',
    retryable: false,
    hint: /^The file is damaged: restore/,
  });
  assert.throws(() => openDatabase(path.join(folder, 'missing', 'x.db'), MIGRATIONS), { code: 'storage_failed' });
  assert.throws(() => openDatabase(folder, MIGRATIONS), { code: 'storage_failed' });
});

function table(file: string) {
  const database = openDatabase(file, MIGRATIONS);
  database.exec('CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, filler BLOB) STRICT');
  const insert = database.prepare('INSERT INTO t (n, filler) VALUES (?, ?)');
  return {
    database,
    commits: new GroupCommit(database),
    add: (n: number, bytes = 0) => insert.run(n, Buffer.alloc(bytes)),
    all: () => (database.prepare('SELECT n FROM t ORDER BY rowid').all() as { n: number }[]).map(({ n }) => n),
  };
}

test('a group keeps the order of calls, and one failing write takes no other along', async (t) => {
  const { database, commits, add, all } = table(path.join(tempFolder(t), 'x.db'));
  const order: number[] = [];
  const own = new FleetError('name_taken', 'taken');
  const write = (n: number, work: () => unknown) =>
    commits.write(() => {
      order.push(n);
      return work();
    });
  const results = await Promise.allSettled([
    write(1, () => add(1)),
    write(2, () => {
      add(2);
      throw own;
    }),
    write(3, () => add(1)),
    write(4, () => {
      add(4);
      return 'four';
    }),
  ]);
  assert.deepEqual(order, [1, 2, 3, 4]);
  assert.deepEqual(all(), [1, 4]);
  assert.equal(results[0]?.status, 'fulfilled');
  assert.equal((results[1] as PromiseRejectedResult).reason, own);
  assert.equal((results[2] as PromiseRejectedResult).reason.code, 'storage_conflict');
  assert.equal((results[3] as PromiseFulfilledResult<unknown>).value, 'four');
  database.close();
});

test('nothing is told before the commit: another connection sees what a resolved write has stored', async (t) => {
  const file = path.join(tempFolder(t), 'x.db');
  const { database, commits, add } = table(file);
  const reader = new Database(file, { readonly: true });
  const seen = () => reader.prepare('SELECT count(*) AS n FROM t').get();
  const writes = [1, 2, 3].map((n) =>
    commits.write(() => {
      add(n);
      assert.deepEqual(seen(), { n: 0 });
    }),
  );
  await Promise.race(writes);
  assert.deepEqual(seen(), { n: 3 });
  await Promise.all(writes);
  reader.close();
  database.close();
});

test('a write inside a write goes into the next group', async (t) => {
  const { database, commits, add, all } = table(path.join(tempFolder(t), 'x.db'));
  let inner: Promise<unknown> | undefined;
  await commits.write(() => {
    add(1);
    inner = commits.write(() => add(2));
  });
  await within(inner ?? Promise.reject(new Error('no inner write')), 'inner write');
  assert.deepEqual(all(), [1, 2]);
  database.close();
});

test('a group waits for the disk if any of its writes must, and the connection waits again afterwards', async (t) => {
  let soon = 0;
  const { database, add, all } = table(path.join(tempFolder(t), 'x.db'));
  cleanUp(t, () => database.close());
  const commits = new GroupCommit(database, undefined, () => {
    soon += 1;
  });
  const synchronous = () => database.pragma('synchronous', { simple: true });
  const work = (n: number) => () => {
    add(n);
    return synchronous();
  };
  assert.equal(await commits.writeSoon(work(1)), 1);
  assert.equal(synchronous(), 2);
  assert.deepEqual(await Promise.all([commits.writeSoon(work(2)), commits.write(work(3))]), [2, 2]);
  await assert.rejects(
    commits.writeSoon(() => add(3)),
    { code: 'storage_conflict' },
  );
  assert.equal(synchronous(), 2);
  assert.equal(await commits.write(synchronous), 2);
  assert.equal(soon, 2, 'the first, and the one in which all failed');
  assert.deepEqual(all(), [1, 2, 3]);
});

test('what need not be durable waits for company: a durable write takes it along, in order, and it never waits for long', async (t) => {
  const { database, commits, add, all } = table(path.join(tempFolder(t), 'x.db'));
  cleanUp(t, () => database.close());
  const exec = database.exec.bind(database);
  let transactions = 0;
  database.exec = (sql) => {
    if (sql.startsWith('BEGIN')) transactions += 1;
    return exec(sql);
  };
  const order: number[] = [];
  const write = (n: number) => () => {
    order.push(n);
    add(n);
  };
  await Promise.all([commits.writeSoon(write(1)), commits.writeSoon(write(2)), commits.write(write(3))]);
  assert.deepEqual([order, transactions], [[1, 2, 3], 1]);
  await within(commits.writeSoon(write(4)), 'a write without company');
  assert.deepEqual([all(), transactions], [[1, 2, 3, 4], 2]);
});

test('what need not be durable does not set off a commit in the same tick', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { database, commits, add } = table(path.join(tempFolder(t), 'x.db'));
  cleanUp(t, () => database.close());
  let stored = false;
  const soon = commits
    .writeSoon(() => add(1))
    .then(() => {
      stored = true;
    });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(stored, false);
  t.mock.timers.tick(10);
  await soon;
});

test('what did not wait for the disk outlives a process that is killed', async (t) => {
  const file = path.join(tempFolder(t), 'x.db');
  table(file).database.close();
  const source = path.resolve(import.meta.dirname, '../../../src/gateway/store');
  const script = `
    const { openDatabase } = await import(${JSON.stringify(path.join(source, 'database.ts'))});
    const { GroupCommit } = await import(${JSON.stringify(path.join(source, 'group-commit.ts'))});
    const { MIGRATIONS } = await import(${JSON.stringify(path.join(source, '../migrations.ts'))});
    const database = openDatabase(${JSON.stringify(file)}, MIGRATIONS);
    await new GroupCommit(database).writeSoon(() => database.exec('INSERT INTO t (n) VALUES (9)'));
    process.kill(process.pid, 'SIGKILL');`;
  const killed = spawnSync(process.execPath, ['--input-type=module', '-e', script], { timeout: 60_000 });
  assert.equal(killed.signal, 'SIGKILL', String(killed.stderr));
  const again = table(file);
  assert.deepEqual(again.all(), [9]);
  again.database.close();
});

test('close writes what waits, then refuses', async (t) => {
  const file = path.join(tempFolder(t), 'x.db');
  const { database, commits, add } = table(file);
  const last = commits.write(() => add(7));
  commits.close();
  await last;
  await assert.rejects(commits.write(() => add(8)));
  commits.close();
  database.close();
  const again = table(file);
  assert.deepEqual(again.all(), [7]);
  again.database.close();
});

test('a full disk refuses the whole group, and the next write works once there is room', async (t) => {
  const folder = tempFolder(t);
  let limited: (pages: number) => void = () => {};
  let free = (): void => {};
  const mounted = (() => {
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=700', 'tmpfs', folder], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  })();
  if (mounted) cleanUp(t, () => execFileSync('umount', [folder]));
  const { database, commits, add, all } = table(path.join(folder, 'x.db'));
  cleanUp(t, () => database.close());
  if (mounted) free = () => execFileSync('mount', ['-o', 'remount,size=16m', folder]);
  else {
    // Whoever may not mount lets SQLite count the pages: it fails with the same SQLITE_FULL.
    limited = (pages) => void database.pragma(`max_page_count = ${pages}`);
    limited(300);
    free = () => limited(100_000);
  }
  await commits.write(() => add(1));
  const results = await Promise.allSettled([
    commits.write(() => add(2)),
    commits.write(() => add(3, 4 * 1024 * 1024)),
    commits.write(() => add(4)),
  ]);
  for (const result of results) {
    assert.equal(result.status, 'rejected');
    assert.equal(result.status === 'rejected' && result.reason.code, 'storage_failed');
  }
  assert.deepEqual(all(), [1]);
  free();
  await commits.write(() => add(5, 1024));
  assert.deepEqual(all(), [1, 5]);
});
