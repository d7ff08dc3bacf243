/** What the operating system says about processes: enough to recognise one after a restart, and to see that a whole group is dead. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import type { ToolResult } from './run-tool.ts';

export interface ProcessFacts {
  pid: number;
  /** Id of its process group. */
  group: number;
  /** Dead, but not yet collected by its parent: it can do nothing any more. */
  zombie: boolean;
  /** Together with the pid, tells this process from every other one before and after it on this machine. */
  identity: string;
}

export interface ProcessTable {
  find(pid: number): ProcessFacts | undefined;
  /** Members of the group, zombies too. */
  group(group: number): ProcessFacts[];
  /** The oldest living leader of a group that has the file open, if the system can tell. */
  findHolder(path: string): ProcessFacts | undefined;
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
    const { group, state, startTicks } = stat;
    return { pid, group, zombie: state === 'Z' || state === 'X', identity: `${this.#bootId}/${startTicks}` };
  }

  group(group: number): ProcessFacts[] {
    return this.#all().filter((facts) => facts.group === group);
  }

  findHolder(path: string): ProcessFacts | undefined {
    const file = fileId(path);
    if (file === undefined) return undefined;
    return this.#all()
      .filter(({ pid, group, zombie }) => pid === group && !zombie)
      .filter(({ pid }) => listOrEmpty(`/proc/${pid}/fd`).some((fd) => fileId(`/proc/${pid}/fd/${fd}`) === file))
      .sort((a, b) => startTicks(a) - startTicks(b))[0];
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

  /** `ps` does not show open files. */
  findHolder(): undefined {
    return undefined;
  }

  #list(which: readonly string[]): ProcessFacts[] {
    const { stdout } = this.#runToolSync('ps', [...which, '-o', 'pid=,pgid=,stat=,lstart=']);
    return [...stdout.matchAll(/^\s*(\d+)\s+(\d+)\s+(\S+)\s+(\S.*?)\s*$/gm)].map(
      ([, pid, group, state = '', identity = '']) => ({
        pid: Number(pid),
        group: Number(group),
        zombie: state.startsWith('Z'),
        identity,
      }),
    );
  }
}

function startTicks(facts: ProcessFacts): number {
  return Number(facts.identity.slice(facts.identity.indexOf('/') + 1));
}

/** Fields 3, 5 and 22 of proc_pid_stat(5). Undefined if `text` is not such a line. */
export function parseProcStat(text: string): { state: string; group: number; startTicks: string } | undefined {
  // Field 2 is the program's name in parentheses and may itself contain blanks and parentheses.
  const fields = text
    .slice(text.lastIndexOf(')') + 1)
    .trim()
    .split(/\s+/);
  const [state, group, startTicks] = [fields[0], fields[2], fields[19]];
  if (!text.includes(')') || !state || group === undefined || startTicks === undefined) return undefined;
  if (!/^-?\d+$/.test(group) || !/^\d+$/.test(startTicks)) return undefined;
  return { state, group: Number(group), startTicks };
}

// A process may be gone between the look at the folder and the next one, or be another user's; that is an answer, not an error.

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function listOrEmpty(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
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
