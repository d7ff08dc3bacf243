import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLinuxSource } from '../../../src/node/metrics/linux-source.ts';
import { createSysteminformationSource } from '../../../src/node/metrics/systeminformation-source.ts';

const source = createSysteminformationSource();

test('figures of this machine are sane', async () => {
  const memory = await source.readMemory();
  assert.ok(memory.memUsedBytes > 0 && memory.memUsedBytes < memory.memTotalBytes);
  const cpu = await source.readCpuTimes();
  assert.ok(cpu.busy > 0 && cpu.busy <= cpu.total);
  for (const { rxBytes, txBytes } of (await source.readNetwork()).values()) assert.ok(rxBytes >= 0 && txBytes >= 0);
  const temperatureC = await source.readTemperatureC();
  assert.ok(temperatureC === null || (temperatureC > 0 && temperatureC < 150));
  const battery = await source.readBattery();
  assert.ok(battery === null || (battery.percent >= 0 && battery.percent <= 100));
});

if (process.platform === 'linux') {
  test('agrees with the files of a Linux machine', async () => {
    const files = createLinuxSource();
    const bySi = await source.readDisks();
    // A container's overlay root is left out here: systeminformation serves systems that have no such thing.
    const byFiles = (await files.readDisks()).filter((disk) => disk.fsType !== 'overlay');
    const shape = (disks: typeof bySi) => disks.map(({ mount, fsType, sizeBytes }) => ({ mount, fsType, sizeBytes }));
    assert.deepEqual(shape(bySi.filter(({ mount }) => byFiles.some((disk) => disk.mount === mount))), shape(byFiles));
  });
}
