/** The CPU's temperature on Linux, out of /sys/class/hwmon and /sys/class/thermal, both in thousandths of a degree Celsius. */
import path from 'node:path';
import { listFolder, readAttribute } from './sysfs.ts';

/** Drivers whose chip is the CPU: Intel, AMD, VIA, and the names that ARM boards give theirs. */
const CPU_CHIPS = /^(coretemp|k8temp|k10temp|zenpower|via_cputemp|cpu.*thermal|soc.*thermal|cpu_?temp)/;
const CPU_ZONES = /x86_pkg_temp|cpu|soc|package/i;

/** The hottest sensor of the CPU, °C; else the first thermal zone; null when the machine (most virtual ones) has none. */
export async function readLinuxTemperatureC(sys: string): Promise<number | null> {
  return (await hottestChipC(path.join(sys, 'class/hwmon'))) ?? (await zoneC(path.join(sys, 'class/thermal')));
}

async function hottestChipC(folder: string): Promise<number | null> {
  const temperatures: number[] = [];
  for (const chip of await listFolder(folder)) {
    if (!CPU_CHIPS.test((await readAttribute(folder, chip, 'name')) ?? '')) continue;
    for (const file of await listFolder(path.join(folder, chip))) {
      if (!/^temp\d+_input$/.test(file)) continue;
      const value = celsius(await readAttribute(folder, chip, file));
      if (value !== null) temperatures.push(value);
    }
  }
  return temperatures.length === 0 ? null : Math.max(...temperatures);
}

async function zoneC(folder: string): Promise<number | null> {
  const zones = (await listFolder(folder)).filter((name) => name.startsWith('thermal_zone'));
  const types = await Promise.all(zones.map((zone) => readAttribute(folder, zone, 'type')));
  const cpuZone = types.findIndex((type) => CPU_ZONES.test(type ?? ''));
  const zone = zones[cpuZone === -1 ? 0 : cpuZone];
  return zone === undefined ? null : celsius(await readAttribute(folder, zone, 'temp'));
}

/** Null for what no running CPU has: drivers answer such figures for sensors that are not wired. */
function celsius(millidegrees: string | null): number | null {
  if (millidegrees === null || !/^-?\d+$/.test(millidegrees)) return null;
  const value = Number(millidegrees) / 1000;
  return value > -60 && value < 150 ? value : null;
}
