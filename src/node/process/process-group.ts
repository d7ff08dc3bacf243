/** The processes of one command: whether any is alive, and how to end them all. */
import { type Clock, sleep } from '../../shared/clock.ts';
import { systemErrorCode } from '../../shared/errors.ts';
import { killCgroup, pidsIn } from './cgroup.ts';
import type { ProcessFacts, ProcessTable, RunMarks } from './process-table.ts';
import { runTool } from './run-tool.ts';

/** Shortest and longest pause between two looks at a command that is being ended, ms. */
const FIRST_POLL_MS = 5;
const LONGEST_POLL_MS = 250;
/** What still lives this long after the first SIGKILL is reported as left behind, ms: another account's, or stuck in the kernel. */
const LEFT_AFTER_KILL_MS = 5000;
/** Shortest and longest pause between two looks at a process that is not our child, ms. */
const FIRST_WATCH_MS = 20;
const LONGEST_WATCH_MS = 500;

export class ProcessGroup {
  /** Pid of the leader, which is the id of the group and of the session. */
  readonly leader: number;
  /** Of the leader, from the process table; undefined if it was gone before it could be looked up. */
  readonly identity: string | undefined;
  readonly #table: ProcessTable;
  readonly #marks: RunMarks | undefined;
  /** Identities of all members ever seen, by pid: they stay known when they lose their marks. */
  readonly #seen = new Map<number, string>();

  /**
   * With `marks`, processes that have left the group count, too.
   * @throws RangeError for ids that kill(2) takes for our own group, or for every process.
   */
  constructor(leader: number, identity: string | undefined, table: ProcessTable, marks?: RunMarks) {
    if (!Number.isSafeInteger(leader) || leader <= 1)
      throw new RangeError(`${leader} is not the process group of a command`);
    this.leader = leader;
    this.identity = identity;
    this.#table = table;
    this.#marks = marks;
  }

  leaderIsAlive(): boolean {
    const facts = this.#table.find(this.leader);
    return facts !== undefined && !facts.zombie && facts.identity === this.identity;
  }

  /** Errs on the side of alive: only what was seen to be dead counts as dead. */
  isAlive(): boolean {
    return this.living().length > 0;
  }

  /** All living members. If the group answers to signals but is invisible, one nameless process stands for it. */
  living(): ProcessFacts[] {
    const answers = this.#answers();
    // Reading the whole table takes some ms.
    if (!answers && this.#marks === undefined) return [];
    const members =
      this.#marks === undefined
        ? this.#table.group(this.leader)
        : this.#table.family({ pid: this.leader, identity: this.identity }, this.#marks, this.#known());
    for (const { pid, identity } of members) this.#seen.set(pid, identity);
    // Another account's processes may be hidden from us (proc(5), hidepid).
    if (answers && !members.some(({ group }) => group === this.leader)) members.push(hidden(this.leader));
    // Zombies answer to signal 0 until their parent reaps them, which some never do.
    return members.filter(({ zombie }) => !zombie);
  }

  /** Signals only the group. False if we may not signal any member (commands run as another account through sudo). */
  signal(signal: NodeJS.Signals): boolean {
    return !this.#answers() || send(-this.leader, signal);
  }

  /** Signals all members. Returns what we may not signal, as targets for kill(2): pids, and the group as a negative number. */
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
      // The pid may have been reused since.
      if (this.#table.find(pid)?.identity === identity && !send(pid, signal)) refused.push(pid);
    }
    return refused;
  }

  /** Whether the group itself has members, dead or alive. */
  #answers(): boolean {
    const leader = this.#table.find(this.leader);
    // The kernel reuses a pid only once no group has that id: a different leader means that our group is gone.
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

/** False if it is not permitted. @throws the system's error. */
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
  /** Stops watching; the command may live on. */
  signal: AbortSignal;
  /** A sudo(8) command line with the rights to signal what we may not. */
  signalWith?: readonly [string, ...string[]] | undefined;
}

/**
 * SIGTERM to all members, SIGKILL after the grace period, then waits until none is alive. Returns the processes that could not be
 * ended; undefined if aborted.
 */
export async function terminateGroup(
  group: ProcessGroup,
  { clock, killGraceMs, signal, signalWith }: TerminateOptions,
): Promise<ProcessFacts[] | undefined> {
  const send = async (name: NodeJS.Signals): Promise<void> => {
    const refused = group.signalAll(name);
    if (refused.length === 0 || signalWith === undefined) return;
    const [sudo, ...args] = signalWith;
    await runTool(sudo, [...args, '/bin/kill', '-s', name.slice(3), '--', ...refused.map(String)]);
  };
  const killAt = clock.monotonic() + killGraceMs;
  await send('SIGTERM');
  // A stopped process gets its SIGTERM only once it continues.
  await send('SIGCONT');
  let pollMs = FIRST_POLL_MS;
  for (;;) {
    const living = group.living();
    const graceLeftMs = killAt - clock.monotonic();
    if (living.length === 0 || graceLeftMs <= -LEFT_AFTER_KILL_MS) return living;
    if (signal.aborted) return undefined;
    // Repeated on each look: a member may have forked while the signal was on its way.
    if (graceLeftMs <= 0) await send('SIGKILL');
    await sleep(clock, graceLeftMs > 0 ? Math.min(pollMs, graceLeftMs) : pollMs, signal);
    pollMs = Math.min(pollMs * 1.5, LONGEST_POLL_MS);
  }
}

/** Resolves when the leader is gone, or `signal` aborts. For processes that are not our children. */
export async function leaderGone(group: ProcessGroup, clock: Clock, signal: AbortSignal): Promise<void> {
  let pollMs = FIRST_WATCH_MS;
  while (!signal.aborted && group.leaderIsAlive()) {
    await sleep(clock, pollMs, signal);
    pollMs = Math.min(pollMs * 1.5, LONGEST_WATCH_MS);
  }
}
