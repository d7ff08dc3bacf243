import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { watchDatabase } from '../../../src/gateway/store/database-watch.ts';
import { Store } from '../../../src/gateway/store.ts';
import type { GatewayView, HealthView } from '../../../src/protocol/views.ts';
import { TestGateway } from '../../node/tunnel/real-gateway.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';

/** What may have become of the database, by what is done to its file. */
const LOSSES: Record<string, (file: string) => void> = {
  removed: (file) => rmSync(file),
  'removed, its log left behind': (file) => {
    rmSync(file);
    writeFileSync(`${file}-wal`, 'what was not in the file yet', { mode: 0o600 });
  },
  'of 0 bytes': (file) => writeFileSync(file, ''),
  'without a table': (file) => {
    rmSync(file);
    new Database(file).exec('VACUUM').close();
  },
  'without a table, in WAL mode': (file) => {
    rmSync(file);
    const database = new Database(file);
    database.pragma('journal_mode = WAL');
    database.close();
  },
};

for (const [loss, lose] of Object.entries(LOSSES)) {
  test(`a gateway with keys whose database is ${loss} does not start, and changes nothing, unless it is told to`, async (t) => {
    const gateway = await new TestGateway(t).start();
    await gateway.stop();
    lose(gateway.paths.database);
    const before = readdirSync(gateway.paths.folder);
    for (const key of [gateway.paths.hostKey, gateway.paths.signingKey]) {
      // Either key alone says that there was a database.
      renameSync(key, `${key}.away`);
      await assert.rejects(gateway.start(), { code: 'database_missing', retryable: false, hint: /--new-database/ });
      renameSync(`${key}.away`, key);
      assert.deepEqual(readdirSync(gateway.paths.folder), before);
    }
    await gateway.start({ newDatabase: true });
    await gateway.invite();
    await gateway.stop();
    await gateway.start();
  });
}

test('a first start that is cut short at any point is taken up by the next one', async (t) => {
  const gateway = new TestGateway(t);
  await gateway.start().then(() => gateway.stop());
  for (const key of [gateway.paths.hostKey, gateway.paths.signingKey]) rmSync(key);
  writeFileSync(gateway.paths.database, '');
  await gateway.start();
});

test('a database that is there is kept by --new-database', async (t) => {
  const gateway = await new TestGateway(t).start();
  await gateway.invite();
  await gateway.stop();
  await gateway.start({ newDatabase: true });
  assert.equal((await gateway.api<{ invites: unknown[] }>('GET', '/v1/invites')).invites.length, 1);
});

test('a database that vanishes or is replaced under the running gateway is a fault of health and status', async (t) => {
  const gateway = await new TestGateway(t).start();
  const { database } = gateway.paths;
  const faults = async () => {
    const health = await gateway.api<HealthView>('GET', '/v1/health');
    const status = await gateway.api<GatewayView>('GET', '/v1/gateway');
    assert.deepEqual(status.faults, health.faults);
    return { status: health.status, faults: health.faults?.join() ?? '' };
  };
  assert.deepEqual(await faults(), { status: 'unknown', faults: '' });
  for (const file of [database, `${database}-wal`]) {
    renameSync(file, `${file}.away`);
    const gone = await faults();
    assert.equal(gone.status, 'error');
    assert.match(gone.faults, /is gone/);
    writeFileSync(file, '', { mode: 0o600 });
    assert.match((await faults()).faults, /was replaced by another file/);
    rmSync(file);
    renameSync(`${file}.away`, file);
    assert.deepEqual(await faults(), { status: 'unknown', faults: '' });
  }
  const content = readFileSync(database);
  truncateSync(database);
  const emptied = await gateway.api<GatewayView>('GET', '/v1/gateway');
  assert.match((emptied.faults ?? []).join(), /was emptied/);
  writeFileSync(database, content);
  renameSync(gateway.paths.folder, `${gateway.paths.folder}.away`);
  assert.match((await faults()).faults, /is gone/);
  assert.equal(existsSync(gateway.paths.folder), false);
  renameSync(`${gateway.paths.folder}.away`, gateway.paths.folder);
});

test('the log hears of it once, and once that it is well again', async (t) => {
  const file = path.join(tempFolder(t), 'fleet.db');
  const store = new Store(file);
  cleanUp(t, () => store.close());
  const clock = new FakeClock();
  const lines: string[] = [];
  const log = (level: string) => (_: unknown, message: string) => void lines.push(`${level} ${message}`);
  const logger = { error: log('error'), warn: log('warn') } as never;
  const watch = watchDatabase({ file, clock, logger });
  watch.start();
  await clock.advance(60_000);
  assert.deepEqual(lines, []);
  renameSync(file, `${file}.away`);
  await clock.advance(60_000);
  renameSync(`${file}.away`, file);
  await clock.advance(60_000);
  assert.deepEqual(lines, [
    'error the database was taken away from the running gateway',
    'warn the files of the database are back',
  ]);
  await watch.close();
  assert.equal(clock.pendingTimers, 0);
});
