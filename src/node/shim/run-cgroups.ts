/**
 * Gives each run a control group of its own, so that whatever leaves its session or process group can still be found.
 *
 * Moving a process takes the kernel about 10 ms (an RCU grace period), which a run shall not wait for. A child is born in the group of its
 * parent; so the shim always sits in the group of the *next* run, and moves on once that has been started.
 */
import { existsSync, rmdirSync, writeFileSync } from 'node:fs';
import { mkdir, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Logger } from '../../shared/logger.ts';
import { readOrEmpty } from '../../shared/read-file.ts';
import { CGROUP_PREFIX, groupsIn } from '../process/cgroup.ts';

/** Another shim beside this one may sweep up a new group before anybody is in it. */
const ATTEMPTS = 3;

export class RunCgroups {
  readonly #base: string | undefined;
  readonly #prefix: string;
  readonly #logger: Logger;
  #count = 0;
  /** Where this process is, and the next command will be; undefined while there is no such place. */
  #seat: string | undefined;
  #moving: Promise<void> | undefined;
  /** Of ended runs that have left something running, as they may. */
  readonly #leftovers = new Set<string>();

  /** `shim` makes the names unique. Nothing is done where `base` is undefined or cannot be written. */
  constructor(shim: string, logger: Logger, base: string | undefined) {
    this.#base = base;
    this.#prefix = `${CGROUP_PREFIX}${shim.slice(0, 8)}-`;
    this.#logger = logger;
    if (base === undefined) return;
    const left = groupsIn(base).filter((folder) => folder.startsWith(join(base, CGROUP_PREFIX)));
    this.#moving = Promise.all(left.map((folder) => removeGroup(folder))).then(() => this.#moveOn(base));
  }

  /** Calls `spawn`, which starts a process before it returns; `cgroup` is where that was born. */
  async around<T>(spawn: () => T): Promise<{ result: T; cgroup: string | undefined }> {
    while (this.#moving !== undefined) await this.#moving;
    const cgroup = this.#seat;
    const result = spawn();
    if (cgroup !== undefined && this.#base !== undefined) this.#moving = this.#moveOn(this.#base);
    return { result, cgroup };
  }

  /** Nobody asks for the run any more. What it left behind on purpose goes on, and the group is removed some time after it. */
  async release(cgroup: string): Promise<void> {
    this.#leftovers.add(cgroup);
    await this.#removeLeftovers();
  }

  async #removeLeftovers(): Promise<void> {
    while (this.#moving !== undefined) await this.#moving;
    for (const folder of this.#leftovers) if (await removeGroup(folder)) this.#leftovers.delete(folder);
  }

  /** Goes back to where it came from, and takes its seat along. */
  async close(): Promise<void> {
    await this.#removeLeftovers();
    if (this.#seat === undefined || this.#base === undefined) return;
    try {
      writeFileSync(join(this.#base, 'cgroup.procs'), '0');
      rmdirSync(this.#seat);
    } catch {
      // The next shim sweeps it up.
    }
    this.#seat = undefined;
  }

  async #moveOn(base: string): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        this.#count += 1;
        const next = join(base, `${this.#prefix}${this.#count}`);
        await mkdir(next);
        await writeFile(join(next, 'cgroup.procs'), '0', { flag: 'r+' });
        this.#seat = next;
        break;
      } catch (error) {
        if (attempt < ATTEMPTS) continue;
        // Most accounts may not; the marks of a run (`RunMarks`) are found without it.
        if (this.#seat !== undefined) this.#logger.warn({ err: error }, 'runs get no control groups any more');
        this.#leave(base);
        break;
      }
    }
    this.#moving = undefined;
  }

  #leave(base: string): void {
    if (this.#seat === undefined) return;
    try {
      writeFileSync(join(base, 'cgroup.procs'), '0');
    } catch (error) {
      this.#logger.warn({ err: error }, 'the shim cannot leave the control group of a run');
    }
    this.#seat = undefined;
  }
}

/** False if something lives in it. */
async function removeGroup(folder: string): Promise<boolean> {
  for (const inner of groupsIn(folder)) await removeGroup(inner);
  try {
    await rmdir(folder);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ENOENT';
  }
}

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

function write(path: string, value: number): boolean {
  try {
    writeFileSync(path, String(value));
    return true;
  } catch {
    return false;
  }
}
