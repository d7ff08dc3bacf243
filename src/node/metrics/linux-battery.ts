/** The charge of a Linux machine's own batteries, out of /sys/class/power_supply (kernel: sysfs-class-power). */
import path from 'node:path';
import type { Battery } from '../../protocol/heartbeat.ts';
import { listFolder, readAttribute } from './sysfs.ts';

/** Charge of all batteries together; null without one. A mouse's or keyboard's battery (scope `Device`) is not the machine's. */
export async function readLinuxBattery(sys: string): Promise<Battery | null> {
  const folder = path.join(sys, 'class/power_supply');
  const packs: { percent: number; size: number | null }[] = [];
  const states = new Set<string | null>();
  let onMains = false;
  for (const name of await listFolder(folder)) {
    if ((await readAttribute(folder, name, 'type')) !== 'Battery') {
      onMains ||= (await readAttribute(folder, name, 'online')) === '1';
      continue;
    }
    if ((await readAttribute(folder, name, 'scope')) === 'Device') continue;
    const percent = wholeNumber(await readAttribute(folder, name, 'capacity'));
    if (percent === null) continue;
    const sizes = [
      await readAttribute(folder, name, 'energy_full'),
      await readAttribute(folder, name, 'charge_full'),
    ].map(wholeNumber);
    packs.push({ percent: Math.min(100, percent), size: sizes.find((size) => size !== null && size > 0) ?? null });
    states.add(await readAttribute(folder, name, 'status'));
  }
  if (packs.length === 0) return null;
  // A large battery counts for more than a small one, if the sizes are known of all.
  const isSized = packs.every(({ size }) => size !== null);
  const weights = packs.map(({ size }) => (isSized ? (size ?? 0) : 1));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const charge = packs.reduce((sum, { percent }, index) => sum + percent * (weights[index] ?? 0), 0);
  // On mains, a battery that is kept below full (`Not charging`) is not being used up either.
  const charging = states.has('Charging') || states.has('Full') || (onMains && !states.has('Discharging'));
  return { percent: charge / total, charging };
}

function wholeNumber(text: string | null): number | null {
  return text !== null && /^\d+$/.test(text) ? Number(text) : null;
}
