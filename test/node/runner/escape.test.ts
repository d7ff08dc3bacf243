/** What leaves the group, the session or the family of a command ends with it all the same, or is named. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { chmod, copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { cgroupOf } from '../../../src/node/process/cgroup.ts';
import {
  cleanUp,
  DEADLINE_MS,
  isAlive,
  makeSpec,
  parseLog,
  temporaryFolder,
  until,
  type WholeRun,
} from './support/harness.ts';
import { kill, startHost } from './support/host-process.ts';

const timeout = { timeout: 2 * DEADLINE_MS };
const isRoot = userInfo().uid === 0;

/** `NOTE` writes its own pid to where the test reads it, and goes on as a sleep. */
const NOTE = `sh -c 'echo $$ >> "$0"; exec sleep 299'`;
const escapes: Record<string, string> = {
  'timeout, a group of its own': 'timeout 300 NOTE FILE',
  'job control': 'set -m; NOTE FILE & wait',
  'script, a terminal of its own': `script -qec 'QUOTED_NOTE FILE' /dev/null`,
  'setsid with a living parent': 'setsid NOTE FILE & sleep 299',
  'setsid -f': 'setsid -f NOTE FILE; sleep 299',
  'a daemon that forked twice': '( ( setsid NOTE FILE & ) & ); sleep 299',
  'a daemon without stdio': 'setsid -f NOTE FILE </dev/null >/dev/null 2>&1; sleep 299',
  'a daemon without environment': 'env -i setsid -f NOTE FILE; sleep 299',
  'a daemon without environment and stdio': 'env -i setsid -f NOTE FILE </dev/null >/dev/null 2>&1; sleep 299',
  'a daemon that ignores SIGTERM': `trap '' TERM; setsid -f NOTE FILE; sleep 299`,
  'a daemon in another folder, without a word on stdout': 'cd /; nohup setsid -f NOTE FILE >/dev/null 2>&1; sleep 299',
};

/** Where the kernel gives runs control groups, both ways are tried. */
const cgroupMount = execFileSync('sh', ['-c', "grep ' - cgroup2 ' /proc/self/mountinfo | cut -d' ' -f5"], {
  encoding: 'utf8',
}).trim();
const withoutCgroups = ['unshare', '--mount', 'sh', '-c', `umount ${cgroupMount} && exec "$@"`, 'sh'];
const ways: Record<string, readonly string[]> = { 'as it is': [] };
if (cgroupMount !== '' && spawnSync('unshare', [...withoutCgroups.slice(1), 'true']).status === 0) {
  ways['without control groups'] = withoutCgroups;
}

function command(template: string, file: string): string {
  const parts = { NOTE, QUOTED_NOTE: NOTE.replaceAll("'", `'\\''`), FILE: file };
  return template.replaceAll(/QUOTED_NOTE|NOTE|FILE/g, (name) => parts[name as keyof typeof parts]);
}

async function readPids(path: string, count: number): Promise<number[]> {
  let found: number[] = [];
  await until(async () => {
    found = (await readFile(path, 'utf8').catch(() => '')).split('\n').filter(Boolean).map(Number);
    return found.length >= count;
  }, `${count} pids in ${path}`);
  for (const pid of found) assert.equal(await isAlive(pid), true, `${pid} of ${path}`);
  return found;
}

async function untilEnded(folder: string, run: string): Promise<WholeRun> {
  let whole: WholeRun | undefined;
  await until(async () => {
    try {
      whole = parseLog(await readFile(join(folder, 'logs', `${run}.log`)));
    } catch {
      // Not complete yet.
    }
    return whole !== undefined;
  }, `the end of ${run}`);
  return whole as WholeRun;
}

for (const [way, through] of Object.entries(ways)) {
  for (const cause of ['canceled', 'timed_out'] as const) {
    test(`${cause}, ${way}: nothing that a command started is left`, timeout, async (t) => {
      const folder = await temporaryFolder(t);
      const runs = Object.entries(escapes).map(([name, template], index) => {
        const pids = join(folder, `pids-${index}`);
        const limits = cause === 'timed_out' ? { timeoutMs: 4000 } : {};
        return { name, pids, spec: makeSpec(command(template, pids), limits) };
      });
      const { host } = await startHost(
        t,
        folder,
        runs.map(({ spec }) => spec),
        through,
      );
      const pids = await Promise.all(runs.map((run) => readPids(run.pids, 1)));
      cleanUp(t, () => pids.flat().forEach(killIfAlive));
      if (cause === 'canceled') host.kill('SIGUSR2');
      for (const [index, { name, spec }] of runs.entries()) {
        const { outcome } = await untilEnded(folder, spec.run);
        assert.equal(outcome.state, cause, name);
        assert.doesNotMatch(outcome.reason ?? '', /left_behind/, name);
        for (const pid of pids[index] ?? []) assert.equal(await isAlive(pid), false, name);
      }
      await kill(host, 'SIGTERM');
    });
  }

  test(`a command that ends by itself leaves its daemon alone, ${way}`, timeout, async (t) => {
    const folder = await temporaryFolder(t);
    const pids = join(folder, 'pids');
    const spec = makeSpec(command('setsid -f NOTE FILE </dev/null >/dev/null 2>&1', pids));
    const { host } = await startHost(t, folder, [spec], through);
    const [pid = 0] = await readPids(pids, 1);
    cleanUp(t, () => killIfAlive(pid));
    assert.equal((await untilEnded(folder, spec.run)).outcome.state, 'exited');
    await kill(host, 'SIGTERM');
    assert.equal(await isAlive(pid), true);
  });
}

test('a run that was taken over from a killed node and shim is ended whole', timeout, async (t) => {
  const folder = await temporaryFolder(t);
  const pids = join(folder, 'pids');
  const spec = makeSpec(command('env -i setsid -f NOTE FILE; sleep 299', pids));
  const first = await startHost(t, folder, [spec]);
  const [pid = 0] = await readPids(pids, 1);
  cleanUp(t, () => killIfAlive(pid));
  const { shim } = JSON.parse(first.lines.find((line) => line.includes('shim')) ?? '{}') as { shim: number };
  await kill(first.host, 'SIGKILL');
  process.kill(shim, 'SIGKILL');
  await until(async () => !(await isAlive(shim)), 'the end of the shim');
  const second = await startHost(t, folder, []);
  second.host.kill('SIGUSR2');
  assert.equal((await untilEnded(folder, spec.run)).outcome.state, 'canceled');
  assert.equal(await isAlive(pid), false);
  await kill(second.host, 'SIGTERM');
});

test('control groups are removed when nothing lives in them any more', timeout, async (t) => {
  const base = cgroupOf('self');
  if (base === undefined || !ways['without control groups']) return t.diagnostic('this account has no control groups');
  const before = new Set(readdirSync(base));
  const folder = await temporaryFolder(t);
  const pids = join(folder, 'pids');
  const spec = makeSpec(command('setsid -f NOTE FILE </dev/null >/dev/null 2>&1', pids));
  const others = [makeSpec('/nonexistent/program'), makeSpec('true')];
  const { host } = await startHost(t, folder, [spec, ...others]);
  const [pid = 0] = await readPids(pids, 1);
  cleanUp(t, () => killIfAlive(pid));
  const group = cgroupOf(pid);
  assert.ok(group !== undefined && dirname(group) === base && !before.has(group));
  process.kill(pid, 'SIGKILL');
  for (const { run } of [spec, ...others]) await untilEnded(folder, run);
  await kill(host, 'SIGTERM');
  const mine = group.slice(base.length + 1).replace(/\d+$/, '');
  await until(() => !readdirSync(base).some((name) => name.startsWith(mine)), 'the end of its control groups');
});

test('what cannot be ended is named', timeout, async (t: TestContext) => {
  if (!isRoot) return t.diagnostic('another account is needed');
  // Not below the private folder of a test: another account must get there.
  const shared = await mkdtemp(join(tmpdir(), 'fleet-escape-'));
  cleanUp(t, () => rm(shared, { recursive: true, force: true }));
  await chmod(shared, 0o777);
  const become = join(shared, 'become');
  await copyFile(execFileSync('sh', ['-c', 'command -v setpriv'], { encoding: 'utf8' }).trim(), become);
  await chmod(become, 0o4755);
  const pids = join(shared, 'pids');
  const spec = makeSpec(`${become} --reuid 0 setsid ${NOTE} ${pids} & sleep 298`);
  const through = ['setpriv', '--reuid', 'nobody', '--regid', 'nogroup', '--clear-groups', '--'];
  const folder = join(shared, 'node');
  const { host } = await startHost(t, folder, [spec], through);
  const [pid = 0] = await readPids(pids, 1);
  cleanUp(t, () => killIfAlive(pid));
  host.kill('SIGUSR2');
  const { outcome } = await untilEnded(folder, spec.run);
  assert.equal(outcome.state, 'canceled');
  assert.equal(outcome.reason, `canceled: on request; left_behind: pid ${pid} sleep`);
  await kill(host, 'SIGTERM');
});

function killIfAlive(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // As it should be.
  }
}
