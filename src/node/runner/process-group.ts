/** One command's process group: whether anything of it is alive, and how to end all of it. */
import { type Clock, sleep } from '../../shared/clock.ts';
import { systemErrorCode } from '../../shared/errors.ts';
import type { ProcessTable } from './process-table.ts';
import { runTool } from './run-tool.ts';

/** First and longest pause between two looks at a group that is being ended, ms. */
const FIRST_POLL_MS = 5;
const LONGEST_POLL_MS = 250;
/** The same for a process that is not our child, whose end nobody tells us. */
const FIRST_WATCH_MS = 20;
const LONGEST_WATCH_MS = 500;

export class ProcessGroup {
  /** Pid of the leader, which is the id of the group and of the session. */
  readonly leader: number;
  /** The leader's, from the process table; undefined if it was gone before anybody could look. */
  readonly identity: string | undefined;
  readonly #table: ProcessTable;

  /** @throws RangeError for what kill(2) takes for our own group, or for everybody. */
  constructor(leader: number, identity: string | undefined, table: ProcessTable) {
    if (!Number.isSafeInteger(leader) || leader <= 1)
      throw new RangeError(`${leader} is no process group of a command`);
    this.leader = leader;
    this.identity = identity;
    this.#table = table;
  }

  leaderIsAlive(): boolean {
    const facts = this.#table.find(this.leader);
    return facts !== undefined && !facts.zombie && facts.identity === this.identity;
  }

  /** Whether a member can still do something. When in doubt it can: nothing is said to be dead that was not seen to be. */
  isAlive(): boolean {
    const leader = this.#table.find(this.leader);
    // The kernel gives a number out again only once no group bears it: another leader means that our group is gone.
    if (this.identity !== undefined && leader !== undefined && leader.identity !== this.identity) return false;
    try {
      process.kill(-this.leader, 0);
    } catch (error) {
      if (systemErrorCode(error) === 'ESRCH') return false;
    }
    // Zombies answer to signal 0 until their parent collects them, which some never do. Members that the table does not show at
    // all are another user's, hidden from us (proc(5), hidepid).
    const members = this.#table.group(this.leader);
    return members.length === 0 || members.some((facts) => !facts.zombie);
  }

  /** False if this process may not signal any member (commands that run as another user through sudo). */
  signal(signal: NodeJS.Signals): boolean {
    if (!this.isAlive()) return true;
    try {
      process.kill(-this.leader, signal);
      return true;
    } catch (error) {
      if (systemErrorCode(error) === 'ESRCH') return true;
      if (systemErrorCode(error) === 'EPERM') return false;
      throw error;
    }
  }
}

export interface TerminateOptions {
  clock: Clock;
  /** From SIGTERM to SIGKILL, ms. */
  killGraceMs: number;
  /** Gives up watching; the group may live on. */
  signal: AbortSignal;
  /** Signals the group with somebody else's rights, for when ours do not suffice. */
  signalAs?: ((signal: NodeJS.Signals) => Promise<void>) | undefined;
}

/**
 * SIGTERM to the whole group, SIGKILL after the grace, and then waits for as long as it takes until nothing of it is alive.
 * False if it was aborted before that.
 */
export async function terminateGroup(group: ProcessGroup, options: TerminateOptions): Promise<boolean> {
  const { clock, killGraceMs, signal, signalAs } = options;
  const send = async (name: NodeJS.Signals): Promise<void> => {
    if (!group.signal(name)) await signalAs?.(name);
  };
  const killAt = clock.monotonic() + killGraceMs;
  await send('SIGTERM');
  // A stopped process only sees the SIGTERM once it is let go on.
  await send('SIGCONT');
  let pollMs = FIRST_POLL_MS;
  while (group.isAlive()) {
    if (signal.aborted) return false;
    const graceLeftMs = killAt - clock.monotonic();
    // Again at each look: a member may have forked while the signal was on its way.
    if (graceLeftMs <= 0) await send('SIGKILL');
    await sleep(clock, graceLeftMs > 0 ? Math.min(pollMs, graceLeftMs) : pollMs, signal);
    pollMs = Math.min(pollMs * 1.5, LONGEST_POLL_MS);
  }
  return true;
}

/** Signals a group with another account's rights, for {@link TerminateOptions.signalAs}; `prefix` is a sudo(8) command line. */
export function signalThrough(
  prefix: readonly [string, ...string[]],
  group: number,
): (signal: NodeJS.Signals) => Promise<void> {
  const [file, ...args] = prefix;
  return async (signal) => {
    await runTool(file, [...args, '/bin/kill', '-s', signal.slice(3), '--', `-${group}`]);
  };
}

/** Resolves when the leader is gone, or at once when `signal` aborts. For processes that are not our children. */
export async function leaderGone(group: ProcessGroup, clock: Clock, signal: AbortSignal): Promise<void> {
  let pollMs = FIRST_WATCH_MS;
  while (!signal.aborted && group.leaderIsAlive()) {
    await sleep(clock, pollMs, signal);
    pollMs = Math.min(pollMs * 1.5, LONGEST_WATCH_MS);
  }
}
