import assert from 'node:assert/strict';
import { appendFile, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  collect,
  DEADLINE_MS,
  makeSpec,
  readWhole,
  runWhole,
  startRunner,
  temporaryFolder,
  until,
} from './support/harness.ts';
import { edit, exists, killWithShim, startHost } from './support/host-process.ts';

const timeout = { timeout: DEADLINE_MS + 10_000 };

test('accepted and surely not spawned is started; perhaps spawned is unknown', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const spool = join(folder, 'spool');
  const first = await startRunner(t, { folder: spool });
  const specs = [makeSpec(`echo a >> ${folder}/a`), makeSpec(`echo b >> ${folder}/b`)] as const;
  for (const spec of specs) first.accept(spec);
  // Both wait for their plan, so neither is spawned yet, and closing leaves them as they are.
  await first.close();
  edit(
    spool,
    `UPDATE run SET phase = 'starting', place = '{"shim":"another","pipes":{"stdout":"7.fifo","stderr":"8.fifo","stdin":null}}' WHERE run = '${specs[1].run}'`,
  );
  const runner = await startRunner(t, { folder: spool });
  assert.equal((await readWhole(runner, specs[0].run)).outcome.state, 'exited');
  const { outcome } = await readWhole(runner, specs[1].run);
  assert.equal(outcome.state, 'unknown');
  assert.match(outcome.reason ?? '', /^node_restarted: /);
  assert.equal(await readFile(`${folder}/a`, 'utf8'), 'a\n');
  assert.equal(await exists(`${folder}/b`), false);
});

test('an outcome without its end frame, and a torn frame, are put right', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const first = await startRunner(t, { folder });
  const specs = [makeSpec('echo out'), makeSpec('echo out'), makeSpec('echo out')] as const;
  const [whole, torn, untouched] = await Promise.all(specs.map((spec) => runWhole(first, spec)));
  assert.ok(whole && torn && untouched);
  await first.close();
  const path = (index: 0 | 1): string => join(folder, 'logs', `${specs[index].run}.log`);
  await truncate(path(0), whole.log.length - 1);
  const endBytes = Buffer.byteLength(JSON.stringify(torn.outcome)) + 5;
  await truncate(path(1), torn.log.length - endBytes);
  await appendFile(path(1), Buffer.from([1, 0, 0, 1, 0, 65, 66]));
  const runner = await startRunner(t, { folder });
  assert.deepEqual((await readWhole(runner, specs[0].run)).log, whole.log);
  assert.deepEqual((await readWhole(runner, specs[1].run)).log, torn.log);
  assert.deepEqual((await readWhole(runner, specs[2].run)).log, untouched.log);
  assert.equal(runner.status(specs[0].run)?.logBytes, whole.log.length);
});

test('a torn frame of a living run is cut, and what follows is whole', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const spec = makeSpec(`echo before; while [ ! -e ${folder}/go ]; do sleep 0.02; done; echo after`);
  const host = await startHost(t, join(folder, 'spool'), [spec]);
  const log = join(folder, 'spool/logs', `${spec.run}.log`);
  await until(async () => (await readFile(log).catch(() => '')).includes('before'), 'before');
  await killWithShim(host);
  await appendFile(log, Buffer.from([1, 0, 0, 0, 200, 88, 88]));
  const runner = await startRunner(t, { folder: join(folder, 'spool') });
  await writeFile(`${folder}/go`, '');
  const { stdout, outcome } = await readWhole(runner, spec.run);
  assert.equal(stdout.toString(), 'before\nafter\n', outcome.reason ?? '');
});

test('two processes never share a folder', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  await startRunner(t, { folder });
  const { lines } = await startHost(t, folder, []);
  assert.deepEqual(lines, ['{"code":"already_running"}']);
});

test('foreign files in the folder do no harm and stay; a broken journal is not replaced', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const first = await startRunner(t, { folder });
  const spec = makeSpec('echo out');
  await runWhole(first, spec);
  await first.close();
  const foreign = ['notes.txt', 'logs/notes.txt', 'logs/zzz.log', 'pipes/notes.txt', 'pipes/x.fifo'];
  for (const name of foreign) await writeFile(join(folder, name), 'garbage');
  await writeFile(join(folder, 'pipes/99.fifo'), 'a file that only looks like a pipe');
  const second = await startRunner(t, { folder });
  assert.equal((await runWhole(second, makeSpec('echo more'))).stdout.toString(), 'more\n');
  await second.close();
  for (const name of foreign) assert.equal(await readFile(join(folder, name), 'utf8'), 'garbage');
  assert.deepEqual((await readdir(join(folder, 'pipes'))).sort(), ['notes.txt', 'x.fifo']);

  await writeFile(join(folder, 'runs.db'), Buffer.alloc(8192, 'garbage'));
  await assert.rejects(startRunner(t, { folder }), { code: 'storage_corrupt', retryable: false });
  assert.deepEqual(await readFile(join(folder, 'runs.db')), Buffer.alloc(8192, 'garbage'));
});

test(
  'readers of a run that is let go learn it, and go on with the next process from where they were',
  timeout,
  async (t) => {
    const folder = await temporaryFolder(t);
    const first = await startRunner(t, { folder: join(folder, 'spool') });
    const spec = makeSpec(`echo before; while [ ! -e ${folder}/go ]; do sleep 0.02; done; echo after`);
    first.accept(spec);
    const got: Buffer[] = [];
    const reading = (async () => {
      for await (const piece of first.readLog(spec.run, 0, AbortSignal.timeout(DEADLINE_MS))) got.push(piece);
    })();
    const refused = assert.rejects(reading, { code: 'connection_lost' });
    const canceling = assert.rejects(
      until(() => Buffer.concat(got).includes('before'), 'before')
        .then(() => first.close())
        .then(() => first.cancel(spec.run)),
      { code: 'not_running' },
    );
    await Promise.all([refused, canceling]);
    const second = await startRunner(t, { folder: join(folder, 'spool') });
    await writeFile(`${folder}/go`, '');
    const rest = await collect(second.readLog(spec.run, Buffer.concat(got).length, AbortSignal.timeout(DEADLINE_MS)));
    const whole = await readWhole(second, spec.run);
    assert.deepEqual(Buffer.concat([...got, rest]), whole.log);
    assert.equal(whole.stdout.toString(), 'before\nafter\n');
  },
);
