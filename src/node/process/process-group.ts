/** The processes of one command: whether anything of it is alive, and how to end all of it. */
import { type Clock, sleep } from '../../shared/clock.ts';
import { systemErrorCode } from '../../shared/errors.ts';
import { killCgroup, pidsIn } from './cgroup.ts';
import type { ProcessFacts, ProcessTable, RunMarks } from './process-table.ts';
import { runTool } from './run-tool.ts';

/** First and longest pause between two looks at a command that is being ended, ms. */
const FIRST_POLL_MS = 5;
const LONGEST_POLL_MS = 250;
/** What lives on this long after the first SIGKILL is named instead of waited for, ms: another account's, or stuck in the kernel. */
const LEFT_AFTER_KILL_MS = 5000;
/** The same for a process that is not our child, whose end nobody tells us. */
const FIRST_WATCH_MS = 20;
const LONGEST_WATCH_MS = 500;

export class ProcessGroup {
  /** Pid of the leader, which is the id of the group and of the session. */
  readonly leader: number;
  /** The leader's, from the process table; undefined if it was gone before anybody could look. */
  readonly identity: string | undefined;
  readonly #table: ProcessTable;
  readonly #marks: RunMarks | undefined;
  /** Identities of all that were ever seen to be of the run, by pid: what loses its marks on the way is still known. */
  readonly #seen = new Map<number, string>();

  /**
   * With `marks`, also what has left the group is looked for.
   * @throws RangeError for what kill(2) takes for our own group, or for everybody.
   */
  constructor(leader: number, identity: string | undefined, table: ProcessTable, marks?: RunMarks) {
    if (!Number.isSafeInteger(leader) || leader <= 1)
      throw new RangeError(`${leader} is no process group of a command`);
    this.leader = leader;
    this.identity = identity;
    this.#table = table;
    this.#marks = marks;
  }

  leaderIsAlive(): boolean {
    const facts = this.#table.find(this.leader);
    return facts !== undefined && !facts.zombie && facts.identity === this.identity;
  }

  /** Whether anything of it can still do something. When in doubt it can: nothing is said to be dead that was not seen to be. */
  isAlive(): boolean {
    return this.living().length > 0;
  }

  /** All that can still do something. What answers to signals but cannot be seen stands as one process without a name. */
  living(): ProcessFacts[] {
    const answers = this.#answers();
    // A look at the whole table costs some ms.
    if (!answers && this.#marks === undefined) return [];
    const members =
      this.#marks === undefined
        ? this.#table.group(this.leader)
        : this.#table.family({ pid: this.leader, identity: this.identity }, this.#marks, this.#known());
    for (const { pid, identity } of members) this.#seen.set(pid, identity);
    // Members that the table does not show at all are another user's, hidden from us (proc(5), hidepid).
    if (answers && !members.some(({ group }) => group === this.leader)) members.push(hidden(this.leader));
    // Zombies answer to signal 0 until their parent collects them, which some never do.
    return members.filter(({ zombie }) => !zombie);
  }

  /** Signals the group alone. False if this process may not signal any member (commands that run as another user through sudo). */
  signal(signal: NodeJS.Signals): boolean {
    return !this.#answers() || send(-this.leader, signal);
  }

  /** Signals all. What this process may not signal is returned: pids, and the group as a negative one, as for kill(2). */
  signalAll(signal: NodeJS.Signals): number[] {
    const { cgroup, spare = [] } = this.#marks ?? {};
    const living = this.living();
    const refused: number[] = [];
    if (living.some(({ group }) => group === this.leader) && !this.signal(signal)) refused.push(-this.leader);
    if (signal === 'SIGKILL' && cgroup !== undefined && !pidsIn(cgroup).some((pid) => spare.includes(pid))) {
      killCgroup(cgroup);
    }
    for (const { pid, group, identity } of living) {
      if (group === this.leader) continue;
      // Looked at again, since its number may have become another's.
      if (this.#table.find(pid)?.identity === identity && !send(pid, signal)) refused.push(pid);
    }
    return refused;
  }

  /** Whether the group itself has members, dead or alive. */
  #answers(): boolean {
    const leader = this.#table.find(this.leader);
    // The kernel gives a number out again only once no group bears it: another leader means that our group is gone.
    if (this.identity !== undefined && leader !== undefined && leader.identity !== this.identity) return false;
    try {
      process.kill(-this.leader, 0);
    } catch (error) {
      if (systemErrorCode(error) === 'ESRCH') return false;
    }
    return true;
  }

  #known(): ReadonlySet<number> {
    for (const [pid, identity] of this.#seen) {
      if (this.#table.find(pid)?.identity !== identity) this.#seen.delete(pid);
    }
    return new Set(this.#seen.keys());
  }
}

function hidden(leader: number): ProcessFacts {
  return { pid: leader, parent: 0, group: leader, session: leader, name: '?', zombie: false, identity: '' };
}

/** False if it is not allowed. @throws the system's error. */
function send(target: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(target, signal);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ESRCH') return true;
    if (systemErrorCode(error) === 'EPERM') return false;
    throw error;
  }
}

interface TerminateOptions {
  clock: Clock;
  /** From SIGTERM to SIGKILL, ms. */
  killGraceMs: number;
  /** Gives up watching; the command may live on. */
  signal: AbortSignal;
  /** Signals with somebody else's rights, for when ours do not suffice: pids, and groups as negative ones. */
  signalAs?: ((signal: NodeJS.Signals, targets: readonly number[]) => Promise<void>) | undefined;
}

/**
 * SIGTERM to everything, SIGKILL after the grace, and then waits until nothing of it is alive, or as good as nothing can be done: what
 * is left then is returned. Undefined if it was aborted before that.
 */
export async function terminateGroup(
  group: ProcessGroup,
  options: TerminateOptions,
): Promise<ProcessFacts[] | undefined> {
  const { clock, killGraceMs, signal, signalAs } = options;
  const send = async (name: NodeJS.Signals): Promise<void> => {
    const refused = group.signalAll(name);
    if (refused.length > 0) await signalAs?.(name, refused);
  };
  const killAt = clock.monotonic() + killGraceMs;
  await send('SIGTERM');
  // A stopped process only sees the SIGTERM once it is let go on.
  await send('SIGCONT');
  let pollMs = FIRST_POLL_MS;
  for (;;) {
    const living = group.living();
    const graceLeftMs = killAt - clock.monotonic();
    if (living.length === 0 || graceLeftMs <= -LEFT_AFTER_KILL_MS) return living;
    if (signal.aborted) return undefined;
    // Again at each look: a member may have forked while the signal was on its way.
    if (graceLeftMs <= 0) await send('SIGKILL');
    await sleep(clock, graceLeftMs > 0 ? Math.min(pollMs, graceLeftMs) : pollMs, signal);
    pollMs = Math.min(pollMs * 1.5, LONGEST_POLL_MS);
  }
}

/** Signals with another account's rights, for {@link TerminateOptions.signalAs}; `prefix` is a sudo(8) command line. */
export function signalThrough(
  prefix: readonly [string, ...string[]],
): (signal: NodeJS.Signals, targets: readonly number[]) => Promise<void> {
  const [file, ...args] = prefix;
  return async (signal, targets) => {
    await runTool(file, [...args, '/bin/kill', '-s', signal.slice(3), '--', ...targets.map(String)]);
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
