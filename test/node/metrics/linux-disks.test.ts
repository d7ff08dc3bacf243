import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { diskUsage, fullestDisks } from '../../../src/node/metrics/disk-usage.ts';
import { diskMounts, readLinuxDisks } from '../../../src/node/metrics/linux-disks.ts';

import { tempFolder } from '../../support/temp-folder.ts';

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
    { device: '8:1', mount: '/', fsType: 'ext4' },
    { device: '8:2', mount: '/mnt/with blank', fsType: 'xfs' },
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

test('any text at all is read without an error', () => {
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

test('a mount point that is not UTF-8 is asked by its bytes, and shown as no other', async (t) => {
  const folder = tempFolder(t);
  const points = ['caf\xe9', 'caf\xe8', 'caf\xc3\xa9', 'caf\\xe9'].map((name) =>
    Buffer.from(path.join(folder, name), 'latin1'),
  );
  for (const point of points) mkdirSync(point);
  const lines = points.map((point, index) =>
    line(`8:${index}`, '/', point.toString('latin1').replaceAll('\\', '\\134'), 'ext4'),
  );
  writeFileSync(path.join(folder, 'mountinfo'), lines.join('\n'), 'latin1');
  const disks = await readLinuxDisks(path.join(folder, 'mountinfo'));
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
