/**
 * Puts back what the session of the one who started the node has set of this process, since every command inherits it: priority, soft
 * limits, processors. The measure is init, from which logins descend. Nothing fails for it: where the rights or the tools (util-linux) are
 * missing, and on other systems than Linux, things stay as they are. Hard limits stay, too: somebody set them on purpose.
 */
import { readFileSync } from 'node:fs';
import os from 'node:os';
import type { ToolResult } from '../process/run-tool.ts';

/** Open files that a login may have, as systems come; Node.js raises its own limit to the hard one, and with it that of its children. */
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

export function leaveSession(runTool: RunTool): void {
  try {
    os.setPriority(0);
  } catch {
    // Only root may be less nice again.
  }
  const self = String(process.pid);
  const limits = wantedLimits(readIfThere('/proc/self/limits'), readIfThere('/proc/1/limits'));
  if (limits.length > 0) runTool('prlimit', ['--pid', self, ...limits]);
  if (process.platform !== 'linux') return;
  runTool('ionice', ['-c', '0', '-p', self]);
  // proc_pid_stat(5), field 41: 0 is SCHED_OTHER.
  const stat = readIfThere('/proc/self/stat');
  if (stat.slice(stat.lastIndexOf(')') + 2).split(' ')[38] !== '0') runTool('chrt', ['--other', '-p', '0', self]);
  const processors = allowedProcessors('1');
  if (processors !== undefined && processors !== allowedProcessors('self'))
    runTool('taskset', ['-p', '-c', processors, self]);
}

/** For a node with very many commands at once: this process needs some descriptors for each. */
export function raiseOpenFiles(runTool: RunTool): void {
  const hard = parseLimits(readIfThere('/proc/self/limits')).get('Max open files')?.hard;
  if (hard !== undefined) runTool('prlimit', ['--pid', String(process.pid), `--nofile=${textOf(hard)}:`]);
}

/** Options for what differs from `init`, both texts as of proc_pid_limits(5). No soft limit is put past its hard one. */
export function wantedLimits(own: string, init: string): string[] {
  const ofInit = parseLimits(init);
  return [...parseLimits(own)].flatMap(([name, { soft, hard }]) => {
    const wanted = name === 'Max open files' ? OPEN_FILES : ofInit.get(name)?.soft;
    if (wanted === undefined) return [];
    const value = Math.min(wanted, hard);
    return value === soft ? [] : [`--${LIMITS[name]}=${textOf(value)}:`];
  });
}

function textOf(limit: number): string {
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

/** As a list such as `0-3`. */
function allowedProcessors(pid: string): string | undefined {
  return /^Cpus_allowed_list:\s*(\S+)/m.exec(readIfThere(`/proc/${pid}/status`))?.[1];
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
