/** What the operating system says about processes: enough to recognise one after a restart, and to see that a whole run is dead. */
import { existsSync, statSync } from 'node:fs';
import os from 'node:os';
import { basename } from 'node:path';
import { listOrEmpty, readOrEmpty } from '../../shared/read-file.ts';
import { pidsIn } from './cgroup.ts';
import type { ToolResult } from './run-tool.ts';

/** Length of a clock tick as proc(5) counts them, USER_HZ, ms. */
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
  /** Dead, but not yet collected by its parent: it can do nothing any more. */
  zombie: boolean;
  /** Together with the pid, tells this process from every other one before and after it on this machine. */
  identity: string;
}

/** What the processes of one run have in common, wherever they went: besides the session, and the processes that they descend from. */
export interface RunMarks {
  /** As in the variable FLEET_RUN. */
  run: string;
  /** Paths of its FIFOs. One that a process holds, at either end, is given to no other run. */
  pipes: readonly string[];
  /** Folder of its own control group, if it has one. */
  cgroup: string | undefined;
  /** Pids of fleet itself, which holds those pipes and sits in those groups, too. */
  spare: readonly number[];
}

export interface ProcessTable {
  find(pid: number): ProcessFacts | undefined;
  /** Members of the group, zombies too. */
  group(group: number): ProcessFacts[];
  /** All processes of a run, zombies too; `known` are others of which that was known before. */
  family(leader: ProcessId, marks: RunMarks, known: ReadonlySet<number>): ProcessFacts[];
  /** The oldest living leader of a group that has the file open, if the system can tell. */
  findHolder(path: string): ProcessFacts | undefined;
  /** All living processes that have one of the files open, if the system can tell. */
  holders(paths: readonly string[]): ProcessFacts[];
}

interface ProcessId {
  pid: number;
  /** Undefined if it was gone before anybody could look. */
  identity: string | undefined;
}

/** The table of this machine: /proc where there is one, else `ps`. */
export function openProcessTable(runToolSync: (file: string, args: readonly string[]) => ToolResult): ProcessTable {
  return existsSync('/proc/self/stat') ? new ProcTable() : new PsTable(runToolSync);
}

/** Linux, proc_pid_stat(5). The identity is the boot's id and the start time in clock ticks since that boot. */
export class ProcTable implements ProcessTable {
  readonly #bootId = readOrEmpty('/proc/sys/kernel/random/boot_id').trim();

  find(pid: number): ProcessFacts | undefined {
    const stat = parseProcStat(readOrEmpty(`/proc/${pid}/stat`));
    if (stat === undefined) return undefined;
    const { state, startTicks, ...rest } = stat;
    return { pid, ...rest, zombie: state === 'Z' || state === 'X', identity: `${this.#bootId}/${startTicks}` };
  }

  group(group: number): ProcessFacts[] {
    return this.#all().filter((facts) => facts.group === group);
  }

  family(leader: ProcessId, marks: RunMarks, known: ReadonlySet<number>): ProcessFacts[] {
    const { identity } = leader;
    const inCgroup = new Set(marks.cgroup === undefined ? [] : pidsIn(marks.cgroup));
    const files = new Set(marks.pipes.map(fileId).filter((id) => id !== undefined));
    const isMarked = (facts: ProcessFacts): boolean =>
      // What is older than the run's first process cannot be of the run.
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
    const file = fileId(path);
    if (file === undefined) return undefined;
    return this.#all()
      .filter(({ pid, group, zombie }) => pid === group && !zombie)
      .filter(({ pid }) => holdsOneOf(pid, new Set([file])))
      .sort((a, b) => startTicks(a) - startTicks(b))[0];
  }

  holders(paths: readonly string[]): ProcessFacts[] {
    const files = new Set(paths.map(fileId).filter((id) => id !== undefined));
    return this.#all().filter(({ pid, zombie }) => !zombie && holdsOneOf(pid, files));
  }

  #all(): ProcessFacts[] {
    return listOrEmpty('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((name) => this.find(Number(name)))
      .filter((facts) => facts !== undefined);
  }
}

/** macOS and others. The identity is the start time to the second. */
export class PsTable implements ProcessTable {
  readonly #runToolSync: (file: string, args: readonly string[]) => ToolResult;

  constructor(runToolSync: (file: string, args: readonly string[]) => ToolResult) {
    this.#runToolSync = runToolSync;
  }

  find(pid: number): ProcessFacts | undefined {
    return this.#list(['-p', String(pid)])[0];
  }

  group(group: number): ProcessFacts[] {
    return this.#list(['-A']).filter((facts) => facts.group === group);
  }

  /** `ps` shows neither open files nor, without more, the environment. */
  family(leader: ProcessId, marks: RunMarks, known: ReadonlySet<number>): ProcessFacts[] {
    return familyIn(this.#list(['-A']), leader, marks, ({ pid }) => known.has(pid));
  }

  /** `ps` does not show open files. */
  findHolder(): undefined {
    return undefined;
  }

  holders(): ProcessFacts[] {
    return [];
  }

  #list(which: readonly string[]): ProcessFacts[] {
    const { stdout } = this.#runToolSync('ps', [...which, '-o', 'pid=,ppid=,pgid=,sess=,stat=,lstart=,comm=']);
    // lstart is five words. macOS prints no number for a session, and the whole path of a program.
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

/** Those of the leader's session or group, those that are `known`, and all that descend from one of them. */
function familyIn(
  all: readonly ProcessFacts[],
  { pid: leader, identity }: ProcessId,
  { spare }: RunMarks,
  known: (facts: ProcessFacts) => boolean,
): ProcessFacts[] {
  const others = all.filter(({ pid }) => pid > 1 && !spare.includes(pid));
  const present = others.find(({ pid }) => pid === leader);
  // The kernel gives a number out again only once no session or group bears it: another leader means that ours are gone.
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

/** How long the process has been running, whatever the clocks said meanwhile, ms; undefined where the identity does not tell. */
export function processAgeMs(identity: string | undefined): number | undefined {
  const ticks = /^[0-9a-f-]+\/(?<ticks>\d+)$/.exec(identity ?? '')?.groups?.ticks;
  return ticks === undefined ? undefined : Math.max(0, os.uptime() * 1000 - Number(ticks) * TICK_MS);
}

function startTicks({ identity }: Pick<ProcessFacts, 'identity'>): number {
  return Number(identity.slice(identity.indexOf('/') + 1));
}

/** As the program was given it; nothing is seen of another account's, unless by root. */
function hasVariable(pid: number, assignment: string): boolean {
  return `\0${readOrEmpty(`/proc/${pid}/environ`)}`.includes(`\0${assignment}\0`);
}

function holdsOneOf(pid: number, files: ReadonlySet<string>): boolean {
  return listOrEmpty(`/proc/${pid}/fd`).some((fd) => files.has(fileId(`/proc/${pid}/fd/${fd}`) ?? ''));
}

interface ProcStat extends Pick<ProcessFacts, 'name' | 'parent' | 'group' | 'session'> {
  state: string;
  startTicks: string;
}

/** Fields 2 to 6 and 22 of proc_pid_stat(5). Undefined if `text` is not such a line. */
export function parseProcStat(text: string): ProcStat | undefined {
  // Field 2 is the program's name in parentheses and may itself contain blanks and parentheses.
  const fields = text
    .slice(text.lastIndexOf(')') + 1)
    .trim()
    .split(/\s+/);
  const [state, parent, group, session, startTicks] = [...fields.slice(0, 4), fields[19]];
  if (!text.includes(')') || !state || startTicks === undefined) return undefined;
  if (![parent, group, session].every((field) => /^-?\d+$/.test(field ?? '')) || !/^\d+$/.test(startTicks))
    return undefined;
  const name = text.slice(text.indexOf('(') + 1, text.lastIndexOf(')'));
  return { name, state, parent: Number(parent), group: Number(group), session: Number(session), startTicks };
}

// A process may be gone between the look at the folder and the next one, or be another user's; that is an answer, not an error.

/** The same for every name and every descriptor of one file. */
function fileId(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}
