/** How full the filesystems on a Linux machine's own disks are, out of its mount table and statfs(2). */
import { readFile, statfs } from 'node:fs/promises';
import { type DiskUsage, MAX_HEARTBEAT_DISKS, MAX_MOUNT_LENGTH } from '../../protocol/heartbeat.ts';
import { systemErrorCode } from '../../shared/errors.ts';
import { escapeBytes } from '../../shared/text.ts';

/**
 * Filesystems that keep data on a disk of this machine. Named, rather than pseudo filesystems left out, because asking an
 * unknown one may hang (network), mount something (autofs) or always say 100 % (squashfs, iso9660).
 */
const DISK_TYPES: ReadonlySet<string> = new Set(
  'ext2 ext3 ext4 xfs btrfs zfs bcachefs f2fs jfs reiserfs nilfs2 vfat exfat ntfs ntfs3 fuseblk hfsplus apfs ubifs jffs2'.split(
    ' ',
  ),
);

interface Mount {
  /** `major:minor`, equal for all mounts of one filesystem. */
  device: string;
  /** Bytes, one character each until it is shown. */
  mount: string;
  fsType: string;
  /** `forced-ro`: the kernel went read-only underneath a mount that is meant to be writable, as ext4 does after an I/O error. */
  access: 'rw' | 'ro' | 'forced-ro';
}

interface DiskFiles {
  /** `/proc/self/mountinfo`. */
  mountinfo: string;
  /** `/etc/fstab`: where it says that a filesystem is writable, read-only is a fault. */
  fstab: string;
}

/** Reads the disks by mount point; remembers which were writable. A mount that this user may not look at is left out. */
export function createLinuxDisks({ mountinfo, fstab }: DiskFiles): () => Promise<DiskUsage[]> {
  let writable: ReadonlySet<string> = new Set();
  return async () => {
    const mounts = diskMounts(await readFile(mountinfo, 'latin1'));
    const planned = mounts.every(({ access }) => access === 'rw') ? new Map() : await readFstab(fstab);
    const isFault = (mount: Mount): boolean => {
      if (mount.access === 'forced-ro') return true;
      const plan = planned.get(mount.mount);
      return plan === 'rw' || (plan === undefined && writable.has(keyOf(mount)));
    };
    const disks = await Promise.all(
      mounts.map((mount) => readDisk(mount, mount.access === 'rw' ? 'rw' : isFault(mount) ? 'ro-fault' : 'ro')),
    );
    writable = new Set(mounts.filter((mount) => mount.access === 'rw' || writable.has(keyOf(mount))).map(keyOf));
    return fullestDisks(disks.filter((disk) => disk !== null));
  };
}

function keyOf({ device, mount, fsType }: Mount): string {
  return `${device} ${fsType} ${mount}`;
}

/** How fstab(5) wants each mount point; nothing without that file. */
async function readFstab(file: string): Promise<Map<string, 'rw' | 'ro'>> {
  const text = await readFile(file, 'latin1').catch((error: unknown) => {
    if (['ENOENT', 'EACCES'].includes(systemErrorCode(error) ?? '')) return '';
    throw error;
  });
  const fields = text
    .split('\n')
    .filter((line) => !/^\s*(#|$)/.test(line))
    .map((line) => line.trim().split(/\s+/));
  return new Map(
    fields.map(([, mount = '', , options = '']) => [
      unescapeOctal(mount),
      options.split(',').findLast((option) => option === 'ro' || option === 'rw') === 'ro' ? 'ro' : 'rw',
    ]),
  );
}

async function readDisk({ mount, fsType }: Mount, access: DiskUsage['access']): Promise<DiskUsage | null> {
  try {
    const point = Buffer.from(mount, 'latin1');
    const { bsize, blocks, bfree, bavail, files, ffree } = await statfs(point);
    return diskUsage({
      access,
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
  const overlay = lines.find((line) => line.mount === '/' && line.fsType === 'overlay');
  const overlayRoot = overlay && { device: overlay.device, mount: '/', access: overlay.access };
  const byDevice = new Map<string, Mount>();
  for (const { root, ...line } of lines) {
    if (!DISK_TYPES.has(line.fsType)) continue;
    if (overlayRoot !== undefined && root !== '/' && line.fsType !== 'btrfs') continue;
    const known = byDevice.get(line.device);
    const isShortest = known === undefined || line.mount.length < known.mount.length;
    // Written through any of its mounts, the filesystem fills up.
    const access = known?.access === 'rw' ? known.access : line.access;
    byDevice.set(line.device, { ...(isShortest ? line : known), access });
  }
  const mounts = [...byDevice.values()];
  if (overlayRoot !== undefined) mounts.push({ ...overlayRoot, fsType: 'overlay' });
  return mounts;
}

function parseMount(line: string): (Mount & { root: string }) | null {
  const [before, after] = line.split(' - ');
  const [, , device, root, mount, mountOptions = ''] = before?.split(' ') ?? [];
  const [fsType, , ownOptions = ''] = after?.split(' ') ?? [];
  if (device === undefined || root === undefined || mount === undefined || fsType === undefined) return null;
  const isForced = /(^|,)(ro|emergency_ro|shutdown)(,|$)/.test(ownOptions);
  const access = /(^|,)ro(,|$)/.test(mountOptions) ? 'ro' : isForced ? 'forced-ro' : 'rw';
  return { device, root: unescapeOctal(root), mount: unescapeOctal(mount), fsType, access };
}

/** The kernel writes blank, tab, line feed and backslash as `\040` and so on; other bytes are as they are. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** One disk as a heartbeat shows it, from the figures that every system has. */
interface DiskFigures {
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
