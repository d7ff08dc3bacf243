/**
 * The limits that a container, or a service manager, sets to this process and what it starts: in a container of 512 MiB on a
 * machine of 64 GiB, what is left is what is left of the 512. cgroups(7): version 2 (memory.max, cpu.max) and version 1.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { systemErrorCode } from '../../shared/errors.ts';

export interface CgroupMemory {
  limitBytes: number;
  /** Without the file cache that the kernel would give back at once. */
  usedBytes: number;
}

interface CgroupCpu {
  /** May be a fraction. */
  limitCores: number;
  /** Since the group was made, all cores together, ms. */
  usedMs: number;
}

interface Roots {
  proc: string;
  sys: string;
}

/** Of the tightest limit on the way from this process' group to the root; null when there is none. */
export async function readCgroupMemory(roots: Roots): Promise<CgroupMemory | null> {
  const { groups, isVersion2 } = await groupsOf(roots, 'memory');
  const names = isVersion2
    ? { limit: 'memory.max', used: 'memory.current', cache: /^inactive_file (\d+)$/m }
    : { limit: 'memory.limit_in_bytes', used: 'memory.usage_in_bytes', cache: /^total_inactive_file (\d+)$/m };
  const limits = await Promise.all(
    groups.map(async (group): Promise<CgroupMemory | null> => {
      const limitBytes = numberIn(await readAttribute(group, names.limit));
      if (limitBytes === null || limitBytes >= NO_LIMIT) return null;
      const [usage, stat] = await Promise.all([readAttribute(group, names.used), readAttribute(group, 'memory.stat')]);
      const usageBytes = numberIn(usage);
      const cacheBytes = Number(names.cache.exec(stat ?? '')?.[1] ?? 0);
      return usageBytes === null ? null : { limitBytes, usedBytes: Math.max(0, usageBytes - cacheBytes) };
    }),
  );
  return limits.filter((limit) => limit !== null).sort((a, b) => a.limitBytes - b.limitBytes)[0] ?? null;
}

/** Version 1 writes "no limit" as the largest multiple of a page that fits into 63 bits. */
const NO_LIMIT = 2 ** 60;

/** As {@link readCgroupMemory}, of the processor. */
export async function readCgroupCpu(roots: Roots): Promise<CgroupCpu | null> {
  const { groups, isVersion2 } = await groupsOf(roots, 'cpu');
  const accounts = isVersion2 ? groups : (await groupsOf(roots, 'cpuacct')).groups;
  const limits = await Promise.all(
    groups.map(async (group, index): Promise<CgroupCpu | null> => {
      const limitCores = isVersion2
        ? ratioOf((await readAttribute(group, 'cpu.max'))?.split(' ') ?? [])
        : ratioOf(
            await Promise.all([readAttribute(group, 'cpu.cfs_quota_us'), readAttribute(group, 'cpu.cfs_period_us')]),
          );
      if (limitCores === null) return null;
      const usedMs = isVersion2 ? await usedMsOfVersion2(group) : await usedMsOfVersion1(accounts[index] ?? group);
      return usedMs === null ? null : { limitCores, usedMs };
    }),
  );
  return limits.filter((limit) => limit !== null).sort((a, b) => a.limitCores - b.limitCores)[0] ?? null;
}

async function usedMsOfVersion2(group: string): Promise<number | null> {
  const text = /^usage_usec (\d+)$/m.exec((await readAttribute(group, 'cpu.stat')) ?? '')?.[1];
  return text === undefined ? null : Number(text) / 1_000;
}

async function usedMsOfVersion1(group: string): Promise<number | null> {
  const usedNs = numberIn(await readAttribute(group, 'cpuacct.usage'));
  return usedNs === null ? null : usedNs / 1e6;
}

/** Quota by period; null for `max`, for -1, and for what is not there. */
function ratioOf([quota, period]: readonly (string | null | undefined)[]): number | null {
  const [amount, of] = [numberIn(quota ?? null), numberIn(period ?? null)];
  return amount === null || of === null || !(amount > 0 && of > 0) ? null : amount / of;
}

function numberIn(text: string | null): number | null {
  return text !== null && /^\d+$/.test(text) ? Number(text) : null;
}

/** Folders of this process' group and of those above it, the innermost first. */
async function groupsOf({ proc, sys }: Roots, controller: string): Promise<{ groups: string[]; isVersion2: boolean }> {
  const lines = (await readTable(path.join(proc, 'self/cgroup'))).split('\n').map((line) => line.split(':'));
  const version1 = lines.find(([, controllers]) => controllers?.split(',').includes(controller));
  const [, controllers, ...rest] = version1 ?? lines.find(([number, none]) => number === '0' && none === '') ?? [];
  if (controllers === undefined) return { groups: [], isVersion2: true };
  const base = path.join(sys, 'fs/cgroup', version1 === undefined ? '' : controller);
  const groups: string[] = [];
  // A container without a namespace of its own sees a path of the host here, which is not below its root: the root counts alone.
  for (let group = path.join('/', rest.join(':')); group !== '/'; group = path.dirname(group)) {
    groups.push(path.join(base, group));
  }
  return { groups: [...groups, base], isVersion2: version1 === undefined };
}

/** Empty where the kernel has no control groups. */
async function readTable(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return '';
    throw error;
  }
}

/** No such file; or a driver that has no value now (sleeping sensor, unplugged battery). */
const NO_VALUE: ReadonlySet<string> = new Set(['ENOENT', 'ENODEV', 'ENODATA', 'ENXIO', 'EIO', 'EINVAL', 'EAGAIN']);

/** One attribute without its line end; null when there is none or it has no value now. */
export async function readAttribute(...segments: string[]): Promise<string | null> {
  try {
    return (await readFile(path.join(...segments), 'utf8')).trim();
  } catch (error) {
    if (NO_VALUE.has(systemErrorCode(error) ?? '')) return null;
    throw error;
  }
}
