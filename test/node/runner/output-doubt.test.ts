import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { RunSpec } from '../../../src/protocol/run-spec.ts';
import { DEADLINE_MS, makeSpec, readWhole, startRunner, temporaryFolder, until } from './support/harness.ts';
import { killWithShim, startHost } from './support/host-process.ts';

const timeout = { timeout: DEADLINE_MS + 10_000 };

/** What is in the log so far. */
const readLog = (spool: string, { run }: RunSpec): Promise<string> =>
  readFile(join(spool, 'logs', `${run}.log`), 'latin1').catch(() => '');

test('the shim is killed while it takes output: the end says that some may be missing', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const spool = join(folder, 'spool');
  const spec = makeSpec(`while [ ! -e ${folder}/go ]; do seq 100000 109999; done; echo end`);
  const host = await startHost(t, spool, [spec]);
  await until(async () => (await readLog(spool, spec)).length > 1_000_000, 'output');
  await killWithShim(host);
  const runner = await startRunner(t, { folder: spool });
  await writeFile(`${folder}/go`, '');
  const { outcome, stdout } = await readWhole(runner, spec.run);
  assert.equal(outcome.state, 'unknown');
  assert.match(outcome.reason ?? '', /^node_restarted: .*; output_gap: /);
  assert.match(stdout.toString(), /end\n$/);
});

test('an exit code that was seen before the kill stays, and the doubt about the output is told', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const spool = join(folder, 'spool');
  const spec = makeSpec(`{ while [ ! -e ${folder}/go ]; do sleep 0.02; done; echo late; } & echo early; exit 3`);
  const host = await startHost(t, spool, [spec]);
  await until(async () => (await readLog(spool, spec)).includes('early'), 'its output');
  // While the journal is in use nobody else may open it.
  const journal = (): Promise<string> => readFile(join(spool, 'runs.db-wal'), 'latin1');
  await until(async () => (await journal()).includes('{"exitCode":3,'), 'the note of the exit');
  await killWithShim(host);
  const runner = await startRunner(t, { folder: spool });
  await writeFile(`${folder}/go`, '');
  const { outcome, stdout } = await readWhole(runner, spec.run);
  assert.deepEqual([outcome.state, outcome.exitCode], ['exited', 3]);
  assert.match(outcome.reason ?? '', /^output_gap: /);
  assert.equal(stdout.toString(), 'early\nlate\n');
});

test('after an orderly restart there is no doubt about the output', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const spool = join(folder, 'spool');
  const first = await startRunner(t, { folder: spool });
  const spec = makeSpec(`echo before; while [ ! -e ${folder}/go ]; do sleep 0.02; done; echo after`);
  first.accept(spec);
  await until(async () => (await readLog(spool, spec)).includes('before'), 'output');
  await first.close();
  const runner = await startRunner(t, { folder: spool });
  await writeFile(`${folder}/go`, '');
  const { outcome, stdout } = await readWhole(runner, spec.run);
  assert.equal(outcome.state, 'exited');
  assert.doesNotMatch(outcome.reason ?? '', /output_gap/);
  assert.equal(stdout.toString(), 'before\nafter\n');
});
