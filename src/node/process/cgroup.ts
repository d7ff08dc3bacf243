/** Control groups of version 2, also beside version 1: a process's own group, and the members of one. cgroups(7), "Cgroups version 2" */
import { readdirSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { readOrEmpty } from '../../shared/read-file.ts';

/** Prefix of the names of fleet's own groups. */
export const CGROUP_PREFIX = 'fleet-';

/** The folder of a process's own group; undefined where there is none, or none visible to this account. */
export function cgroupOf(pid: number | 'self'): string | undefined {
  const path = /^0::(\/.*)$/m.exec(readOrEmpty(`/proc/${pid}/cgroup`))?.[1];
  const mount = readOrEmpty('/proc/self/mountinfo')
    .split('\n')
    .map((line) => line.split(' '))
    .find((fields) => fields[fields.indexOf('-') + 1] === 'cgroup2');
  const [root, point] = [mount?.[3], mount?.[4]];
  if (path === undefined || root === undefined || point === undefined) return undefined;
  // In a container without its own cgroup namespace, only groups below the mount's root are visible.
  if (root === '/') return resolve(point, `.${path}`);
  return path === root || path.startsWith(`${root}/`) ? resolve(point, `.${path.slice(root.length)}`) : undefined;
}

/** The group of a process if fleet made it. */
export function runCgroupOf(pid: number): string | undefined {
  const folder = cgroupOf(pid);
  return folder !== undefined && basename(folder).startsWith(CGROUP_PREFIX) ? folder : undefined;
}

/** Pids in the group and below it. */
export function pidsIn(folder: string): number[] {
  const own = readOrEmpty(join(folder, 'cgroup.procs')).split('\n').map(Number);
  // 0 stands for the empty line, and for a process of another pid namespace.
  return [...own.filter((pid) => pid > 0), ...groupsIn(folder).flatMap(pidsIn)];
}

export function groupsIn(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name));
  } catch {
    return [];
  }
}

/** SIGKILL to every member at once, whatever its account; needs Linux 5.14. The rest is killed one by one. */
export function killCgroup(folder: string): void {
  try {
    writeFileSync(join(folder, 'cgroup.kill'), '1', { flag: 'r+' });
  } catch {
    // The group is gone, not ours, or the kernel is too old.
  }
}
