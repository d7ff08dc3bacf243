import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openProcessTable } from '../../../src/node/process/process-table.ts';
import { runTool } from '../../../src/node/process/run-tool.ts';
import { ActiveRuns } from '../../../src/node/runner/active-runs.ts';
import { AgentPlanner } from '../../../src/node/runner/agents.ts';
import { FifoPool } from '../../../src/node/runner/fifo-pool.ts';
import { Journal } from '../../../src/node/runner/journal.ts';
import { createShellPlanner } from '../../../src/node/runner/plan.ts';
import type { ShimLink } from '../../../src/node/runner/shim-link.ts';
import { systemClock } from '../../../src/shared/clock.ts';
import { silentLogger as logger } from '../../../src/shared/logger.ts';
import { cleanUp, DEADLINE_MS, temporaryFolder, until } from './support/harness.ts';

/** A link to a shim that has no commands, and what becomes of it. */
function fakeLink() {
  const lost = Promise.withResolvers<void>();
  const fake = { pid: 1, shim: 's', unclaimed: [], lost: lost.promise, isClosed: false };
  const close = async (): Promise<void> => {
    fake.isClosed = true;
  };
  return { link: Object.assign(fake, { close }) as unknown as ShimLink & { isClosed: boolean }, lose: lost.resolve };
}

test('a shim that is gone as soon as it is found is replaced, too, and the close waits for that', {
  timeout: DEADLINE_MS,
}, async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'pipes'));
  const journal = new Journal(join(folder, 'runs.db'));
  journal.open();
  cleanUp(t, () => journal.close());
  const [first, second, third] = [fakeLink(), fakeLink(), fakeLink()];
  const found = Promise.withResolvers<void>();
  let opened = 0;
  const runs = new ActiveRuns({
    journal,
    fifos: new FifoPool({ folder: join(folder, 'pipes'), runTool, logger }),
    processes: openProcessTable(),
    planners: { shell: createShellPlanner('/bin/sh'), agent: new AgentPlanner({}, '') },
    clock: systemClock,
    logger,
    now: () => Date.now(),
    killGraceMs: 1,
    maxOutputBytes: 1,
    plan: () => assert.fail('there are no runs'),
    logPath: (run) => join(folder, run),
    onEnded: () => {},
    openShim: async () => {
      opened += 1;
      if (opened === 3) await found.promise;
      return ([first, second, third][opened - 1] ?? fakeLink()).link;
    },
  });
  await runs.open();
  second.lose();
  first.lose();
  await until(() => opened === 3, 'the search for the third');
  // What is still on its way of the second one's end shall have happened.
  for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(runs.shimIsGone, true);
  assert.throws(() => runs.requireContext(), { code: 'busy' });
  const closed = runs.close();
  found.resolve();
  await closed;
  assert.equal(third.link.isClosed, true);
});
