import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { wasOomKilled } from '../../../src/node/shim/resources.ts';
import {
  cleanUp,
  DEADLINE_MS,
  isAlive,
  makeSpec,
  runWhole,
  startRunner,
  temporaryFolder,
  until,
} from '../runner/support/harness.ts';
import { kill, startHost } from '../runner/support/host-process.ts';

const timeout = { timeout: 2 * DEADLINE_MS };
const LIMIT_BYTES = 256 * 1024 * 1024;
const GLUTTON = `${process.execPath} -e 'const all = []; for (;;) all.push(Buffer.alloc(10_000_000, 1))'`;

/** A memory group that this process may make, of either version. */
async function memoryGroup(t: TestContext): Promise<string | undefined> {
  const versions = [
    { parent: '/sys/fs/cgroup/memory', limits: ['memory.limit_in_bytes'] },
    { parent: '/sys/fs/cgroup', limits: ['memory.max', 'memory.swap.max'] },
  ];
  for (const { parent, limits } of versions) {
    const folder = join(parent, `fleet-test-${process.pid}`);
    try {
      await mkdir(folder);
      cleanUp(t, () =>
        until(
          () =>
            rmdir(folder).then(
              () => true,
              () => false,
            ),
          'an end to the use of the group',
        ),
      );
      for (const limit of limits) await writeFile(join(folder, limit), limit.includes('swap') ? '0' : `${LIMIT_BYTES}`);
      return folder;
    } catch {
      // The other version, or none.
    }
  }
  t.diagnostic('this account may make no memory group');
  return undefined;
}

test("the kernel kills commands first; fleet's own score stays unchanged", timeout, async (t) => {
  if (!existsSync('/proc/self/oom_score_adj')) return t.diagnostic('only Linux has scores');
  const own = Number(await readFile('/proc/self/oom_score_adj', 'utf8'));
  const runner = await startRunner(t);
  const users = process.getuid?.() === 0 ? [undefined, 'nobody'] : [undefined];
  for (const user of users) {
    const spec = makeSpec('cat /proc/self/oom_score_adj', user === undefined ? {} : { user });
    assert.equal((await runWhole(runner, spec)).stdout.toString(), `${Math.min(1000, Math.max(0, own) + 500)}\n`);
  }
  assert.equal(Number(await readFile(`/proc/${runner.shimPid}/oom_score_adj`, 'utf8')), own);
});

test('a command that takes all memory is killed alone, and the run says why', timeout, async (t) => {
  const group = await memoryGroup(t);
  if (group === undefined) return;
  const folder = await temporaryFolder(t);
  const specs = [
    makeSpec(`exec ${GLUTTON}`),
    makeSpec(`${GLUTTON}; exit $?`),
    makeSpec('kill -KILL $$'),
    makeSpec('exit 137'),
  ];
  const through = ['sh', '-c', `echo $$ > ${group}/cgroup.procs && exec "$@"`, 'sh'];
  const { host, lines } = await startHost(t, folder, specs, through);
  const { shim } = JSON.parse(lines.find((line) => line.includes('shim')) ?? '{}') as { shim: number };
  const outcomeOf = async (
    run: string,
  ): Promise<{ signal: string | null; exitCode: number | null; reason: string }> => {
    let text = '';
    const log = join(folder, 'logs', `${run}.log`);
    await until(async () => {
      text = (await readFile(log, 'latin1').catch(() => '')).split('\n').at(-1) ?? '';
      return text.includes('"state":');
    }, `the end of ${run}`);
    return JSON.parse(text.slice(text.lastIndexOf('{"state"')));
  };
  const outcomes = await Promise.all(specs.map(({ run }) => outcomeOf(run)));
  for (const { reason } of outcomes.slice(0, 2)) assert.match(reason, /^oom_killed: out of memory/);
  assert.deepEqual([outcomes[0]?.signal, outcomes[1]?.exitCode], ['SIGKILL', 137]);
  assert.equal(host.exitCode, null);
  assert.equal(await isAlive(shim), true);
  await kill(host, 'SIGTERM');
});

test('a kill by another process is not mistaken for one by the kernel', () => {
  const killed = { exitCode: null, signal: 'SIGKILL' };
  assert.equal(wasOomKilled(killed, 3, 4), true);
  assert.equal(wasOomKilled({ exitCode: 137, signal: null }, 3, 4), true);
  assert.equal(wasOomKilled(killed, 4, 4), false);
  assert.equal(wasOomKilled(killed, undefined, undefined), false);
  assert.equal(wasOomKilled({ exitCode: 1, signal: null }, 3, 4), false);
  assert.equal(wasOomKilled({ exitCode: null, signal: 'SIGTERM' }, 3, 4), false);
});
