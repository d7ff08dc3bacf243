/** When memory runs out, the kernel shall take a command before fleet itself; and a run that it took shall say so. proc_pid_oom_score_adj(5) */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Commands count as if they used this much more of the memory that there is, per mille. */
const RAISE = 500;
const MOST = 1000;
const SCORE_FILE = '/proc/self/oom_score_adj';
/** Exit code of a shell whose last command was ended by SIGKILL. */
const KILLED_EXIT_CODE = 137;

/** Calls `spawn`; what it starts inherits a higher score, whoever it becomes. */
export function spawnAsFirstVictim<T>(spawn: () => T): T {
  const own = Number(readOrEmpty(SCORE_FILE) || Number.NaN);
  // A node that must never be taken, at -1000, does not make its commands so.
  const raised = Math.min(MOST, Math.max(own, 0) + RAISE);
  if (Number.isNaN(own) || !write(SCORE_FILE, raised)) return spawn();
  try {
    return spawn();
  } finally {
    // No rights are needed to go back to where it came from.
    write(SCORE_FILE, own);
  }
}

/**
 * Processes that the kernel has ended for want of memory where a command's memory counts: in the control group closest to it that keeps
 * account of memory, else on the whole machine. Undefined if the system does not say.
 */
export function countOomKills(cgroup: string | undefined): number | undefined {
  for (let group = cgroup; group !== undefined && group !== '/'; group = dirname(group)) {
    const events = join(group, 'memory.events');
    if (existsSync(events)) return killsIn(events);
  }
  return killsIn(join(memoryGroup(), 'memory.oom_control')) ?? killsIn('/proc/vmstat');
}

/** Whether it ended as what the kernel ends, while the count rose. */
export function wasOomKilled(
  { exitCode, signal }: { exitCode: number | null; signal: string | null },
  before: number | undefined,
  after: number | undefined,
): boolean {
  const killed = signal === 'SIGKILL' || exitCode === KILLED_EXIT_CODE;
  return killed && before !== undefined && after !== undefined && after > before;
}

/** Of version 1. */
function memoryGroup(): string {
  const path = /^\d+:(?:[^:\n]*,)?memory(?:,[^:\n]*)?:(\/.*)$/m.exec(readOrEmpty('/proc/self/cgroup'))?.[1] ?? '/';
  return join('/sys/fs/cgroup/memory', path);
}

function killsIn(file: string): number | undefined {
  const count = /^oom_kill (\d+)$/m.exec(readOrEmpty(file))?.[1];
  return count === undefined ? undefined : Number(count);
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function write(path: string, value: number): boolean {
  try {
    writeFileSync(path, String(value));
    return true;
  } catch {
    return false;
  }
}
