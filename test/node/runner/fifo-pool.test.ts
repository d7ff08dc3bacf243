import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { test } from 'node:test';
import { runTool } from '../../../src/node/process/run-tool.ts';
import { FifoPool } from '../../../src/node/runner/fifo-pool.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { DEADLINE_MS, temporaryFolder } from './support/harness.ts';

test('pipes that are being made ahead when the pool starts anew are there when they are taken', {
  timeout: DEADLINE_MS,
}, async (t) => {
  const made = Promise.withResolvers<void>();
  const told = Promise.withResolvers<void>();
  let calls = 0;
  const folder = await temporaryFolder(t);
  const pool = new FifoPool({
    folder,
    logger: silentLogger,
    runTool: async (file, args) => {
      calls += 1;
      const isAhead = calls === 2;
      const result = await runTool(file, args);
      if (isAhead) {
        made.resolve();
        await told.promise;
      }
      return result;
    },
  });
  await pool.start(new Set());
  while (calls < 2) assert.ok(pool.takeNow(false));
  await made.promise;
  // As when the shim is killed at this moment.
  const restarted = pool.start(new Set());
  setImmediate(told.resolve);
  await restarted;
  const taken: string[] = [];
  for (let pipes = pool.takeNow(false); pipes !== undefined; pipes = pool.takeNow(false)) {
    taken.push(pipes.stdout, pipes.stderr);
  }
  for (const name of taken) assert.ok(statSync(pool.path(name)).isFIFO(), name);
  await pool.close();
  assert.deepEqual((await readdir(folder)).sort(), taken.sort(), 'none of those that were just being made ahead');
});

test('a helper that could not be started is not blamed on the folder', { timeout: DEADLINE_MS }, async (t) => {
  const folder = await temporaryFolder(t);
  const cause = Object.assign(new Error('spawn mkfifo EMFILE'), { code: 'EMFILE' });
  const tools = [
    { result: { exitCode: undefined, stdout: '', stderr: '', cause }, message: /EMFILE/, hint: /ulimit -n/ },
    { result: { exitCode: 1, stdout: '', stderr: 'Operation not permitted' }, message: /not permitted/, hint: /FIFOs/ },
  ];
  for (const { result, message, hint } of tools) {
    const pool = new FifoPool({ folder, logger: silentLogger, runTool: async () => result });
    await assert.rejects(pool.start(new Set()), { code: 'storage_failed', message, hint });
  }
});
