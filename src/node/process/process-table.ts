/** What the operating system knows about processes: enough to recognize one after a restart, and to see that a whole run is dead. */
import { existsSync, statSync } from 'node:fs';
import os from 'node:os';
import { basename } from 'node:path';
import { listOrEmpty, readOrEmpty } from '../../shared/read-file.ts';
import { pidsIn } from './cgroup.ts';
import { parseProcessStat } from './proc-files.ts';
import { runToolSync } from './run-tool.ts';

/** Length of a clock tick in proc(5), USER_HZ, ms. */
const TICK_MS = 10;

export interface ProcessFacts {
  pid: number;
  parent: number;
  /** Id of its process group. */
  group: number;
  /** Id of its session; 0 if the system does not say. */
  session: number;
  /** Of the program; at most 15 bytes on Linux. */
  name: string;
  /** Dead, but not yet reaped by its parent. */
  zombie: boolean;
  /** With the pid, distinguishes this process from every other one on this machine, past or future. */
  identity: string;
}

/** How the processes of a run are recognized once they have left its session and its process tree. */
export interface RunMarks {
  /** As in the variable FLEET_RUN. */
  run: string;
  /** Paths of its FIFOs. While any process holds one, it is not reused for another run. */
  pipes: readonly string[];
  /** Folder of its own control group, if it has one. */
  cgroup: string | undefined;
  /** Pids of fleet itself, which also holds those pipes and sits in those groups. */
  spare: readonly number[];
}

export interface ProcessTable {
  find(pid: number): ProcessFacts | undefined;
  /** Members of the group, including zombies. */
  group(group: number): ProcessFacts[];
  /** All processes of a run, including zombies; `known` are pids already known to belong to it. */
  family(leader: ProcessId, marks: RunMarks, known: ReadonlySet<number>): ProcessFacts[];
  /** The oldest living group leader that has the file open, where the system can tell. */
  findHolder(path: string): ProcessFacts | undefined;
  /** All living processes that have one of the files open, where the system can tell. */
  holders(paths: readonly string[]): ProcessFacts[];
}

interface ProcessId {
  pid: number;
  /** Undefined if the process was gone before it could be looked up. */
  identity: string | undefined;
}

/** The table of this machine: /proc where there is one, otherwise `ps`. */
export function openProcessTable(): ProcessTable {
  return existsSync('/proc/self/stat') ? new ProcTable() : new PsTable();
}

/** Linux. The identity is the boot id and the start time in clock ticks since boot. */
export class ProcTable implements ProcessTable {
  readonly #bootId = readOrEmpty('/proc/sys/kernel/random/boot_id').trim();

  find(pid: number): ProcessFacts | undefined {
    const stat = parseProcessStat(readOrEmpty(`/proc/${pid}/stat`));
    if (stat === undefined) return undefined;
    const { parent, group, session, name, state, startTicks } = stat;
    const zombie = state === 'Z' || state === 'X';
    return { pid, parent, group, session, name, zombie, identity: `${this.#bootId}/${startTicks}` };
  }

  group(group: number): ProcessFacts[] {
    return this.#all().filter((facts) => facts.group === group);
  }

  family(leader: ProcessId, marks: RunMarks, known: ReadonlySet<number>): ProcessFacts[] {
    const { identity } = leader;
    const inCgroup = new Set(marks.cgroup === undefined ? [] : pidsIn(marks.cgroup));
    const files = fileIds(marks.pipes);
    const isMarked = (facts: ProcessFacts): boolean =>
      // Nothing older than the run's first process can belong to the run.
      (identity === undefined || startTicks(facts) >= startTicks({ identity })) &&
      (hasVariable(facts.pid, `FLEET_RUN=${marks.run}`) || holdsOneOf(facts.pid, files));
    return familyIn(
      this.#all(),
      leader,
      marks,
      (facts) => known.has(facts.pid) || inCgroup.has(facts.pid) || isMarked(facts),
    );
  }

  findHolder(path: string): ProcessFacts | undefined {
    const leaders = this.holders([path]).filter(({ pid, group }) => pid === group);
    return leaders.sort((a, b) => startTicks(a) - startTicks(b))[0];
  }

  holders(paths: readonly string[]): ProcessFacts[] {
    const files = fileIds(paths);
    return files.size === 0 ? [] : this.#all().filter(({ pid, zombie }) => !zombie && holdsOneOf(pid, files));
  }

  #all(): ProcessFacts[] {
    const pids = listOrEmpty('/proc').filter((name) => /^\d+$/.test(name));
    return pids.map((pid) => this.find(Number(pid))).filter((facts) => facts !== undefined);
  }
}

/** macOS and others. The identity is the start time to the second; open files and environments are not visible. */
export class PsTable implements ProcessTable {
  find(pid: number): ProcessFacts | undefined {
    return this.#list('-p', String(pid))[0];
  }

  group(group: number): ProcessFacts[] {
    return this.#list('-A').filter((facts) => facts.group === group);
  }

  family(leader: ProcessId, marks: RunMarks, known: ReadonlySet<number>): ProcessFacts[] {
    return familyIn(this.#list('-A'), leader, marks, ({ pid }) => known.has(pid));
  }

  findHolder(): undefined {
    return undefined;
  }

  holders(): ProcessFacts[] {
    return [];
  }

  #list(...which: readonly string[]): ProcessFacts[] {
    const { stdout } = runToolSync('ps', [...which, '-o', 'pid=,ppid=,pgid=,sess=,stat=,lstart=,comm=']);
    // lstart is five words. macOS prints an address as the session, and the full path of the program.
    const line = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(\S+)\s+(\S+(?:\s+\S+){4})\s+(\S.*?)\s*$/gm;
    return [...stdout.matchAll(line)].map(
      ([, pid, parent, group, session, state = '', identity = '', command = '']) => ({
        pid: Number(pid),
        parent: Number(parent),
        group: Number(group),
        session: /^\d+$/.test(session ?? '') ? Number(session) : 0,
        name: basename(command),
        zombie: state.startsWith('Z'),
        identity,
      }),
    );
  }
}

/** Members of the leader's session or group, those that are `known`, and all their descendants. */
function familyIn(
  all: readonly ProcessFacts[],
  { pid: leader, identity }: ProcessId,
  { spare }: RunMarks,
  known: (facts: ProcessFacts) => boolean,
): ProcessFacts[] {
  const others = all.filter(({ pid }) => pid > 1 && !spare.includes(pid));
  const present = others.find(({ pid }) => pid === leader);
  // The kernel reuses a pid only once no session or group has that id: a different leader means that ours are gone.
  const isLed = identity === undefined || present === undefined || present.identity === identity;
  const isOwn = (facts: ProcessFacts): boolean =>
    (isLed && (facts.session === leader || facts.group === leader)) || known(facts);
  const family = new Map(others.filter(isOwn).map((facts) => [facts.pid, facts]));
  for (let before = -1; before < family.size; ) {
    before = family.size;
    for (const facts of others) if (family.has(facts.parent)) family.set(facts.pid, facts);
  }
  return [...family.values()];
}

/** How long the process has been running, unaffected by changes of the clock, ms; undefined if the identity does not say. */
export function processAgeMs(identity: string | undefined): number | undefined {
  const ticks = /^[0-9a-f-]+\/(?<ticks>\d+)$/.exec(identity ?? '')?.groups?.ticks;
  return ticks === undefined ? undefined : Math.max(0, os.uptime() * 1000 - Number(ticks) * TICK_MS);
}

/** The name of a process in printable ASCII: programs choose theirs freely. */
export function printableName({ name }: Pick<ProcessFacts, 'name'>): string {
  return name.replace(/[^\x20-\x7e]|[;,]/g, '?');
}

function startTicks({ identity }: Pick<ProcessFacts, 'identity'>): number {
  return Number(identity.slice(identity.indexOf('/') + 1));
}

/** In the environment that the program was started with; only root can read that of other accounts. */
function hasVariable(pid: number, assignment: string): boolean {
  return `\0${readOrEmpty(`/proc/${pid}/environ`)}`.includes(`\0${assignment}\0`);
}

function holdsOneOf(pid: number, files: ReadonlySet<string>): boolean {
  return listOrEmpty(`/proc/${pid}/fd`).some((fd) => files.has(fileId(`/proc/${pid}/fd/${fd}`) ?? ''));
}

function fileIds(paths: readonly string[]): ReadonlySet<string> {
  return new Set(paths.map(fileId).filter((id) => id !== undefined));
}

/** The same for every name and every descriptor of one file. */
function fileId(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}
