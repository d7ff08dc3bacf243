/**
 * Gives each run its own control group, so that processes which leave its session or process group can still be found.
 *
 * Moving a process takes the kernel about 10 ms (an RCU grace period), which no run should wait for. A child is born in its parent's group;
 * so the shim always sits in the group of the *next* run, and moves on once that was started.
 */
import { rmdirSync, writeFileSync } from 'node:fs';
import { mkdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { CGROUP_PREFIX, groupsIn } from '../process/cgroup.ts';

/** Another shim may sweep up a new group before it is occupied. */
const ATTEMPTS = 3;

export class RunCgroups {
  readonly #base: string | undefined;
  readonly #prefix: string;
  readonly #logger: Logger;
  #count = 0;
  /** Where this process is, and the next command will be; undefined where there is no such group. */
  #seat: string | undefined;
  #moving: Promise<void> | undefined;
  /** Groups of ended runs in which something still runs, as it may. */
  readonly #leftovers = new Set<string>();

  /** `shim` makes the names unique. Does nothing where `base` is undefined or not writable. */
  constructor(shim: string, logger: Logger, base: string | undefined) {
    this.#base = base;
    this.#prefix = `${CGROUP_PREFIX}${shim.slice(0, 8)}-`;
    this.#logger = logger;
    if (base === undefined) return;
    const left = groupsIn(base).filter((folder) => folder.startsWith(join(base, CGROUP_PREFIX)));
    this.#moving = Promise.all(left.map(removeGroup)).then(() => this.#moveOn(base));
  }

  /** Calls `spawn`, which starts a process before it returns; `cgroup` is where that was born. */
  async around<T>(spawn: () => T): Promise<{ result: T; cgroup: string | undefined }> {
    while (this.#moving !== undefined) await this.#moving;
    const cgroup = this.#seat;
    const result = spawn();
    if (cgroup !== undefined && this.#base !== undefined) this.#moving = this.#moveOn(this.#base);
    return { result, cgroup };
  }

  /** The run is forgotten. What it left running on purpose continues; the group is removed later. */
  async release(cgroup: string): Promise<void> {
    this.#leftovers.add(cgroup);
    await this.#removeLeftovers();
  }

  /** Returns to the original group, and removes the seat. */
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

  async #removeLeftovers(): Promise<void> {
    while (this.#moving !== undefined) await this.#moving;
    for (const folder of this.#leftovers) if (await removeGroup(folder)) this.#leftovers.delete(folder);
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
        // Most accounts lack the permission; the other marks of a run (`RunMarks`) don't need it.
        this.#giveUp(base, error);
        break;
      }
    }
    this.#moving = undefined;
  }

  #giveUp(base: string, err: unknown): void {
    if (this.#seat === undefined) return;
    this.#logger.warn({ err }, 'runs no longer get control groups');
    try {
      writeFileSync(join(base, 'cgroup.procs'), '0');
    } catch (error) {
      this.#logger.warn({ err: error }, "the shim cannot leave a run's control group");
    }
    this.#seat = undefined;
  }
}

/** False if it is occupied. */
async function removeGroup(folder: string): Promise<boolean> {
  for (const inner of groupsIn(folder)) await removeGroup(inner);
  try {
    await rmdir(folder);
    return true;
  } catch (error) {
    return systemErrorCode(error) === 'ENOENT';
  }
}
