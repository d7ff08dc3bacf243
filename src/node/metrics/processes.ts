/** The machine's processes on request: one reading at a time, reused for two seconds, so that requests cost little. */
import { readdir, readFile, readlink } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import {
  MAX_PROCESS_NAME_LENGTH,
  MOST_PROCESSES,
  type ProcessesQuery,
  type ProcessFigures,
  type ProcessSort,
} from '../../protocol/node-messages.ts';
import { type Clock, sleep } from '../../shared/clock.ts';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { escapeBytes } from '../../shared/text.ts';
import { parseCpuTimes, parseProcessStat } from '../process/proc-files.ts';
import { Probe } from './probe.ts';
import { readSystemProcesses } from './systeminformation-source.ts';

/** How long a reading is reused, ms. */
const MAX_AGE_MS = 2_000;
/** Less than the gateway's own timeout, ms. */
const DEADLINE_MS = 10_000;

/** The largest first. @throws FleetError `timeout` when they cannot be read. */
export type ReadProcesses = (query: ProcessesQuery) => Promise<ProcessFigures[]>;

/** `read` is this platform's by default. */
export function createReadProcesses({
  clock,
  logger,
  read = defaultRead(clock),
}: {
  clock: Clock;
  logger: Logger;
  read?: () => Promise<ProcessFigures[]>;
}): ReadProcesses {
  const probe = new Probe({ name: 'processes', read, maxAgeMs: MAX_AGE_MS, clock, logger });
  return async ({ limit, sort }) => {
    const processes = await probe.get(DEADLINE_MS);
    if (processes === null) {
      throw new FleetError('timeout', "cannot read the machine's processes", {
        hint: "The node's log says why, at level debug. Alternatively: fleet run NODE ps aux",
      });
    }
    const cut = (each: ProcessFigures) => ({ ...each, command: each.command.slice(0, MAX_PROCESS_NAME_LENGTH) });
    return mostUsing(processes, sort, limit).map(cut);
  };
}

function defaultRead(clock: Clock): () => Promise<ProcessFigures[]> {
  if (process.platform !== 'linux') return readSystemProcesses;
  return () => readLinuxProcesses({ clock, memTotalBytes: os.totalmem() });
}

/** At most `limit`, the largest first; ties by the other figure and then by pid, for a stable order. */
function mostUsing(processes: readonly ProcessFigures[], sort: ProcessSort, limit: number): ProcessFigures[] {
  const byCpu = (a: ProcessFigures, b: ProcessFigures): number => b.cpuPct - a.cpuPct;
  const byMem = (a: ProcessFigures, b: ProcessFigures): number => b.rssBytes - a.rssBytes;
  const [first, second] = sort === 'cpu' ? [byCpu, byMem] : [byMem, byCpu];
  return [...processes].sort((a, b) => first(a, b) || second(a, b) || a.pid - b.pid).slice(0, limit);
}

/** Period over which CPU shares are measured, ms: short to wait for, yet fifty ticks of the kernel's clock. */
const WINDOW_MS = 500;
/** Files that are read concurrently: a machine may have thousands of processes. */
const READ_AT_ONCE = 32;
/** The name of Node.js's main thread, and so of its process; the executable's name says more. */
const UNNAMED = 'MainThread';

interface LinuxProcessOptions {
  clock: Clock;
  memTotalBytes: number;
  /** `/proc` and `/etc/passwd`, or copies of them. */
  proc?: string;
  passwd?: string;
}

type ProcessStat = NonNullable<ReturnType<typeof parseProcessStat>>;

/** The top {@link MOST_PROCESSES} by CPU and by memory, without arguments and without starting `ps`. */
export async function readLinuxProcesses(options: LinuxProcessOptions): Promise<ProcessFigures[]> {
  const { clock, memTotalBytes, proc = '/proc', passwd = '/etc/passwd' } = options;
  const before = await scan(proc);
  await sleep(clock, WINDOW_MS);
  const after = await scan(proc);
  const names = userNames(await readText(passwd));
  const ticksBefore = new Map(before.stats.map((stat) => [keyOf(stat), stat.cpuTicks]));
  const totalTicks = after.totalTicks - before.totalTicks;
  const figures = await forEachInTurn(after.stats, async (stat): Promise<ProcessFigures | undefined> => {
    const status = parseStatus(await readText(path.join(proc, String(stat.pid), 'status')));
    if (status === undefined) return undefined;
    // A process that started in between has spent all of its time since then.
    const spent = Math.max(0, stat.cpuTicks - (ticksBefore.get(keyOf(stat)) ?? 0));
    return {
      pid: stat.pid,
      user: shown(names.get(status.uid) ?? status.uid),
      cpuPct: totalTicks > 0 ? Math.min(100, (spent / totalTicks) * 100) : 0,
      memPct: Math.min(100, (status.rssBytes / memTotalBytes) * 100),
      rssBytes: status.rssBytes,
      command: shown(stat.name === UNNAMED ? await programOf(proc, stat) : stat.name),
    };
  });
  return [...new Set((['cpu', 'mem'] as const).flatMap((sort) => mostUsing(figures, sort, MOST_PROCESSES)))];
}

async function scan(proc: string): Promise<{ stats: ProcessStat[]; totalTicks: number }> {
  const totalTicks = parseCpuTimes(await readFile(path.join(proc, 'stat'), 'utf8')).total;
  const pids = (await readdir(proc)).filter((name) => /^\d+$/.test(name));
  const stats = await forEachInTurn(pids, async (pid) =>
    parseProcessStat(await readText(path.join(proc, pid, 'stat'))),
  );
  return { stats, totalTicks };
}

/** Kernel threads have no memory of their own. Undefined for invalid text. proc_pid_status(5) */
function parseStatus(text: string): { uid: string; rssBytes: number } | undefined {
  const uid = /^Uid:\s+\d+\s+(\d+)/m.exec(text)?.[1];
  const rssKib = /^VmRSS:\s+(\d+) kB/m.exec(text)?.[1] ?? '0';
  return uid === undefined ? undefined : { uid, rssBytes: Number(rssKib) * 1024 };
}

/** By user id; the first name wins. */
function userNames(passwd: string): Map<string, string> {
  const names = new Map<string, string>();
  for (const line of passwd.split('\n')) {
    const [name, , uid] = line.split(':');
    if (name && uid !== undefined && !names.has(uid)) names.set(uid, name);
  }
  return names;
}

/** The executable's name where this user may see it, else the process's. */
async function programOf(proc: string, { pid, name }: ProcessStat): Promise<string> {
  const file = await readlink(path.join(proc, String(pid), 'exe'), 'latin1').catch(emptyIfGone);
  // The kernel marks an executable that was replaced since, proc_pid_exe(5).
  return path.basename(file).replace(/ \(deleted\)$/, '') || name;
}

/** Names are bytes, read as one character each. */
function shown(name: string): string {
  return escapeBytes(Buffer.from(name, 'latin1'));
}

function keyOf({ pid, startTicks }: ProcessStat): string {
  return `${pid}/${startTicks}`;
}

/** Empty when the process has exited or is hidden. */
function readText(file: string): Promise<string> {
  return readFile(file, 'latin1').catch(emptyIfGone);
}

function emptyIfGone(error: unknown): string {
  if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(systemErrorCode(error) ?? '')) return '';
  throw error;
}

async function forEachInTurn<T, R>(items: readonly T[], read: (item: T) => Promise<R | undefined>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += READ_AT_ONCE) {
    const some = await Promise.all(items.slice(at, at + READ_AT_ONCE).map(read));
    results.push(...some.filter((result) => result !== undefined));
  }
  return results;
}
