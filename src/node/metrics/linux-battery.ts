/** The charge of a Linux machine's own batteries, out of /sys/class/power_supply (kernel: sysfs-class-power). */
import path from 'node:path';
import type { Battery } from '../../protocol/heartbeat.ts';
import { listFolder, readAttribute } from './sysfs.ts';

/** Mean charge of all batteries; null without one. A mouse's or keyboard's battery (scope `Device`) is not the machine's. */
export async function readLinuxBattery(sys: string): Promise<Battery | null> {
  const folder = path.join(sys, 'class/power_supply');
  const percents: number[] = [];
  let charging = false;
  for (const name of await listFolder(folder)) {
    if ((await readAttribute(folder, name, 'type')) !== 'Battery') continue;
    if ((await readAttribute(folder, name, 'scope')) === 'Device') continue;
    const capacity = await readAttribute(folder, name, 'capacity');
    if (capacity === null || !/^\d+$/.test(capacity)) continue;
    percents.push(Math.min(100, Number(capacity)));
    charging ||= (await readAttribute(folder, name, 'status')) === 'Charging';
  }
  if (percents.length === 0) return null;
  return { percent: percents.reduce((sum, percent) => sum + percent, 0) / percents.length, charging };
}
