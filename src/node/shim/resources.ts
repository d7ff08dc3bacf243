/**
 * Resources of commands: what they inherit from this process is what a login has, and when memory runs out, the kernel kills them before
 * fleet. Best effort: without the permissions or tools (util-linux), and on systems other than Linux, things stay as they are.
 */
import { existsSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { dirname, join } from 'node:path';
import { readOrEmpty } from '../../shared/read-file.ts';
import type { ToolResult } from '../process/run-tool.ts';
import type { CommandExit } from './messages.ts';

/** Usual limit of a login; Node.js raises its own soft limit to the hard one, and with it its children's. */
const OPEN_FILES = 1024;

/** Options of prlimit(1), by the names in proc_pid_limits(5). */
const LIMITS: Readonly<Record<string, string>> = {
  'Max cpu time': 'cpu',
  'Max file size': 'fsize',
  'Max data size': 'data',
  'Max stack size': 'stack',
  'Max core file size': 'core',
  'Max resident set': 'rss',
  'Max processes': 'nproc',
  'Max open files': 'nofile',
  'Max locked memory': 'memlock',
  'Max address space': 'as',
  'Max file locks': 'locks',
  'Max pending signals': 'sigpending',
  'Max msgqueue size': 'msgqueue',
};

type RunTool = (file: string, args: readonly string[]) => ToolResult;

/**
 * Undoes what the session that started the node has set for this process: priority, soft limits, CPU affinity. The reference is init, the
 * ancestor of logins. Hard limits stay: somebody set them on purpose.
 */
export function leaveSession(runTool: RunTool): void {
  try {
    os.setPriority(0);
  } catch {
    // Only root may raise its priority.
  }
  const self = String(process.pid);
  const limits = wantedLimits(readOrEmpty('/proc/self/limits'), readOrEmpty('/proc/1/limits'));
  if (limits.length > 0) runTool('prlimit', ['--pid', self, ...limits]);
  if (process.platform !== 'linux') return;
  runTool('ionice', ['-c', '0', '-p', self]);
  // proc_pid_stat(5), field 41: 0 is SCHED_OTHER.
  const stat = readOrEmpty('/proc/self/stat');
  if (stat.slice(stat.lastIndexOf(')') + 2).split(' ')[38] !== '0') runTool('chrt', ['--other', '-p', '0', self]);
  const processors = allowedProcessors('1');
  if (processors !== undefined && processors !== allowedProcessors('self'))
    runTool('taskset', ['-p', '-c', processors, self]);
}

/** For very many concurrent commands: this process needs some descriptors for each. */
export function raiseOpenFiles(runTool: RunTool): void {
  const hard = parseLimits(readOrEmpty('/proc/self/limits')).get('Max open files')?.hard;
  if (hard !== undefined) runTool('prlimit', ['--pid', String(process.pid), `--nofile=${formatLimit(hard)}:`]);
}

/** Options for soft limits that differ from init's, never above the hard ones. */
function wantedLimits(own: string, init: string): string[] {
  const ofInit = parseLimits(init);
  return [...parseLimits(own)].flatMap(([name, { soft, hard }]) => {
    const wanted = name === 'Max open files' ? OPEN_FILES : ofInit.get(name)?.soft;
    const value = Math.min(wanted ?? soft, hard);
    return value === soft ? [] : [`--${LIMITS[name]}=${formatLimit(value)}:`];
  });
}

function formatLimit(limit: number): string {
  return limit === Infinity ? 'unlimited' : String(limit);
}

function parseLimits(text: string): Map<string, { soft: number; hard: number }> {
  const number = (word: string | undefined): number => (word === 'unlimited' ? Infinity : Number(word));
  const limits = new Map<string, { soft: number; hard: number }>();
  for (const [, name = '', soft, hard] of text.matchAll(/^(Max [a-z ]+?) {2,}(\S+) +(\S+)/gm)) {
    if (name in LIMITS) limits.set(name, { soft: number(soft), hard: number(hard) });
  }
  return limits;
}

/** A list such as `0-3`. */
function allowedProcessors(pid: string): string | undefined {
  return /^Cpus_allowed_list:\s*(\S+)/m.exec(readOrEmpty(`/proc/${pid}/status`))?.[1];
}

/** Raise of commands' scores: they count as if they used this much more of all memory, per mille. proc_pid_oom_score_adj(5) */
const OOM_RAISE = 500;
const MAX_OOM_SCORE = 1000;
const OOM_SCORE_FILE = '/proc/self/oom_score_adj';
/** Exit code of a shell whose last command was killed by SIGKILL. */
const KILLED_EXIT_CODE = 137;

/** Calls `spawn`; the process it starts inherits a higher OOM score. */
export function spawnAsFirstVictim<T>(spawn: () => T): T {
  const own = Number(readOrEmpty(OOM_SCORE_FILE) || Number.NaN);
  // A node that must never be killed, at -1000, doesn't pass that on.
  const raised = Math.min(MAX_OOM_SCORE, Math.max(own, 0) + OOM_RAISE);
  if (Number.isNaN(own) || !setOomScore(raised)) return spawn();
  try {
    return spawn();
  } finally {
    // Returning to the original score needs no permissions.
    setOomScore(own);
  }
}

function setOomScore(value: number): boolean {
  try {
    writeFileSync(OOM_SCORE_FILE, String(value));
    return true;
  } catch {
    return false;
  }
}

/**
 * Processes that the kernel has killed because memory ran out: in the closest control group above a command that accounts for memory,
 * else on the whole machine. Undefined if the system doesn't say.
 */
export function countOomKills(cgroup: string | undefined): number | undefined {
  for (let group = cgroup; group !== undefined && group !== '/'; group = dirname(group)) {
    const events = join(group, 'memory.events');
    if (existsSync(events)) return killsIn(events);
  }
  const version1 = /^\d+:(?:[^:\n]*,)?memory(?:,[^:\n]*)?:(\/.*)$/m.exec(readOrEmpty('/proc/self/cgroup'))?.[1] ?? '/';
  return killsIn(join('/sys/fs/cgroup/memory', version1, 'memory.oom_control')) ?? killsIn('/proc/vmstat');
}

function killsIn(file: string): number | undefined {
  const count = /^oom_kill (\d+)$/m.exec(readOrEmpty(file))?.[1];
  return count === undefined ? undefined : Number(count);
}

/** Whether it ended like a process that the kernel killed, while the count rose. */
export function wasOomKilled(
  { exitCode, signal }: CommandExit,
  before: number | undefined,
  after: number | undefined,
): boolean {
  const killed = signal === 'SIGKILL' || exitCode === KILLED_EXIT_CODE;
  return killed && before !== undefined && after !== undefined && after > before;
}
