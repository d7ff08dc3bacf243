/** The node's processes for one who asks: never two readings at once, and none anew for two seconds, so that asking costs little. */

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
import { parseCpuTimes } from './linux-source.ts';
import { Probe } from './probe.ts';
import { readSystemProcesses } from './systeminformation-source.ts';

/** How long a reading stands, ms. */
const MAX_AGE_MS = 2_000;
/** Less than the gateway waits for an answer, ms. */
const DEADLINE_MS = 10_000;

interface ProcessesDependencies {
  clock: Clock;
  logger: Logger;
  /** Where they come from; this system's own by default. */
  read?: () => Promise<ProcessFigures[]>;
}

/** The largest first. @throws FleetError `timeout` when they could not be read. */
export type ReadProcesses = (query: ProcessesQuery) => Promise<ProcessFigures[]>;

export function createReadProcesses({
  clock,
  logger,
  read = defaultRead(clock),
}: ProcessesDependencies): ReadProcesses {
  const probe = new Probe({ name: 'processes', read, maxAgeMs: MAX_AGE_MS, clock, logger });
  return async ({ limit, sort }) => {
    const processes = await probe.get(DEADLINE_MS);
    if (processes === null) {
      throw new FleetError('timeout', 'the machine does not tell its processes', {
        hint: "Why, the node's log says at the level debug. Or look with: fleet run NODE ps aux",
      });
    }
    return mostUsing(processes, sort, limit).map((each) => ({
      ...each,
      command: each.command.slice(0, MAX_PROCESS_NAME_LENGTH),
    }));
  };
}

function defaultRead(clock: Clock): () => Promise<ProcessFigures[]> {
  if (process.platform !== 'linux') return readSystemProcesses;
  return () => readLinuxProcesses({ clock, memTotalBytes: os.totalmem() });
}

/** At most `limit`, the largest first; equal ones by the other figure and then by pid, so that the order stays. */
function mostUsing(processes: readonly ProcessFigures[], sort: ProcessSort, limit: number): ProcessFigures[] {
  const byCpu = (a: ProcessFigures, b: ProcessFigures): number => b.cpuPct - a.cpuPct;
  const byMem = (a: ProcessFigures, b: ProcessFigures): number => b.rssBytes - a.rssBytes;
  const [first, second] = sort === 'cpu' ? [byCpu, byMem] : [byMem, byCpu];
  return [...processes].sort((a, b) => first(a, b) || second(a, b) || a.pid - b.pid).slice(0, limit);
}

/** Shares of the processor are over so long, ms: short to wait for, and still fifty ticks of the kernel's clock. */
const WINDOW_MS = 500;
/** Files that are read at once: a machine may have thousands of processes. */
const READ_AT_ONCE = 32;
/** Node.js calls its main thread so, and with it the process: the file that it runs says more. */
const UNNAMED = 'MainThread';

interface LinuxProcessOptions {
  clock: Clock;
  memTotalBytes: number;
  /** `/proc` and `/etc/passwd`, or copies of them. */
  proc?: string;
  passwd?: string;
}

/** What one line of proc_pid_stat(5) says. */
interface ProcessStat {
  pid: number;
  /** Tells it from an earlier process of the same number. */
  startTicks: number;
  cpuTicks: number;
  command: string;
}

/** Those that are among the {@link MOST_PROCESSES} by processor or by memory. */
export async function readLinuxProcesses(options: LinuxProcessOptions): Promise<ProcessFigures[]> {
  const { clock, memTotalBytes, proc = '/proc', passwd = '/etc/passwd' } = options;
  const before = await scan(proc);
  await sleep(clock, WINDOW_MS);
  const after = await scan(proc);
  const names = userNames(await readFile(passwd, 'latin1').catch(goneAs('')));
  const ticksBefore = new Map(before.stats.map((stat) => [keyOf(stat), stat.cpuTicks]));
  const totalTicks = after.totalTicks - before.totalTicks;
  const figures = await forEachInTurn(after.stats, async (stat): Promise<ProcessFigures | undefined> => {
    const status = parseStatus(await readFile(path.join(proc, String(stat.pid), 'status'), 'utf8').catch(goneAs('')));
    if (status === undefined) return undefined;
    // One that began in between has spent all of its time since then.
    const spent = Math.max(0, stat.cpuTicks - (ticksBefore.get(keyOf(stat)) ?? 0));
    return {
      pid: stat.pid,
      user: shown(names.get(status.uid) ?? status.uid),
      cpuPct: totalTicks > 0 ? Math.min(100, (spent / totalTicks) * 100) : 0,
      memPct: Math.min(100, (status.rssBytes / memTotalBytes) * 100),
      rssBytes: status.rssBytes,
      command: shown(stat.command === UNNAMED ? await programOf(proc, stat) : stat.command),
    };
  });
  return [...new Set((['cpu', 'mem'] as const).flatMap((sort) => mostUsing(figures, sort, MOST_PROCESSES)))];
}

async function scan(proc: string): Promise<{ stats: ProcessStat[]; totalTicks: number }> {
  const totalTicks = parseCpuTimes(await readFile(path.join(proc, 'stat'), 'utf8')).total;
  const pids = (await readdir(proc)).filter((name) => /^\d+$/.test(name));
  const stats = await forEachInTurn(pids, async (pid) =>
    parseStat(await readFile(path.join(proc, pid, 'stat'), 'latin1').catch(goneAs(''))),
  );
  return { stats, totalTicks };
}

/** Undefined if `text` is not such a line. The name is in parentheses and may itself contain blanks and parentheses. */
export function parseStat(text: string): ProcessStat | undefined {
  const match = /^(\d+) \((.*)\) [A-Za-z] (.+)$/s.exec(text.trimEnd());
  if (match === null) return undefined;
  const [, pid, command = '', rest = ''] = match;
  // From field 4 on.
  const fields = rest.split(' ').map(Number);
  const [userTicks, systemTicks, startTicks] = [fields[10], fields[11], fields[18]];
  if (userTicks === undefined || systemTicks === undefined || startTicks === undefined) return undefined;
  if (![userTicks, systemTicks, startTicks].every(Number.isFinite)) return undefined;
  return { pid: Number(pid), startTicks, cpuTicks: userTicks + systemTicks, command };
}

/** A thread of the kernel has no memory of its own. Undefined if `text` is no such file. */
function parseStatus(text: string): { uid: string; rssBytes: number } | undefined {
  const uid = /^Uid:\s+\d+\s+(\d+)/m.exec(text)?.[1];
  const rssKib = /^VmRSS:\s+(\d+) kB/m.exec(text)?.[1] ?? '0';
  return uid === undefined ? undefined : { uid, rssBytes: Number(rssKib) * 1024 };
}

/** By user id, the first name of each. */
function userNames(passwd: string): Map<string, string> {
  const names = new Map<string, string>();
  for (const line of passwd.split('\n')) {
    const [name, , uid] = line.split(':');
    if (name && uid !== undefined && !names.has(uid)) names.set(uid, name);
  }
  return names;
}

/** The name of the program's file where this user may see it, else the process' own. */
async function programOf(proc: string, { pid, command }: ProcessStat): Promise<string> {
  const file = await readlink(path.join(proc, String(pid), 'exe'), 'latin1').catch(goneAs(''));
  // The kernel marks a file that was replaced since the process began, proc_pid_exe(5).
  return path.basename(file).replace(/ \(deleted\)$/, '') || command;
}

/** Names are bytes, and read as one character each. */
function shown(name: string): string {
  return escapeBytes(Buffer.from(name, 'latin1'));
}

function keyOf({ pid, startTicks }: ProcessStat): string {
  return `${pid}/${startTicks}`;
}

/** A process may be gone between the look at the folder and the next one, or be hidden; that is an answer, not an error. */
function goneAs<T>(instead: T): (error: unknown) => T {
  return (error) => {
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(systemErrorCode(error) ?? '')) return instead;
    throw error;
  };
}

async function forEachInTurn<T, R>(items: readonly T[], read: (item: T) => Promise<R | undefined>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += READ_AT_ONCE) {
    const some = await Promise.all(items.slice(at, at + READ_AT_ONCE).map(read));
    results.push(...some.filter((result) => result !== undefined));
  }
  return results;
}
