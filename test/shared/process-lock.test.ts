import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { acquireProcessLock } from '../../src/shared/sqlite.ts';
import { within } from '../support/deadline.ts';
import { cleanUp, tempFolder } from '../support/temp-folder.ts';

/** Another process that holds the lock until it is killed. */
async function holder(t: TestContext, file: string): Promise<ChildProcess> {
  const lock = new URL('../../src/shared/sqlite.ts', import.meta.url).href;
  const script = `import { acquireProcessLock } from ${JSON.stringify(lock)};
    acquireProcessLock(process.argv[1], 'the other'); console.log('held'); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  cleanUp(t, () => child.kill('SIGKILL'));
  await within(once(child.stdout ?? child, 'data'), 'the other process');
  return child;
}

test('one process at a time; kill -9 leaves nothing stale behind', async (t) => {
  const file = path.join(tempFolder(t), 'lock');
  const child = await holder(t, file);
  assert.throws(() => acquireProcessLock(file, 'a gateway of this home'), {
    code: 'already_running',
    message: /a gateway of this home is already running/,
  });
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await within(gone, 'the end of the other process');
  acquireProcessLock(file, 'a gateway').release();
});

test('within one process it excludes too, until it is released; release may be repeated', (t) => {
  const file = path.join(tempFolder(t), 'lock');
  const lock = acquireProcessLock(file, 'one');
  assert.throws(() => acquireProcessLock(file, 'two'), { code: 'already_running' });
  lock.release();
  lock.release();
  acquireProcessLock(file, 'two').release();
});

test('what is no lock file, or cannot be made, is told as a storage fault', (t) => {
  const folder = tempFolder(t);
  const garbage = path.join(folder, 'garbage');
  writeFileSync(garbage, 'not a database, but long enough to be looked at as one'.repeat(100));
  assert.throws(() => acquireProcessLock(garbage, 'x'), { code: 'storage_corrupt' });
  assert.throws(() => acquireProcessLock(path.join(folder, 'missing', 'lock'), 'x'), { code: 'storage_failed' });
});
