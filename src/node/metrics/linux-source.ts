/**
 * The metrics of a Linux machine: memory by systeminformation, which reads a file for it; the rest out of /proc and /sys, because
 * systeminformation 5.33 runs shells for load, disks, network and temperature, some of them synchronously (docs/adr/0005).
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { Battery } from '../../protocol/heartbeat.ts';
import { systemErrorCode } from '../../shared/errors.ts';
import { type CgroupMemory, readAttribute, readCgroupCpu, readCgroupMemory } from './linux-cgroup.ts';
import { createLinuxDisks } from './linux-disks.ts';
import type { CpuTimes, InterfaceCounters, MemoryUsage, MetricsSource, NetworkCounters } from './source.ts';
import { createSysteminformationSource } from './systeminformation-source.ts';

interface LinuxRoots {
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

/** Names in a folder, sorted; none when the folder does not exist. */
async function listFolder(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Charge of all batteries together; null without one. A mouse's or keyboard's battery (scope `Device`) is not the machine's. */
async function readLinuxBattery(sys: string): Promise<Battery | null> {
  const folder = path.join(sys, 'class/power_supply');
  const packs: { percent: number; size: number | null }[] = [];
  const states = new Set<string | null>();
  let onMains = false;
  for (const name of await listFolder(folder)) {
    if ((await readAttribute(folder, name, 'type')) !== 'Battery') {
      onMains ||= (await readAttribute(folder, name, 'online')) === '1';
      continue;
    }
    if ((await readAttribute(folder, name, 'scope')) === 'Device') continue;
    const percent = wholeNumber(await readAttribute(folder, name, 'capacity'));
    if (percent === null) continue;
    const sizes = [
      await readAttribute(folder, name, 'energy_full'),
      await readAttribute(folder, name, 'charge_full'),
    ].map(wholeNumber);
    packs.push({ percent: Math.min(100, percent), size: sizes.find((size) => size !== null && size > 0) ?? null });
    states.add(await readAttribute(folder, name, 'status'));
  }
  if (packs.length === 0) return null;
  // A large battery counts for more than a small one, if the sizes are known of all.
  const isSized = packs.every(({ size }) => size !== null);
  const weights = packs.map(({ size }) => (isSized ? (size ?? 0) : 1));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const charge = packs.reduce((sum, { percent }, index) => sum + percent * (weights[index] ?? 0), 0);
  // On mains, a battery that is kept below full (`Not charging`) is not being used up either.
  const charging = states.has('Charging') || states.has('Full') || (onMains && !states.has('Discharging'));
  return { percent: charge / total, charging };
}

function wholeNumber(text: string | null): number | null {
  return text !== null && /^\d+$/.test(text) ? Number(text) : null;
}

/** Drivers whose chip is the CPU: Intel, AMD, VIA, and the names that ARM boards give theirs. */
const CPU_CHIPS = /^(coretemp|k8temp|k10temp|zenpower|via_cputemp|cpu.*thermal|soc.*thermal|cpu_?temp)/;

const CPU_ZONES = /x86_pkg_temp|cpu|soc|package/i;

/** The hottest sensor of the CPU, °C; else the first thermal zone; null when the machine (most virtual ones) has none. */
async function readLinuxTemperatureC(sys: string): Promise<number | null> {
  return (await hottestChipC(path.join(sys, 'class/hwmon'))) ?? (await zoneC(path.join(sys, 'class/thermal')));
}

async function hottestChipC(folder: string): Promise<number | null> {
  const temperatures: number[] = [];
  for (const chip of await listFolder(folder)) {
    if (!CPU_CHIPS.test((await readAttribute(folder, chip, 'name')) ?? '')) continue;
    for (const file of await listFolder(path.join(folder, chip))) {
      if (!/^temp\d+_input$/.test(file)) continue;
      const value = celsius(await readAttribute(folder, chip, file));
      if (value !== null) temperatures.push(value);
    }
  }
  return temperatures.length === 0 ? null : Math.max(...temperatures);
}

async function zoneC(folder: string): Promise<number | null> {
  const zones = (await listFolder(folder)).filter((name) => name.startsWith('thermal_zone'));
  const types = await Promise.all(zones.map((zone) => readAttribute(folder, zone, 'type')));
  const cpuZone = types.findIndex((type) => CPU_ZONES.test(type ?? ''));
  const zone = zones[cpuZone === -1 ? 0 : cpuZone];
  return zone === undefined ? null : celsius(await readAttribute(folder, zone, 'temp'));
}

/** Null for what no running CPU has: drivers answer such figures for sensors that are not wired. */
function celsius(millidegrees: string | null): number | null {
  if (millidegrees === null || !/^-?\d+$/.test(millidegrees)) return null;
  const value = Number(millidegrees) / 1000;
  return value > -60 && value < 150 ? value : null;
}

/**
 * Counters of the interfaces with hardware behind them: bridges, bonds, VLANs, VPNs and containers' pairs would count the
 * same bytes again. A container sees only virtual ones; there, all but the loopback count.
 */
async function readLinuxNetwork(roots: { proc: string; sys: string }): Promise<NetworkCounters> {
  const all = parseNetDev(await readFile(path.join(roots.proc, 'net/dev'), 'utf8'));
  all.delete('lo');
  const physical = await physicalInterfaces(path.join(roots.sys, 'class/net'));
  const counted = new Map([...all].filter(([name]) => physical.has(name)));
  return counted.size > 0 ? counted : all;
}

/** /proc/net/dev (proc_pid_net(5)): two lines of headings, then `name: bytes packets errs drop 4 others`, once for each direction. */
export function parseNetDev(text: string): Map<string, InterfaceCounters> {
  const counters = new Map<string, InterfaceCounters>();
  for (const line of text.split('\n').slice(2)) {
    const colon = line.lastIndexOf(':');
    if (colon === -1) continue;
    const fields = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
      .map(Number);
    const [rxBytes = 0, , rxErrors = 0, rxDrops = 0, , , , , txBytes, , txErrors = 0, txDrops = 0] = fields;
    if (txBytes === undefined || fields.some(Number.isNaN)) continue;
    const [errors, drops] = [rxErrors + txErrors, rxDrops + txDrops];
    counters.set(line.slice(0, colon).trim(), { rxBytes, txBytes, errors, drops });
  }
  return counters;
}

/** An interface without hardware is a link into /sys/devices/virtual. */
async function physicalInterfaces(folder: string): Promise<Set<string>> {
  const physical = new Set<string>();
  for (const name of await listFolder(folder)) {
    if (!(await linkTarget(path.join(folder, name))).includes('/virtual/')) physical.add(name);
  }
  return physical;
}

/** Empty for an interface that went away since the folder was listed, and for `bonding_masters`, which is a file. */
async function linkTarget(file: string): Promise<string> {
  try {
    return await readlink(file);
  } catch (error) {
    if (['ENOENT', 'EINVAL'].includes(systemErrorCode(error) ?? '')) return '';
    throw error;
  }
}
