/** How full the filesystems on a Linux machine's own disks are, out of its mount table and statfs(2). */
import { readFile, statfs } from 'node:fs/promises';
import type { DiskUsage } from '../../protocol/heartbeat.ts';
import { systemErrorCode } from '../../shared/errors.ts';
import { escapeBytes } from '../../shared/os-bytes.ts';
import { diskUsage, fullestDisks } from './disk-usage.ts';

/**
 * Filesystems that keep data on a disk of this machine. Named, rather than pseudo filesystems left out, because asking an
 * unknown one may hang (network), mount something (autofs) or always say 100 % (squashfs, iso9660).
 */
const DISK_TYPES: ReadonlySet<string> = new Set(
  'ext2 ext3 ext4 xfs btrfs zfs bcachefs f2fs jfs reiserfs nilfs2 vfat exfat ntfs ntfs3 fuseblk hfsplus apfs ubifs jffs2'.split(
    ' ',
  ),
);

export interface Mount {
  /** `major:minor`, equal for all mounts of one filesystem. */
  device: string;
  mount: string;
  fsType: string;
}

/** Disks by mount point, which is bytes: one character each until it is shown. A mount that this user may not look at is left out. */
export async function readLinuxDisks(mountinfo: string): Promise<DiskUsage[]> {
  const mounts = diskMounts(await readFile(mountinfo, 'latin1'));
  const disks = await Promise.all(mounts.map(readDisk));
  return fullestDisks(disks.filter((disk) => disk !== null));
}

async function readDisk({ mount, fsType }: Mount): Promise<DiskUsage | null> {
  try {
    const point = Buffer.from(mount, 'latin1');
    const { bsize, blocks, bfree, bavail, files, ffree } = await statfs(point);
    return diskUsage({
      mount: escapeBytes(point),
      fsType,
      sizeBytes: blocks * bsize,
      usedBytes: (blocks - bfree) * bsize,
      availableBytes: bavail * bsize,
      inodes: { total: files, free: ffree },
    });
  } catch (error) {
    // Unmounted since the table was read, or behind a folder that is closed to us.
    if (['ENOENT', 'EACCES', 'EPERM'].includes(systemErrorCode(error) ?? '')) return null;
    throw error;
  }
}

/**
 * The mounts worth asking, out of /proc/self/mountinfo (proc_pid_mountinfo(5)): one for each filesystem, at its shortest
 * mount point. A container's root, an overlay, stands for the disk beneath it, and the files that the container
 * runtime mounts in from that disk do not count.
 */
export function diskMounts(mountinfo: string): Mount[] {
  const lines = mountinfo
    .split('\n')
    .map(parseMount)
    .filter((line) => line !== null);
  const overlayRoot = lines.find((line) => line.mount === '/' && line.fsType === 'overlay');
  const byDevice = new Map<string, Mount>();
  for (const { root, ...line } of lines) {
    if (!DISK_TYPES.has(line.fsType)) continue;
    if (overlayRoot !== undefined && root !== '/' && line.fsType !== 'btrfs') continue;
    const known = byDevice.get(line.device);
    if (known === undefined || line.mount.length < known.mount.length) byDevice.set(line.device, line);
  }
  const mounts = [...byDevice.values()];
  if (overlayRoot !== undefined) mounts.push({ device: overlayRoot.device, mount: '/', fsType: 'overlay' });
  return mounts;
}

function parseMount(line: string): (Mount & { root: string }) | null {
  const [before, after] = line.split(' - ');
  const [, , device, root, mount] = before?.split(' ') ?? [];
  const fsType = after?.split(' ')[0];
  if (device === undefined || root === undefined || mount === undefined || fsType === undefined) return null;
  return { device, root: unescapeOctal(root), mount: unescapeOctal(mount), fsType };
}

/** The kernel writes blank, tab, line feed and backslash as `\040` and so on; other bytes are as they are. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
