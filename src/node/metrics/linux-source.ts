/** The figures of a Linux machine from /proc and /sys: systeminformation runs shells for many of them, partly synchronously (docs/adr/0005). */
import { readdir, readFile, readlink } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { Battery } from '../../protocol/heartbeat.ts';
import { systemErrorCode } from '../../shared/errors.ts';
import { parseCpuTimes } from '../process/proc-files.ts';
import { type LinuxRoots, readAttribute, readCgroupCpu, readCgroupMemory, wholeNumber } from './linux-cgroup.ts';
import { createLinuxDisks } from './linux-disks.ts';
import type { CpuTimes, InterfaceCounters, MemoryUsage, MetricsSource, NetworkCounters } from './source.ts';

export function createLinuxSource(roots: LinuxRoots = { proc: '/proc', sys: '/sys' }): MetricsSource {
  return {
    readCpuTimes: () => readCpuTimes(roots),
    readCpuLimitCores: async () => (await readCgroupCpu(roots))?.limitCores ?? null,
    readMemory: () => readMemory(roots),
    readNetwork: () => readNetwork(roots),
    readDisks: createLinuxDisks({ mountinfo: path.join(roots.proc, 'self/mountinfo'), fstab: '/etc/fstab' }),
    readTemperatureC: () => readTemperatureC(roots.sys),
    readBattery: () => readBattery(roots.sys),
  };
}

/** Of the whole machine; under a smaller limit, usage relative to that limit. */
async function readCpuTimes(roots: LinuxRoots): Promise<CpuTimes> {
  const cgroup = await readCgroupCpu(roots);
  if (cgroup === null || cgroup.limitCores >= os.availableParallelism()) {
    return parseCpuTimes(await readFile(path.join(roots.proc, 'stat'), 'utf8'));
  }
  const { limitCores, usedMs } = cgroup;
  return { busy: usedMs, total: performance.now() * limitCores, basis: `cgroup ${limitCores}` };
}

/** /proc/meminfo (proc_meminfo(5)), without ZFS's cache, which Linux counts as used; relative to a control group's limit, if there is one. */
async function readMemory(roots: LinuxRoots): Promise<MemoryUsage> {
  const text = await readFile(path.join(roots.proc, 'meminfo'), 'utf8');
  const kib = new Map([...text.matchAll(/^(\w+): +(\d+)/gm)].map(([, name, amount]) => [name, Number(amount)]));
  const bytes = (name: string): number => (kib.get(name) ?? 0) * 1024;
  if (!(bytes('MemTotal') > 0)) throw new RangeError('no memory figures');
  // Kernels before 3.14 don't estimate what is available.
  const available =
    bytes('MemAvailable') || ['MemFree', 'Buffers', 'Cached', 'Slab'].reduce((sum, name) => sum + bytes(name), 0);
  const usedBytes = bytes('MemTotal') - available - (await readZfsCacheBytes(roots.proc));
  const memory = {
    memTotalBytes: bytes('MemTotal'),
    memUsedBytes: Math.max(0, usedBytes),
    swapTotalBytes: bytes('SwapTotal'),
    swapUsedBytes: bytes('SwapTotal') - bytes('SwapFree'),
  };
  return withinLimit(memory, await readCgroupMemory(roots));
}

/** What ZFS would return of its cache (ARC), bytes; 0 without ZFS. */
async function readZfsCacheBytes(proc: string): Promise<number> {
  const text = (await readAttribute(proc, 'spl/kstat/zfs/arcstats')) ?? '';
  const figure = (name: string): number => Number(new RegExp(`^${name} +\\d+ +(\\d+)$`, 'm').exec(text)?.[1] ?? 0);
  return Math.max(0, figure('size') - figure('c_min'));
}

/** Applies a limit that is smaller than the machine. Swap remains the machine's. */
export function withinLimit(memory: MemoryUsage, limit: Awaited<ReturnType<typeof readCgroupMemory>>): MemoryUsage {
  if (limit === null || limit.limitBytes >= memory.memTotalBytes) return memory;
  const memUsedBytes = Math.min(limit.limitBytes, limit.usedBytes);
  return { ...memory, memTotalBytes: limit.limitBytes, memUsedBytes };
}

/**
 * Only interfaces with hardware: bridges, bonds, VLANs, VPNs and containers' pairs would count the same bytes again. A container has only
 * virtual ones; there, all but the loopback count.
 */
async function readNetwork(roots: LinuxRoots): Promise<NetworkCounters> {
  const all = parseNetDev(await readFile(path.join(roots.proc, 'net/dev'), 'utf8'));
  all.delete('lo');
  const folder = path.join(roots.sys, 'class/net');
  const physical = new Map<string, InterfaceCounters>();
  for (const [name, counters] of all) {
    // Interfaces without hardware are links into /sys/devices/virtual; old kernels have no links here (EINVAL).
    const target = await readlink(path.join(folder, name)).catch((error: unknown) => {
      if (systemErrorCode(error) === 'ENOENT') return '/virtual/';
      if (systemErrorCode(error) === 'EINVAL') return '';
      throw error;
    });
    if (!target.includes('/virtual/')) physical.set(name, counters);
  }
  return physical.size > 0 ? physical : all;
}

/** /proc/net/dev (proc_pid_net(5)): two header lines, then `name: bytes packets errs drop …4 more`, for each direction. */
export function parseNetDev(text: string): Map<string, InterfaceCounters> {
  const counters = new Map<string, InterfaceCounters>();
  for (const line of text.split('\n').slice(2)) {
    const [, name, rest = ''] = /^(.*):([^:]*)$/.exec(line) ?? [];
    const fields = rest.trim().split(/\s+/).map(Number);
    const [rxBytes = 0, , rxErrors = 0, rxDrops = 0, , , , , txBytes, , txErrors = 0, txDrops = 0] = fields;
    if (name === undefined || txBytes === undefined || fields.some(Number.isNaN)) continue;
    counters.set(name.trim(), { rxBytes, txBytes, errors: rxErrors + txErrors, drops: rxDrops + txDrops });
  }
  return counters;
}

/** Drivers whose chip is the CPU: Intel, AMD, VIA, and common names on ARM boards. */
const CPU_CHIPS = /^(coretemp|k8temp|k10temp|zenpower|via_cputemp|cpu.*thermal|soc.*thermal|cpu_?temp)/;
const CPU_ZONES = /x86_pkg_temp|cpu|soc|package/i;

/** The hottest sensor of the CPU (hwmon), else its thermal zone, else the first zone, °C; null without any, as on most virtual machines. */
async function readTemperatureC(sys: string): Promise<number | null> {
  const hwmon = path.join(sys, 'class/hwmon');
  const temperatures: number[] = [];
  for (const chip of await listFolder(hwmon)) {
    if (!CPU_CHIPS.test((await readAttribute(hwmon, chip, 'name')) ?? '')) continue;
    for (const file of await listFolder(path.join(hwmon, chip))) {
      const value = /^temp\d+_input$/.test(file) ? await readCelsius(hwmon, chip, file) : null;
      if (value !== null) temperatures.push(value);
    }
  }
  if (temperatures.length > 0) return Math.max(...temperatures);
  const thermal = path.join(sys, 'class/thermal');
  const zones = (await listFolder(thermal)).filter((name) => name.startsWith('thermal_zone'));
  const types = await Promise.all(zones.map((zone) => readAttribute(thermal, zone, 'type')));
  const zone = zones[types.findIndex((type) => CPU_ZONES.test(type ?? ''))] ?? zones[0];
  return zone === undefined ? null : await readCelsius(thermal, zone, 'temp');
}

/** Thousandths of a degree in the file. Null for impossible figures, which drivers report for unconnected sensors. */
async function readCelsius(...segments: string[]): Promise<number | null> {
  const text = await readAttribute(...segments);
  const value = text !== null && /^-?\d+$/.test(text) ? Number(text) / 1000 : Number.NaN;
  return value > -60 && value < 150 ? value : null;
}

/**
 * Charge of all batteries together; null without one (kernel: sysfs-class-power). A mouse's or keyboard's battery (scope `Device`) is
 * ignored.
 */
async function readBattery(sys: string): Promise<Battery | null> {
  const folder = path.join(sys, 'class/power_supply');
  const packs: { percent: number; size: number | null }[] = [];
  const states = new Set<string | null>();
  let onMains = false;
  for (const name of await listFolder(folder)) {
    const read = (attribute: string) => readAttribute(folder, name, attribute);
    if ((await read('type')) !== 'Battery') {
      onMains ||= (await read('online')) === '1';
      continue;
    }
    const percent = wholeNumber(await read('capacity'));
    if (percent === null || (await read('scope')) === 'Device') continue;
    const size = wholeNumber(await read('energy_full')) || wholeNumber(await read('charge_full')) || null;
    packs.push({ percent: Math.min(100, percent), size });
    states.add(await read('status'));
  }
  if (packs.length === 0) return null;
  // Weighted by size if all sizes are known.
  const isSized = packs.every(({ size }) => size !== null);
  const weights = packs.map(({ size }) => (isSized ? (size ?? 0) : 1));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const charge = packs.reduce((sum, { percent }, index) => sum + percent * (weights[index] ?? 0), 0);
  // A battery that is held below full on mains (`Not charging`) isn't being used up either.
  const charging = states.has('Charging') || states.has('Full') || (onMains && !states.has('Discharging'));
  return { percent: charge / total, charging };
}

/** Sorted names; none when the folder doesn't exist, because the machine has no such devices. */
async function listFolder(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  });
  return names.sort();
}
