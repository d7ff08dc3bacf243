/** One disk as a heartbeat shows it, from the figures that every system has. */
import type { DiskUsage } from '../../protocol/heartbeat.ts';
import { MAX_HEARTBEAT_DISKS, MAX_MOUNT_LENGTH } from '../../protocol/heartbeat.ts';

export interface DiskFigures {
  mount: string;
  fsType: string;
  sizeBytes: number;
  usedBytes: number;
  /** What unprivileged users can still write; less than size minus used where blocks are reserved. */
  availableBytes: number;
  /** Files that there can be, and that there can still be; left out where the system does not say. */
  inodes?: { total: number; free: number };
  access?: DiskUsage['access'];
}

/** The disk, or null when it has no size (an empty card reader) or its figures make no sense. */
export function diskUsage(figures: DiskFigures): DiskUsage | null {
  const { mount, fsType, sizeBytes, usedBytes, availableBytes, inodes, access } = figures;
  const usableBytes = usedBytes + availableBytes;
  if (!(sizeBytes > 0 && usedBytes >= 0 && availableBytes >= 0 && usableBytes > 0)) return null;
  return {
    // Not in the middle of a character.
    mount: mount.slice(0, MAX_MOUNT_LENGTH).replace(/[\ud800-\udbff]$/, ''),
    fsType: fsType.slice(0, 32),
    sizeBytes,
    usedBytes,
    usedPct: Math.min(100, (usedBytes / usableBytes) * 100),
    ...inodeShare(inodes),
    ...(access === undefined ? {} : { access }),
  };
}

/** Nothing for a filesystem that makes inodes as it needs them (btrfs, vfat), which says that it has 0. */
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
