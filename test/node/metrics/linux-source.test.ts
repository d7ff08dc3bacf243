import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLinuxSource, parseNetDev } from '../../../src/node/metrics/linux-source.ts';
import { createSysteminformationSource } from '../../../src/node/metrics/systeminformation-source.ts';
import { parseCpuTimes } from '../../../src/node/process/proc-files.ts';
import { tempTree } from './temp-tree.ts';

test('cpu times: iowait is idle, guest is not counted twice', () => {
  const stat = 'cpu  100 10 50 800 30 5 5 20 40 2\ncpu0 50 5 25 400 15 2 2 10 20 1\nintr 1\n';
  assert.deepEqual(parseCpuTimes(stat), { busy: 190, total: 1020 });
  assert.throws(() => parseCpuTimes('intr 1\n'), RangeError);
  assert.throws(() => parseCpuTimes('cpu  1 2 x 4\n'), RangeError);
});

const NET_DEV = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 9000 1 0 0 0 0 0 0 9000 1 0 0 0 0 0 0
  eth0:1234567890123 2 3 5 0 0 0 0 456 2 4 6 0 0 0 0
docker0: 77 1 0 0 0 0 0 0 78 1 0 0 0 0 0 0
`;

test('network: the table of interfaces', () => {
  const counters = parseNetDev(NET_DEV);
  assert.deepEqual([...counters.keys()], ['lo', 'eth0', 'docker0']);
  assert.deepEqual(counters.get('eth0'), {
    rxBytes: 1_234_567_890_123,
    txBytes: 456,
    errors: 7,
    drops: 11,
  });
});

test('network: interfaces without hardware count only where there are no others', async (t) => {
  const roots = async (eth0: string) => {
    const root = await tempTree(
      t,
      { 'proc/net/dev': NET_DEV, 'sys/class/net/bonding_masters': '' },
      {
        'sys/class/net/lo': '../../devices/virtual/net/lo',
        'sys/class/net/eth0': `../../devices/${eth0}/net/eth0`,
        'sys/class/net/docker0': '../../devices/virtual/net/docker0',
      },
    );
    return createLinuxSource({ proc: `${root}/proc`, sys: `${root}/sys` });
  };
  const host = await (await roots('pci0000:00')).readNetwork();
  assert.deepEqual([...host.keys()], ['eth0']);
  const container = await (await roots('virtual')).readNetwork();
  assert.deepEqual([...container.keys()], ['eth0', 'docker0']);
});

test('temperature: the hottest sensor of the CPU chip, not of the disk', async (t) => {
  const sys = await tempTree(t, {
    'class/hwmon/hwmon0/name': 'nvme\n',
    'class/hwmon/hwmon0/temp1_input': '90000\n',
    'class/hwmon/hwmon1/name': 'coretemp\n',
    'class/hwmon/hwmon1/temp1_input': '51000\n',
    'class/hwmon/hwmon1/temp2_input': '54500\n',
    'class/hwmon/hwmon1/temp3_input': '-128000\n',
    'class/hwmon/hwmon1/temp1_max': '100000\n',
    'class/thermal/thermal_zone0/type': 'x86_pkg_temp\n',
    'class/thermal/thermal_zone0/temp': '11000\n',
  });
  assert.equal(await createLinuxSource({ proc: '/proc', sys }).readTemperatureC(), 54.5);
});

test('temperature: else the thermal zone of the CPU, else the first, else none', async (t) => {
  const read = async (files: Record<string, string>) =>
    createLinuxSource({ proc: '/proc', sys: await tempTree(t, files) }).readTemperatureC();
  const first = { 'class/thermal/thermal_zone0/type': 'acpitz\n', 'class/thermal/thermal_zone0/temp': '30000\n' };
  const cpu = { 'class/thermal/thermal_zone1/type': 'cpu-thermal\n', 'class/thermal/thermal_zone1/temp': '48312\n' };
  assert.equal(await read({ ...first, ...cpu }), 48.312);
  assert.equal(await read(first), 30);
  assert.equal(await read({ 'class/thermal/cooling_device0/type': 'Processor\n' }), null);
  assert.equal(await read({}), null);
});

test('battery: the mean of the machine’s own, not of the mouse', async (t) => {
  const supply = (name: string, attributes: Record<string, string>) =>
    Object.fromEntries(Object.entries(attributes).map(([key, value]) => [`class/power_supply/${name}/${key}`, value]));
  const read = async (files: Record<string, string>) =>
    createLinuxSource({ proc: '/proc', sys: await tempTree(t, files) }).readBattery();
  const mains = supply('AC', { type: 'Mains\n', online: '1\n' });
  const mouse = supply('hidpp_battery_0', { type: 'Battery\n', scope: 'Device\n', capacity: '3\n' });
  const first = supply('BAT0', { type: 'Battery\n', capacity: '80\n', status: 'Charging\n' });
  const second = supply('BAT1', { type: 'Battery\n', capacity: '40\n', status: 'Not charging\n' });
  assert.deepEqual(await read({ ...mains, ...mouse, ...first, ...second }), { percent: 60, charging: true });
  assert.deepEqual(await read(second), { percent: 40, charging: false });
  assert.deepEqual(await read({ ...mains, ...second }), { percent: 40, charging: true }, 'kept below full on mains');
  const used = supply('BAT0', { type: 'Battery\n', capacity: '8\n', status: 'Discharging\n' });
  assert.deepEqual(await read({ ...mains, ...used }), { percent: 8, charging: false }, 'a charger that is too weak');
  assert.equal(await read({ ...mains, ...mouse }), null);
  assert.equal(await read({}), null);
});

test('battery: a large one counts for more than a small one', async (t) => {
  const pack = (name: string, capacity: number, full: Record<string, string>) =>
    Object.entries({ type: 'Battery', status: 'Discharging', capacity: String(capacity), ...full }).map(
      ([key, value]) => [`class/power_supply/${name}/${key}`, `${value}\n`],
    );
  const read = async (...packs: string[][][]) =>
    createLinuxSource({ proc: '/proc', sys: await tempTree(t, Object.fromEntries(packs.flat())) }).readBattery();
  const small = pack('BAT0', 5, { energy_full: '10000000' });
  assert.equal((await read(small, pack('BAT1', 80, { energy_full: '90000000' })))?.percent, 72.5);
  assert.equal((await read(small, pack('BAT1', 80, {})))?.percent, 42.5, 'a plain mean where a size is missing');
});

test('memory: caches, and what ZFS would return of its cache, are not used', async (t) => {
  const meminfo = (more: string) =>
    `MemTotal:        1000000 kB\nMemFree:          100000 kB\n${more}SwapTotal:         50000 kB\nSwapFree:          20000 kB\n`;
  const read = async (files: Record<string, string>) => {
    const root = await tempTree(t, files);
    return createLinuxSource({ proc: root, sys: root }).readMemory();
  };
  const available = meminfo('MemAvailable:     600000 kB\n');
  const memory = { memTotalBytes: 1_024_000_000, swapTotalBytes: 51_200_000, swapUsedBytes: 30_720_000 };
  assert.deepEqual(await read({ meminfo: available }), { ...memory, memUsedBytes: 409_600_000 });
  const arcstats = '13 1 0x01 147 39984 4 5\nname type data\nc_min 4 100000000\nsize 4 300000000\n';
  const withZfs = await read({ meminfo: available, 'spl/kstat/zfs/arcstats': arcstats });
  assert.equal(withZfs.memUsedBytes, 209_600_000);
  const old = meminfo('Buffers: 50000 kB\nCached: 200000 kB\nSlab: 50000 kB\n');
  assert.deepEqual(await read({ meminfo: old }), { ...memory, memUsedBytes: 614_400_000 }, 'before Linux 3.14');
  await assert.rejects(read({ meminfo: 'MemFree: 1 kB\n' }), RangeError);
});

test('memory agrees with systeminformation', { skip: process.platform !== 'linux' }, async (t) => {
  // Without the limits of control groups.
  const proc = await tempTree(t, {}, { meminfo: '/proc/meminfo' });
  const [byFiles, bySi] = await Promise.all([
    createLinuxSource({ proc, sys: proc }).readMemory(),
    createSysteminformationSource().readMemory(),
  ]);
  assert.deepEqual([byFiles.memTotalBytes, byFiles.swapTotalBytes], [bySi.memTotalBytes, bySi.swapTotalBytes]);
  assert.ok(Math.abs(byFiles.memUsedBytes - bySi.memUsedBytes) < byFiles.memTotalBytes / 20);
});

test('a missing /proc is a failure, not zeros', async (t) => {
  const root = await tempTree(t, {});
  const source = createLinuxSource({ proc: root, sys: root });
  await assert.rejects(source.readCpuTimes(), { code: 'ENOENT' });
  await assert.rejects(source.readMemory(), { code: 'ENOENT' });
  await assert.rejects(source.readNetwork(), { code: 'ENOENT' });
  await assert.rejects(source.readDisks(), { code: 'ENOENT' });
});
