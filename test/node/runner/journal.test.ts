import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { Journal } from '../../../src/node/runner/journal.ts';
import { temporaryFolder } from './support/harness.ts';

test('the journal of an older fleet opens where no byte can be written, and is brought up to date where one can', async (t) => {
  const path = join(await temporaryFolder(t), 'runs.db');
  const journal = new Journal(path);
  journal.open();
  const { id } = journal;
  journal.close();
  const older = new Database(path);
  older.exec("CREATE INDEX run_open ON run (phase) WHERE phase <> 'ended'");
  older.close();
  const script = `
    // Its default is to end the process; with a listener the write itself fails, as on a full disk.
    process.on('SIGXFSZ', () => {});
    const { Journal } = await import(${JSON.stringify(join(import.meta.dirname, '../../../src/node/runner/journal.ts'))});
    const journal = new Journal(${JSON.stringify(path)});
    journal.open();
    console.log(journal.id, journal.unfinished().length);
    try { journal.accept({ run: 'a.0', stdin: false }, 'digest'); }
    catch (error) { console.log(error.code); }
    journal.close();`;
  // A real refusal that needs no rights: the system lets this process write nothing into any file.
  const limited = ['-c', 'ulimit -f 0; exec "$@"', 'sh', process.execPath, '--input-type=module', '-e', script];
  const { stdout, stderr } = spawnSync('/bin/sh', limited, { encoding: 'utf8', timeout: 60_000 });
  assert.deepEqual(stdout.trim().split('\n'), [`${id} 0`, 'storage_failed'], stderr);
  journal.open();
  assert.equal(journal.id, id);
  journal.close();
  const present = new Database(path);
  assert.equal(present.prepare("SELECT count(*) FROM sqlite_schema WHERE name = 'run_open'").pluck().get(), 0);
  present.close();
});
