/**
 * The only user of systeminformation: the figures of macOS, Windows and the BSDs. It is loaded on the first call, since that takes
 * some 50 ms and 10 MB. It reports zeros on failure, so an impossible zero counts as a failure here.
 */
import os from 'node:os';
import type { Systeminformation } from 'systeminformation';
import type { ProcessFigures } from '../../protocol/node-messages.ts';
import { type CpuTimes, diskUsage, fullestDisks, type MemoryUsage, type MetricsSource } from './source.ts';

/** Not on a disk of this machine, or never changing. `df` lists these next to the disks. */
const NOT_A_DISK =
  /^(tmpfs|devtmpfs|devfs|ramfs|overlay|overlayfs|squashfs|iso9660|udf|cd9660|proc|procfs|sysfs|linprocfs|fdescfs|nullfs|autofs|nfs\d?|cifs|smbfs|smb3|afpfs|webdav|9p|fuse\..*)$/i;
/** Bridges, tunnels and containers' pairs would count the same bytes again. */
const VIRTUAL_INTERFACE = /^(veth|docker|br-|bridge|virbr|utun|tun|tap|gif|stf|awdl|llw|vEthernet)/;

const load = () => import('systeminformation');

export function createSysteminformationSource(): MetricsSource {
  return {
    readCpuTimes: async () => cpuTimes(os.cpus()),
    readMemory: async () => memoryUsage(await (await load()).mem()),
    readNetwork: async () => {
      // Names from the kernel: to find all interfaces, systeminformation runs a dozen commands.
      const names = externalInterfaces();
      const counters = names.length === 0 ? [] : await (await load()).networkStats(names.join(','));
      // An interface whose counters cannot be read has zeros.
      const read = counters.filter(({ rx_bytes, tx_bytes }) => rx_bytes > 0 || tx_bytes > 0);
      return new Map(read.map(({ iface, rx_bytes, tx_bytes }) => [iface, { rxBytes: rx_bytes, txBytes: tx_bytes }]));
    },
    readDisks: async () => fullestDisks(uniqueDisks(await (await load()).fsSize())),
    readTemperatureC: async () => {
      const { main } = await (await load()).cpuTemperature();
      return typeof main === 'number' && main > 0 && main < 150 ? main : null;
    },
    readBattery: async () => {
      const { hasBattery, percent, isCharging } = await (await load()).battery();
      return hasBattery && percent >= 0 && percent <= 100 ? { percent, charging: isCharging } : null;
    },
  };
}

/** All processes. Like `ps`, systeminformation reports shares of one core; {@link ProcessFigures} has shares of all cores. */
export async function readSystemProcesses(): Promise<ProcessFigures[]> {
  const { list } = await (await load()).processes();
  if (list.length === 0) throw new RangeError('no processes');
  return list.map(({ pid, user, cpu, mem, memRss, name }) => ({
    pid,
    user: user === '' ? null : user,
    cpuPct: Math.max(0, cpu) / os.availableParallelism(),
    memPct: Math.max(0, mem),
    rssBytes: Math.max(0, memRss) * 1024,
    command: name,
  }));
}

function cpuTimes(cpus: os.CpuInfo[]): CpuTimes {
  let busy = 0;
  let idle = 0;
  for (const { times } of cpus) {
    busy += times.user + times.nice + times.sys + times.irq;
    idle += times.idle;
  }
  if (busy + idle === 0) throw new RangeError('no cpu times');
  return { busy, total: busy + idle };
}

function memoryUsage({ total, available, swaptotal, swapused }: Systeminformation.MemData): MemoryUsage {
  if (!(total > 0) || !(available > 0)) throw new RangeError('no memory figures');
  const swapKnown = Number.isFinite(swaptotal) && Number.isFinite(swapused);
  return {
    memTotalBytes: total,
    memUsedBytes: Math.max(0, total - available),
    swapTotalBytes: swapKnown ? swaptotal : null,
    swapUsedBytes: swapKnown ? swapused : null,
  };
}

function externalInterfaces(): string[] {
  return Object.entries(os.networkInterfaces())
    .filter(([name, addresses]) => !VIRTUAL_INTERFACE.test(name) && !addresses?.every(({ internal }) => internal))
    .map(([name]) => name);
}

/** One entry per filesystem: bind mounts, and APFS volumes that share one container, count once. */
function uniqueDisks(sizes: Systeminformation.FsSizeData[]) {
  const byFilesystem = new Map<string, Systeminformation.FsSizeData>();
  for (const size of sizes) {
    if (NOT_A_DISK.test(size.type)) continue;
    const known = byFilesystem.get(size.fs);
    if (known === undefined || size.mount.length < known.mount.length) byFilesystem.set(size.fs, size);
  }
  return [...byFilesystem.values()]
    .map(({ mount, type, size, used, available }) =>
      diskUsage({ mount, fsType: type, sizeBytes: size, usedBytes: used, availableBytes: available }),
    )
    .filter((disk) => disk !== null);
}
