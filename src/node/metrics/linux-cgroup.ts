/**
 * Limits that a container or service manager sets for this process: in a container of 512 MiB on a machine of 64 GiB, only the 512
 * count. cgroups(7), version 2 (memory.max, cpu.max) and version 1.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { systemErrorCode } from '../../shared/errors.ts';

export interface LinuxRoots {
  proc: string;
  sys: string;
}

/** Version 1 writes "no limit" as the largest multiple of a page that fits into 63 bits. */
const NO_LIMIT = 2 ** 60;
/** No such file; or a driver that has no value now (sleeping sensor, unplugged battery). */
const NO_VALUE: ReadonlySet<string> = new Set(['ENOENT', 'ENODEV', 'ENODATA', 'ENXIO', 'EIO', 'EINVAL', 'EAGAIN']);

/** Content of a file in /sys without its line end; null when it is missing or has no value now. */
export async function readAttribute(...segments: string[]): Promise<string | null> {
  try {
    return (await readFile(path.join(...segments), 'utf8')).trim();
  } catch (error) {
    if (NO_VALUE.has(systemErrorCode(error) ?? '')) return null;
    throw error;
  }
}

export function wholeNumber(text: string | null | undefined): number | null {
  return text && /^\d+$/.test(text) ? Number(text) : null;
}

/** The tightest memory limit of this process's group and its ancestors, with usage excluding reclaimable cache; null without one. */
export async function readCgroupMemory(roots: LinuxRoots): Promise<{ limitBytes: number; usedBytes: number } | null> {
  const { groups, isVersion2 } = await groupsOf(roots, 'memory');
  const [limitFile, usageFile, cache] = isVersion2
    ? (['memory.max', 'memory.current', /^inactive_file (\d+)$/m] as const)
    : (['memory.limit_in_bytes', 'memory.usage_in_bytes', /^total_inactive_file (\d+)$/m] as const);
  const limits = await Promise.all(
    groups.map(async (group) => {
      const limitBytes = wholeNumber(await readAttribute(group, limitFile));
      if (limitBytes === null || limitBytes >= NO_LIMIT) return null;
      const usageBytes = wholeNumber(await readAttribute(group, usageFile));
      const cacheBytes = Number(cache.exec((await readAttribute(group, 'memory.stat')) ?? '')?.[1] ?? 0);
      return usageBytes === null ? null : { limitBytes, usedBytes: Math.max(0, usageBytes - cacheBytes) };
    }),
  );
  return limits.filter((limit) => limit !== null).sort((a, b) => a.limitBytes - b.limitBytes)[0] ?? null;
}

/** The tightest CPU limit likewise, in cores, possibly a fraction, and the time used by all cores since the group was created. */
export async function readCgroupCpu(roots: LinuxRoots): Promise<{ limitCores: number; usedMs: number } | null> {
  const { groups, isVersion2 } = await groupsOf(roots, 'cpu');
  const accounts = isVersion2 ? groups : (await groupsOf(roots, 'cpuacct')).groups;
  const limits = await Promise.all(
    groups.map(async (group, index) => {
      const [quota, period] = isVersion2
        ? ((await readAttribute(group, 'cpu.max'))?.split(' ') ?? [])
        : [await readAttribute(group, 'cpu.cfs_quota_us'), await readAttribute(group, 'cpu.cfs_period_us')];
      // Neither `max` nor -1 is a whole number.
      const limitCores = (wholeNumber(quota) ?? 0) / (wholeNumber(period) || Number.NaN);
      if (!(limitCores > 0)) return null;
      const usedMs = await readUsedMs(isVersion2, accounts[index] ?? group);
      return usedMs === null ? null : { limitCores, usedMs };
    }),
  );
  return limits.filter((limit) => limit !== null).sort((a, b) => a.limitCores - b.limitCores)[0] ?? null;
}

async function readUsedMs(isVersion2: boolean, group: string): Promise<number | null> {
  if (!isVersion2) {
    const usedNs = wholeNumber(await readAttribute(group, 'cpuacct.usage'));
    return usedNs === null ? null : usedNs / 1e6;
  }
  const usedUs = /^usage_usec (\d+)$/m.exec((await readAttribute(group, 'cpu.stat')) ?? '')?.[1];
  return usedUs === undefined ? null : Number(usedUs) / 1000;
}

/** Folders of this process's group and its ancestors, innermost first. */
async function groupsOf({ proc, sys }: LinuxRoots, controller: string) {
  const lines = ((await readAttribute(proc, 'self/cgroup')) ?? '').split('\n').map((line) => line.split(':'));
  const version1 = lines.find(([, controllers]) => controllers?.split(',').includes(controller));
  const [, controllers, ...rest] = version1 ?? lines.find(([number, none]) => number === '0' && none === '') ?? [];
  const groups: string[] = [];
  if (controllers === undefined) return { groups, isVersion2: true };
  const base = path.join(sys, 'fs/cgroup', version1 === undefined ? '' : controller);
  // In a container without its own namespace this is a path on the host, which is not below the root: only the root exists.
  for (let group = path.join('/', rest.join(':')); group !== '/'; group = path.dirname(group)) {
    groups.push(path.join(base, group));
  }
  return { groups: [...groups, base], isVersion2: version1 === undefined };
}
