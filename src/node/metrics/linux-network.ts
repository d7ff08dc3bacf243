/** Bytes through the network interfaces of a Linux machine, each byte counted once. */
import { readFile, readlink } from 'node:fs/promises';
import path from 'node:path';
import { systemErrorCode } from '../../shared/errors.ts';
import type { InterfaceCounters, NetworkCounters } from './source.ts';
import { listFolder } from './sysfs.ts';

/**
 * Counters of the interfaces with hardware behind them: bridges, bonds, VLANs, VPNs and containers' pairs would count the
 * same bytes again. A container sees only virtual ones; there, all but the loopback count.
 */
export async function readLinuxNetwork(roots: { proc: string; sys: string }): Promise<NetworkCounters> {
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
