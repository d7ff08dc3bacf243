/** Usage of the filesystems on a Linux machine's own disks, from its mount table and statfs(2). */
import { readFile, statfs } from 'node:fs/promises';
import type { DiskUsage } from '../../protocol/heartbeat.ts';
import { systemErrorCode } from '../../shared/errors.ts';
import { escapeBytes } from '../../shared/text.ts';
import { diskUsage, fullestDisks } from './source.ts';

/**
 * Filesystems that store data on a disk of this machine. An allowlist, because querying an unknown one may hang (network), mount
 * something (autofs) or always report 100 % (squashfs, iso9660).
 */
const DISK_TYPES: ReadonlySet<string> = new Set([
  ...['ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'zfs', 'bcachefs', 'f2fs', 'jfs', 'reiserfs', 'nilfs2', 'ubifs', 'jffs2'],
  ...['vfat', 'exfat', 'ntfs', 'ntfs3', 'fuseblk', 'hfsplus', 'apfs'],
]);

interface Mount {
  /** `major:minor`, equal for all mounts of one filesystem. */
  device: string;
  /** Bytes, one character each. */
  mount: string;
  fsType: string;
  /** `forced-ro`: the kernel made a writable mount read-only, as ext4 does after an I/O error. */
  access: 'rw' | 'ro' | 'forced-ro';
}

/**
 * Reads /proc/self/mountinfo and /etc/fstab, and remembers which disks were writable. Read-only is a fault for those, and for disks that
 * fstab mounts writable. Mounts that this user may not query are omitted.
 */
export function createLinuxDisks(files: { mountinfo: string; fstab: string }): () => Promise<DiskUsage[]> {
  let writable: ReadonlySet<string> = new Set();
  return async () => {
    const mounts = diskMounts(await readFile(files.mountinfo, 'latin1'));
    const planned = mounts.every(({ access }) => access === 'rw') ? new Map() : await readFstab(files.fstab);
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

/** Access by mount point; empty without the file. fstab(5) */
async function readFstab(file: string): Promise<Map<string, 'rw' | 'ro'>> {
  const text = await readFile(file, 'latin1').catch((error: unknown) => {
    if (['ENOENT', 'EACCES'].includes(systemErrorCode(error) ?? '')) return '';
    throw error;
  });
  const lines = text.split('\n').filter((line) => !/^\s*(#|$)/.test(line));
  return new Map(
    lines.map((line) => {
      const [, mount = '', , options = ''] = line.trim().split(/\s+/);
      const access = options.split(',').findLast((option) => option === 'ro' || option === 'rw');
      return [unescapeOctal(mount), access === 'ro' ? 'ro' : 'rw'];
    }),
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
    // Unmounted since the table was read, or inaccessible to this user.
    if (['ENOENT', 'EACCES', 'EPERM'].includes(systemErrorCode(error) ?? '')) return null;
    throw error;
  }
}

/**
 * One mount per filesystem, at its shortest mount point. proc_pid_mountinfo(5)
 *
 * A container's root, an overlay, stands for the disk below it; files that the container runtime mounts from that disk are ignored.
 */
export function diskMounts(mountinfo: string): Mount[] {
  const lines = mountinfo.split('\n').flatMap(parseMount);
  const overlay = lines.find((line) => line.mount === '/' && line.fsType === 'overlay');
  const byDevice = new Map<string, Mount>();
  for (const { root, ...line } of lines) {
    if (!DISK_TYPES.has(line.fsType)) continue;
    if (overlay !== undefined && root !== '/' && line.fsType !== 'btrfs') continue;
    const known = byDevice.get(line.device);
    const isShortest = known === undefined || line.mount.length < known.mount.length;
    // A filesystem fills up through any of its writable mounts.
    const access = known?.access === 'rw' ? 'rw' : line.access;
    byDevice.set(line.device, { ...(isShortest ? line : known), access });
  }
  const mounts = [...byDevice.values()];
  if (overlay !== undefined) {
    mounts.push({ device: overlay.device, mount: '/', fsType: 'overlay', access: overlay.access });
  }
  return mounts;
}

function parseMount(line: string): (Mount & { root: string })[] {
  const [before, after] = line.split(' - ');
  const [, , device, root, mount, mountOptions = ''] = before?.split(' ') ?? [];
  const [fsType, , ownOptions = ''] = after?.split(' ') ?? [];
  if (device === undefined || root === undefined || mount === undefined || fsType === undefined) return [];
  const isForced = /(^|,)(ro|emergency_ro|shutdown)(,|$)/.test(ownOptions);
  const access = /(^|,)ro(,|$)/.test(mountOptions) ? 'ro' : isForced ? 'forced-ro' : 'rw';
  return [{ device, root: unescapeOctal(root), mount: unescapeOctal(mount), fsType, access }];
}

/** The kernel escapes space, tab, line feed and backslash as octal, `\040`; other bytes are verbatim. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
