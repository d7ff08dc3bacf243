/** Where figures come from: one interface, so that Linux can read files where other systems need systeminformation. */
import { type Battery, type DiskUsage, MAX_HEARTBEAT_DISKS, MAX_MOUNT_LENGTH } from '../../protocol/heartbeat.ts';

/** Time of all cores since boot, in any unit: only ratios of differences count. */
export interface CpuTimes {
  busy: number;
  total: number;
  /** What the times refer to, where that may change; times of different bases cannot be compared. */
  basis?: string;
}

export interface MemoryUsage {
  memTotalBytes: number;
  /** Without caches. */
  memUsedBytes: number;
  swapTotalBytes: number | null;
  swapUsedBytes: number | null;
}

/** Since boot. Errors and drops cover both directions, and are missing where the system doesn't report them. */
export interface InterfaceCounters {
  rxBytes: number;
  txBytes: number;
  errors?: number;
  drops?: number;
}

/** By interface name. */
export type NetworkCounters = ReadonlyMap<string, InterfaceCounters>;

/** Every call takes a new reading, rejects on failure, and resolves with null for what the machine does not have. */
export interface MetricsSource {
  readCpuTimes(): Promise<CpuTimes>;
  /** Cores this process may use, possibly a fraction, if fewer than the machine has. */
  readCpuLimitCores?(): Promise<number | null>;
  readMemory(): Promise<MemoryUsage>;
  readNetwork(): Promise<NetworkCounters>;
  readDisks(): Promise<DiskUsage[]>;
  readTemperatureC(): Promise<number | null>;
  readBattery(): Promise<Battery | null>;
}

interface DiskFigures extends Pick<DiskUsage, 'mount' | 'fsType' | 'sizeBytes' | 'usedBytes' | 'access'> {
  /** What unprivileged users can still write; less than size minus used where blocks are reserved. */
  availableBytes: number;
  inodes?: { total: number; free: number };
}

/** Null for a disk without a size (an empty card reader) or with impossible figures. */
export function diskUsage(figures: DiskFigures): DiskUsage | null {
  const { mount, fsType, sizeBytes, usedBytes, availableBytes, inodes, access } = figures;
  const usableBytes = usedBytes + availableBytes;
  if (!(sizeBytes > 0 && usedBytes >= 0 && availableBytes >= 0 && usableBytes > 0)) return null;
  return {
    // Without half a surrogate pair.
    mount: mount.slice(0, MAX_MOUNT_LENGTH).replace(/[\ud800-\udbff]$/, ''),
    fsType: fsType.slice(0, 32),
    sizeBytes,
    usedBytes,
    usedPct: Math.min(100, (usedBytes / usableBytes) * 100),
    ...inodeShare(inodes),
    ...(access !== undefined && { access }),
  };
}

/** Nothing for a filesystem that creates inodes on demand (btrfs, vfat) and reports 0. */
function inodeShare(inodes: DiskFigures['inodes']): { inodesUsedPct?: number } {
  if (inodes === undefined || !(inodes.total > 0 && inodes.free >= 0 && inodes.free <= inodes.total)) return {};
  return { inodesUsedPct: ((inodes.total - inodes.free) / inodes.total) * 100 };
}

/** As many disks as a heartbeat may carry, the fullest if there are more; by mount point. */
export function fullestDisks(disks: readonly DiskUsage[]): DiskUsage[] {
  return [...disks]
    .sort((a, b) => b.usedPct - a.usedPct)
    .slice(0, MAX_HEARTBEAT_DISKS)
    .sort((a, b) => (a.mount < b.mount ? -1 : 1));
}
