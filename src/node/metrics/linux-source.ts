/**
 * The metrics of a Linux machine out of /proc and /sys. No process is ever spawned: systeminformation 5.33 runs a shell,
 * some of them synchronously, for load, disks, network and temperature, and loading it costs 10 MB.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { readLinuxBattery } from './linux-battery.ts';
import { readLinuxDisks } from './linux-disks.ts';
import { readLinuxNetwork } from './linux-network.ts';
import { readLinuxTemperatureC } from './linux-temperature.ts';
import type { CpuTimes, MemoryUsage, MetricsSource } from './source.ts';

export interface LinuxRoots {
  /** `/proc`, or a copy of it. */
  proc: string;
  /** `/sys`, or a copy of it. */
  sys: string;
}

export function createLinuxSource(roots: LinuxRoots = { proc: '/proc', sys: '/sys' }): MetricsSource {
  return {
    readCpuTimes: async () => parseCpuTimes(await readFile(path.join(roots.proc, 'stat'), 'utf8')),
    readMemory: async () => parseMemory(await readFile(path.join(roots.proc, 'meminfo'), 'utf8')),
    readNetwork: () => readLinuxNetwork(roots),
    readDisks: () => readLinuxDisks(path.join(roots.proc, 'self/mountinfo')),
    readTemperatureC: () => readLinuxTemperatureC(roots.sys),
    readBattery: () => readLinuxBattery(roots.sys),
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

/**
 * /proc/meminfo (proc_meminfo(5)). Used is what MemAvailable leaves; kernels before 3.14 lack it, so caches are taken off.
 * @throws RangeError when the total is missing.
 */
export function parseMemory(meminfo: string): MemoryUsage {
  const bytes = (key: string): number | null => {
    const match = new RegExp(`^${key}: +(\\d+) kB$`, 'm').exec(meminfo);
    return match === null ? null : Number(match[1]) * 1024;
  };
  const memTotalBytes = bytes('MemTotal');
  const free = bytes('MemFree');
  if (memTotalBytes === null || free === null) throw new RangeError('no MemTotal or MemFree');
  const available = bytes('MemAvailable') ?? free + (bytes('Buffers') ?? 0) + (bytes('Cached') ?? 0);
  const swapTotalBytes = bytes('SwapTotal');
  const swapFreeBytes = bytes('SwapFree');
  return {
    memTotalBytes,
    memUsedBytes: Math.max(0, memTotalBytes - available),
    swapTotalBytes,
    swapUsedBytes: swapTotalBytes === null || swapFreeBytes === null ? null : swapTotalBytes - swapFreeBytes,
  };
}
