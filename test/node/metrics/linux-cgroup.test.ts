import assert from 'node:assert/strict';
import os from 'node:os';
import { type TestContext, test } from 'node:test';
import { readCgroupCpu, readCgroupMemory } from '../../../src/node/metrics/linux-cgroup.ts';
import { createLinuxSource, withinLimit } from '../../../src/node/metrics/linux-source.ts';
import { tempTree } from './temp-tree.ts';

const MIB = 2 ** 20;

/** Roots whose `/proc/self/cgroup` says this, with these files below `/sys/fs/cgroup`. */
async function rootsOf(t: TestContext, table: string, files: Record<string, string>) {
  const below = Object.entries(files).map(([file, text]) => [`sys/fs/cgroup/${file}`, text]);
  const root = await tempTree(t, { 'proc/self/cgroup': table, ...Object.fromEntries(below) });
  return { proc: `${root}/proc`, sys: `${root}/sys` };
}

test('version 2, in a container: the limits lie at the root of what it sees', async (t) => {
  const roots = await rootsOf(t, '0::/\n', {
    'memory.max': `${512 * MIB}\n`,
    'memory.current': `${300 * MIB}\n`,
    'memory.stat': `anon 1\ninactive_file ${100 * MIB}\nactive_file 5\n`,
    'cpu.max': '150000 100000\n',
    'cpu.stat': 'usage_usec 2500000\nuser_usec 2000000\n',
  });
  assert.deepEqual(await readCgroupMemory(roots), { limitBytes: 512 * MIB, usedBytes: 200 * MIB });
  assert.deepEqual(await readCgroupCpu(roots), { limitCores: 1.5, usedMs: 2_500 });
});

test('version 2, under a service manager: the tightest limit on the way up counts, with its own usage', async (t) => {
  const slice = 'system.slice';
  const roots = await rootsOf(t, `0::/${slice}/fleet.service\n`, {
    [`${slice}/fleet.service/memory.max`]: 'max\n',
    [`${slice}/fleet.service/memory.current`]: `${MIB}\n`,
    [`${slice}/memory.max`]: `${64 * MIB}\n`,
    [`${slice}/memory.current`]: `${32 * MIB}\n`,
    [`${slice}/fleet.service/cpu.max`]: 'max 100000\n',
  });
  assert.deepEqual(await readCgroupMemory(roots), { limitBytes: 64 * MIB, usedBytes: 32 * MIB });
  assert.equal(await readCgroupCpu(roots), null);
});

test('version 1: limits by controller, and a number that is no limit', async (t) => {
  const table = '4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/\n';
  const roots = await rootsOf(t, table, {
    'memory/docker/abc/memory.limit_in_bytes': `${256 * MIB}\n`,
    'memory/docker/abc/memory.usage_in_bytes': `${200 * MIB}\n`,
    'memory/docker/abc/memory.stat': `inactive_file 7\ntotal_inactive_file ${50 * MIB}\n`,
    'memory/memory.limit_in_bytes': '9223372036854771712\n',
    'memory/memory.usage_in_bytes': `${900 * MIB}\n`,
    'cpu/docker/abc/cpu.cfs_quota_us': '50000\n',
    'cpu/docker/abc/cpu.cfs_period_us': '100000\n',
    'cpu/cpu.cfs_quota_us': '-1\n',
    'cpu/cpu.cfs_period_us': '100000\n',
    'cpuacct/docker/abc/cpuacct.usage': '3000000000\n',
  });
  assert.deepEqual(await readCgroupMemory(roots), { limitBytes: 256 * MIB, usedBytes: 150 * MIB });
  assert.deepEqual(await readCgroupCpu(roots), { limitCores: 0.5, usedMs: 3_000 });
});

test('version 1, in a container that sees the path of its host: the root of what it sees counts', async (t) => {
  const roots = await rootsOf(t, '4:memory:/docker/abc\n', {
    'memory/memory.limit_in_bytes': `${128 * MIB}\n`,
    'memory/memory.usage_in_bytes': `${64 * MIB}\n`,
  });
  assert.deepEqual(await readCgroupMemory(roots), { limitBytes: 128 * MIB, usedBytes: 64 * MIB });
});

test('no limit, no control groups, and nonsense are no limit', async (t) => {
  const none = await rootsOf(t, '0::/\n', { 'memory.max': 'max\n', 'memory.current': '5\n', 'cpu.max': 'x y\n' });
  assert.deepEqual([await readCgroupMemory(none), await readCgroupCpu(none)], [null, null]);
  const old = await tempTree(t, {});
  assert.equal(await readCgroupMemory({ proc: `${old}/proc`, sys: `${old}/sys` }), null);
  const odd = await rootsOf(t, '\n:::\n', {});
  assert.equal(await readCgroupMemory(odd), null);
});

test('a limit counts only where it is smaller than the machine', () => {
  const machine = { memTotalBytes: 1_000, memUsedBytes: 900, swapTotalBytes: 10, swapUsedBytes: 1 };
  assert.deepEqual(withinLimit(machine, { limitBytes: 100, usedBytes: 50 }), {
    ...machine,
    memTotalBytes: 100,
    memUsedBytes: 50,
  });
  assert.equal(withinLimit(machine, { limitBytes: 2_000, usedBytes: 50 }), machine);
  assert.equal(withinLimit(machine, null), machine);
});

test('under a limit, busy is what was used of what was allowed', async (t) => {
  const files = (usedMs: number) => ({ 'cpu.max': '10000 100000\n', 'cpu.stat': `usage_usec ${usedMs * 1000}\n` });
  const source = createLinuxSource(await rootsOf(t, '0::/\n', files(700)));
  const times = await source.readCpuTimes();
  assert.deepEqual([times.busy, times.basis], [700, 'cgroup 0.1']);
  assert.equal(await source.readCpuLimitCores?.(), 0.1);
  const wide = await rootsOf(t, '0::/\n', { ...files(1), 'cpu.max': `${os.availableParallelism()}00000 100000\n` });
  await assert.rejects(createLinuxSource(wide).readCpuTimes(), { code: 'ENOENT' }, 'the machine is asked instead');
});
