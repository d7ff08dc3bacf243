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
}

/** The disk, or null when it has no size (an empty card reader) or its figures make no sense. */
export function diskUsage({ mount, fsType, sizeBytes, usedBytes, availableBytes }: DiskFigures): DiskUsage | null {
  const usableBytes = usedBytes + availableBytes;
  if (!(sizeBytes > 0 && usedBytes >= 0 && availableBytes >= 0 && usableBytes > 0)) return null;
  return {
    mount: mount.slice(0, MAX_MOUNT_LENGTH).toWellFormed(),
    fsType: fsType.slice(0, 32),
    sizeBytes,
    usedBytes,
    usedPct: Math.min(100, (usedBytes / usableBytes) * 100),
  };
}

/** As many disks as a heartbeat may carry, the fullest if there are more; by mount point. */
export function fullestDisks(disks: readonly DiskUsage[]): DiskUsage[] {
  return [...disks]
    .sort((a, b) => b.usedPct - a.usedPct)
    .slice(0, MAX_HEARTBEAT_DISKS)
    .sort((a, b) => (a.mount < b.mount ? -1 : 1));
}
