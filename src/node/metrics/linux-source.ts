/**
 * The metrics of a Linux machine: memory by systeminformation, which reads a file for it; the rest out of /proc and /sys, because
 * systeminformation 5.33 runs shells for load, disks, network and temperature, some of them synchronously (docs/adr/0005).
 */
import { readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { readLinuxBattery } from './linux-battery.ts';
import { type CgroupMemory, readCgroupCpu, readCgroupMemory } from './linux-cgroup.ts';
import { createLinuxDisks } from './linux-disks.ts';
import { readLinuxNetwork } from './linux-network.ts';
import { readLinuxTemperatureC } from './linux-temperature.ts';
import type { CpuTimes, MemoryUsage, MetricsSource } from './source.ts';
import { readAttribute } from './sysfs.ts';
import { createSysteminformationSource } from './systeminformation-source.ts';

export interface LinuxRoots {
  /** `/proc`, or a copy of it. */
  proc: string;
  /** `/sys`, or a copy of it. */
  sys: string;
  /** `/etc/fstab` by default. */
  fstab?: string;
}

export function createLinuxSource(roots: LinuxRoots = { proc: '/proc', sys: '/sys' }): MetricsSource {
  const systeminformation = createSysteminformationSource();
  return {
    readCpuTimes: () => readCpuTimes(roots),
    readCpuLimitCores: async () => (await readCgroupCpu(roots))?.limitCores ?? null,
    readMemory: async () => {
      const memory = withoutZfsCache(await systeminformation.readMemory(), await readZfsCacheBytes(roots.proc));
      return withinLimit(memory, await readCgroupMemory(roots));
    },
    readNetwork: () => readLinuxNetwork(roots),
    readDisks: createLinuxDisks({
      mountinfo: path.join(roots.proc, 'self/mountinfo'),
      fstab: roots.fstab ?? '/etc/fstab',
    }),
    readTemperatureC: () => readLinuxTemperatureC(roots.sys),
    readBattery: () => readLinuxBattery(roots.sys),
  };
}

/** Of the whole machine; under a limit that is smaller than it, what was used of what was allowed. */
async function readCpuTimes(roots: LinuxRoots): Promise<CpuTimes> {
  const cgroup = await readCgroupCpu(roots);
  if (cgroup === null || cgroup.limitCores >= os.availableParallelism()) {
    return parseCpuTimes(await readFile(path.join(roots.proc, 'stat'), 'utf8'));
  }
  const { limitCores, usedMs } = cgroup;
  return { busy: usedMs, total: performance.now() * limitCores, basis: `cgroup ${limitCores}` };
}

/** What ZFS would give back of its cache (ARC), which Linux counts as used, bytes; 0 without ZFS. */
async function readZfsCacheBytes(proc: string): Promise<number> {
  const text = (await readAttribute(proc, 'spl/kstat/zfs/arcstats')) ?? '';
  const figure = (name: string): number => Number(new RegExp(`^${name} +\\d+ +(\\d+)$`, 'm').exec(text)?.[1] ?? 0);
  return Math.max(0, figure('size') - figure('c_min'));
}

function withoutZfsCache(memory: MemoryUsage, cacheBytes: number): MemoryUsage {
  return { ...memory, memUsedBytes: Math.max(0, memory.memUsedBytes - cacheBytes) };
}

/** Memory under a limit that is smaller than the machine. Swap stays the machine's. */
export function withinLimit(memory: MemoryUsage, limit: CgroupMemory | null): MemoryUsage {
  if (limit === null || limit.limitBytes >= memory.memTotalBytes) return memory;
  return {
    ...memory,
    memTotalBytes: limit.limitBytes,
    memUsedBytes: Math.min(limit.limitBytes, limit.usedBytes),
  };
}

/**
 * First line of /proc/stat (proc_stat(5)): user nice system idle iowait irq softirq steal; guest time is already in user.
 * @throws RangeError when it is not there.
 */
export function parseCpuTimes(stat: string): CpuTimes {
  const fields = /^cpu +(.+)$/m.exec(stat)?.[1]?.trim().split(/ +/).slice(0, 8).map(Number);
  if (fields === undefined || fields.length < 4 || fields.some(Number.isNaN)) throw new RangeError('no cpu line');
  const total = fields.reduce((sum, ticks) => sum + ticks, 0);
  const [, , , idle = 0, iowait = 0] = fields;
  return { busy: total - idle - iowait, total };
}
