import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { createLinuxDisks, diskMounts } from '../../../src/node/metrics/linux-disks.ts';
import { diskUsage, fullestDisks } from '../../../src/node/metrics/source.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { tempTree } from './temp-tree.ts';

const line = (device: string, root: string, mount: string, fsType: string) =>
  `36 35 ${device} ${root} ${mount} rw,noatime master:1 - ${fsType} /dev/x rw`;

test('real disks stay, pseudo and network filesystems go', () => {
  const mounts = diskMounts(
    [
      line('0:21', '/', '/proc', 'proc'),
      line('0:5', '/', '/dev', 'devtmpfs'),
      line('0:30', '/', '/run', 'tmpfs'),
      line('8:1', '/', '/', 'ext4'),
      line('7:0', '/', '/snap/core/1', 'squashfs'),
      line('0:40', '/', '/mnt/nas', 'nfs4'),
      line('0:41', '/', '/mnt/auto', 'autofs'),
      line('0:42', '/', '/var/lib/docker/overlay2/a/merged', 'overlay'),
      line('8:2', '/', '/mnt/with\\040blank', 'xfs'),
      'garbage',
      '',
    ].join('\n'),
  );
  assert.deepEqual(mounts, [
    { device: '8:1', mount: '/', fsType: 'ext4', access: 'rw' },
    { device: '8:2', mount: '/mnt/with blank', fsType: 'xfs', access: 'rw' },
  ]);
});

test('bind mounts and subvolumes of one filesystem are one disk, at the shortest mount point', () => {
  const mounts = diskMounts(
    [
      line('0:26', '/@home', '/home', 'btrfs'),
      line('0:26', '/@', '/', 'btrfs'),
      line('8:3', '/', '/data', 'ext4'),
      line('8:3', '/sub', '/srv/www/data', 'ext4'),
    ].join('\n'),
  );
  assert.deepEqual(
    mounts.map(({ mount }) => mount),
    ['/', '/data'],
  );
});

test('in a container the overlay root counts, and files mounted in from the same disk do not', () => {
  const mounts = diskMounts(
    [
      line('0:99', '/', '/', 'overlay'),
      line('8:1', '/var/lib/docker/containers/a/hosts', '/etc/hosts', 'ext4'),
      line('8:9', '/', '/volume', 'ext4'),
    ].join('\n'),
  );
  assert.deepEqual(
    mounts.map(({ mount, fsType }) => [mount, fsType]),
    [
      ['/volume', 'ext4'],
      ['/', 'overlay'],
    ],
  );
});

test('a filesystem is writable if any of its mounts is', () => {
  const access = (...lines: [string, string, string][]) =>
    diskMounts(lines.map(([mount, options, own]) => `36 35 8:1 / ${mount} ${options} - ext4 /dev/x ${own}`).join('\n'));
  const accessOf = (...lines: [string, string, string][]) => access(...lines).map((found) => found.access);
  assert.deepEqual(accessOf(['/a', 'ro,relatime', 'ro']), ['ro']);
  assert.deepEqual(accessOf(['/a', 'ro', 'rw'], ['/a/longer', 'rw', 'rw']), ['rw'], 'a read-only bind mount');
  assert.deepEqual(accessOf(['/a', 'rw', 'ro,errors=remount-ro']), ['forced-ro'], 'the kernel gave up writing');
  assert.deepEqual(accessOf(['/a', 'rw', 'rw,errors=remount-ro']), ['rw'], 'only an option that contains ro');
  assert.deepEqual(accessOf(['/a', 'rw', 'rw,emergency_ro']), ['forced-ro']);
});

test('read-only by design is no fault; what was writable, or should be, is', async (t) => {
  const root = await tempTree(t, {
    fstab: '# /etc/fstab\n/dev/a /planned ext4 defaults,ro 0 2\n/dev/b /tmp ext4 rw 0 2\n',
  });
  const files = { mountinfo: path.join(root, 'mountinfo'), fstab: path.join(root, 'fstab') };
  const read = createLinuxDisks(files);
  // Real folders, since each is asked with statfs(2).
  const accessOf = async (mount: string, options: string, own = options, device = '8:1') => {
    await writeFile(files.mountinfo, `36 35 ${device} / ${mount} ${options} - ext4 /dev/x ${own}\n`);
    return (await read()).map(({ access }) => access);
  };
  assert.deepEqual(await accessOf('/', 'ro'), ['ro'], 'never seen writable');
  assert.deepEqual(await accessOf('/', 'rw'), ['rw']);
  assert.deepEqual(await accessOf('/', 'ro'), ['ro-fault'], 'was writable');
  assert.deepEqual(await accessOf('/', 'ro'), ['ro-fault'], 'and stays a fault');
  assert.deepEqual(await accessOf('/', 'ro', 'ro', '8:9'), ['ro'], 'another disk at the same place');
  assert.deepEqual(await accessOf('/', 'rw'), ['rw'], 'mended');
  assert.deepEqual(await accessOf('/', 'rw', 'ro'), ['ro-fault'], 'the kernel forced it');
  assert.deepEqual(await accessOf('/tmp', 'ro'), ['ro-fault'], 'fstab says writable');
  await writeFile(files.fstab, '/dev/b /tmp ext4 defaults,ro 0 2\n');
  assert.deepEqual(await accessOf('/tmp', 'rw'), ['rw']);
  assert.deepEqual(
    await accessOf('/tmp', 'ro'),
    ['ro'],
    'fstab says read-only: opened for an update, and closed again',
  );
});

test('any text is parsed without an error', () => {
  fc.assert(fc.property(fc.string(), (text) => void diskMounts(text)));
});

test('used is counted as df does, with reserved blocks taken as not there', () => {
  const disk = diskUsage({ mount: '/', fsType: 'ext4', sizeBytes: 1000, usedBytes: 450, availableBytes: 450 });
  assert.equal(disk?.usedPct, 50);
  assert.equal(diskUsage({ mount: '/', fsType: 'ext4', sizeBytes: 0, usedBytes: 0, availableBytes: 0 }), null);
  assert.equal(diskUsage({ mount: '/', fsType: 'x', sizeBytes: Number.NaN, usedBytes: 1, availableBytes: 1 }), null);
});

test('of more disks than a heartbeat carries the fullest are kept, by mount point', () => {
  const disks = Array.from({ length: 70 }, (_, index) => ({
    mount: `/disk${String(index).padStart(2, '0')}`,
    fsType: 'ext4',
    sizeBytes: 100,
    usedBytes: index,
    usedPct: index,
  }));
  const kept = fullestDisks(disks);
  assert.equal(kept.length, 64);
  assert.equal(kept[0]?.mount, '/disk06');
  assert.equal(kept.at(-1)?.mount, '/disk69');
});

test('a mount point that is not UTF-8 is queried by its bytes, and shown unambiguously', async (t) => {
  const folder = tempFolder(t);
  const points = ['caf\xe9', 'caf\xe8', 'caf\xc3\xa9', 'caf\\xe9'].map((name) =>
    Buffer.from(path.join(folder, name), 'latin1'),
  );
  for (const point of points) mkdirSync(point);
  const lines = points.map((point, index) =>
    line(`8:${index}`, '/', point.toString('latin1').replaceAll('\\', '\\134'), 'ext4'),
  );
  writeFileSync(path.join(folder, 'mountinfo'), lines.join('\n'), 'latin1');
  const disks = await createLinuxDisks({ mountinfo: path.join(folder, 'mountinfo'), fstab: '/dev/null' })();
  assert.deepEqual(disks.map(({ mount }) => path.basename(mount)).sort(), [
    'caf\\x5cxe9',
    'caf\\xe8',
    'caf\\xe9',
    'caf\u00e9',
  ]);
});

test('a long mount point is not cut in the middle of a character', () => {
  const sizes = { fsType: 'ext4', sizeBytes: 10, usedBytes: 5, availableBytes: 5 };
  const disk = diskUsage({ ...sizes, mount: `/${'x'.repeat(254)}\u{1f600}` });
  assert.equal(disk?.mount, `/${'x'.repeat(254)}`);
});
