import assert from 'node:assert/strict';
import { closeSync, fstatSync, openSync, statSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { WalSync } from '../../../src/gateway/store/wal-sync.ts';
import { Store } from '../../../src/gateway/store.ts';
import { settle, within } from '../../support/deadline.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';

type Callback = (error: NodeJS.ErrnoException | null) => void;

/** A disk whose fsyncs end when the test says so. */
function slowDisk(t: TestContext) {
  const file = path.join(tempFolder(t), 'x.db');
  closeSync(openSync(`${file}-wal`, 'w'));
  const waiting: { descriptor: number; done: Callback }[] = [];
  const fdatasync = ((descriptor: number, done: Callback) => void waiting.push({ descriptor, done })) as never;
  const wal = new WalSync(file, { fdatasync });
  return { file, wal, waiting, finish: (error: Error | null = null) => waiting.shift()?.done(error) };
}

async function isDone(promise: Promise<void>): Promise<boolean> {
  let done = false;
  promise.then(
    () => (done = true),
    () => (done = true),
  );
  await settle();
  return done;
}

test('the first one also brings what a killed process has left; then only what is new', async (t) => {
  const { file, wal, waiting, finish } = slowDisk(t);
  const first = wal.sync();
  assert.equal(waiting.length, 1);
  assert.equal(fstatSync(waiting[0]?.descriptor ?? -1).ino, statSync(`${file}-wal`).ino);
  assert.equal(await isDone(first), false);
  finish();
  await within(first, 'the sync');
  await wal.sync();
  assert.equal(waiting.length, 0);
  wal.committedSoon();
  const second = wal.sync();
  assert.equal(waiting.length, 1);
  finish();
  await within(second, 'the second sync');
  wal.close();
});

test('what is committed while one is under way waits for another, all together', async (t) => {
  const { wal, waiting, finish } = slowDisk(t);
  const first = wal.sync();
  wal.committedSoon();
  const later = [wal.sync(), wal.sync()];
  assert.equal(waiting.length, 1);
  finish();
  await within(first, 'the first');
  await settle();
  assert.equal(waiting.length, 1);
  assert.equal(await isDone(Promise.race(later)), false);
  finish();
  await within(Promise.all(later), 'the others');
  assert.equal(waiting.length, 0);
  wal.close();
});

test('a disk that refuses is told to all who wait, and asked again by the next', async (t) => {
  const { wal, waiting, finish } = slowDisk(t);
  const first = wal.sync();
  const second = wal.sync();
  finish(Object.assign(new Error('broken'), { code: 'EIO' }));
  await assert.rejects(first, { code: 'storage_failed' });
  await settle();
  finish(Object.assign(new Error('broken'), { code: 'EIO' }));
  await assert.rejects(second, { code: 'storage_failed' });
  const third = wal.sync();
  assert.equal(waiting.length, 1);
  finish();
  await within(third, 'the third');
  wal.close();
});

test('closed while one is under way, the file is let go of when it has ended', async (t) => {
  const { wal, waiting, finish } = slowDisk(t);
  const last = wal.sync();
  const descriptor = waiting[0]?.descriptor ?? -1;
  const refused = wal.sync();
  wal.close();
  fstatSync(descriptor);
  finish();
  await within(last, 'the last');
  await within(refused, 'the one after it');
  await assert.rejects(wal.sync(), { code: 'storage_failed' });
  await settle();
  assert.throws(() => fstatSync(descriptor), { code: 'EBADF' });
});

test('of a real store', async (t) => {
  const store = new Store(path.join(tempFolder(t), 'fleet.db'));
  cleanUp(t, () => store.close());
  await store.sync();
  await store.writeSoon(() => store.nodes.setSeen('nobody', 1));
  await within(Promise.all([store.sync(), store.sync()]), 'the syncs');
});
