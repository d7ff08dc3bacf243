/** Joins a command and its pipes: opens both ends, starts the command, and closes what is not ours to keep. */
import { closeSync } from 'node:fs';
import os from 'node:os';
import { readOrEmpty } from '../../shared/read-file.ts';
import type { ToolResult } from '../process/run-tool.ts';
import { openForInput, openForOutput } from './fifo-ends.ts';
import { type CommandExit, type CommandLine, type RunPipes, StartFailure } from './messages.ts';
import { openPrompt } from './prompt-file.ts';
import { spawnCommand } from './spawn.ts';

interface Ends {
  readFd: number;
  writeFd: number;
}

/** Descriptors of both ends of each FIFO. */
interface OpenPipes {
  stdout: Ends;
  stderr: Ends;
  /** Null when nobody sends stdin. */
  stdin: Ends | null;
  /** What takes the place of stdin; null when nothing does. */
  promptFd: number | null;
}

/** The descriptors are the caller's to close. */
interface Launched {
  pid: number;
  exited: Promise<CommandExit>;
  stdoutFd: number;
  stderrFd: number;
  stdinFd: number | null;
}

/** `prompt` is what the command finds on its stdin, if nobody sends it. @throws the system's error; nothing is open then. */
export function openPipes(pipes: RunPipes, pathOf: (name: string) => string, prompt?: string): OpenPipes {
  const opened: Ends[] = [];
  const remember = (ends: Ends): Ends => {
    opened.push(ends);
    return ends;
  };
  try {
    return {
      stdout: remember(openForOutput(pathOf(pipes.stdout))),
      stderr: remember(openForOutput(pathOf(pipes.stderr))),
      stdin: pipes.stdin === null ? null : remember(openForInput(pathOf(pipes.stdin))),
      // The last one, so that none has to be closed after it.
      promptFd: prompt === undefined ? null : openPrompt(pathOf, prompt),
    };
  } catch (error) {
    for (const ends of opened) closeEnds(ends);
    throw error;
  }
}

function closePipes(open: OpenPipes): void {
  for (const ends of [open.stdout, open.stderr, open.stdin]) if (ends !== null) closeEnds(ends);
  if (open.promptFd !== null) closeSync(open.promptFd);
}

/**
 * The reading ends of the pipes of a command that a former shim started. Data that nobody had read is still in them as long
 * as the command holds them open. @throws the system's error; nothing is open then.
 */
export function reopenPipes(pipes: RunPipes, pathOf: (name: string) => string): { stdoutFd: number; stderrFd: number } {
  const open = openPipes({ ...pipes, stdin: null }, pathOf);
  closeSync(open.stdout.writeFd);
  closeSync(open.stderr.writeFd);
  return { stdoutFd: open.stdout.readFd, stderrFd: open.stderr.readFd };
}

/**
 * Starts the command. It holds the reading ends of its own output, too: should this process be killed, the command is not ended by
 * SIGPIPE, but waits when the pipe is full, until the next one reads on.
 * @throws StartFailure `no_such_program` or `spawn_failed`; all descriptors are closed then.
 */
export async function launch(command: CommandLine, open: OpenPipes): Promise<Launched> {
  const spawned = spawnCommand({
    argv: command.argv,
    cwd: command.cwd,
    env: command.env,
    stdin: open.stdin?.readFd ?? open.promptFd ?? 'ignore',
    stdout: open.stdout.writeFd,
    stderr: open.stderr.writeFd,
    hold: [open.stdout.readFd, open.stderr.readFd],
  });
  if (!spawned.started) {
    closePipes(open);
    const { code, message } = await spawned.failure;
    // The folder was looked at before, so what is missing is the program.
    if (code === 'ENOENT') throw new StartFailure(`no_such_program: ${command.argv[0]}`);
    if (code === 'E2BIG') throw new StartFailure(`spawn_failed: E2BIG: ${describeExcess(command)}`);
    throw new StartFailure(`spawn_failed: ${code ?? message}`);
  }
  closeSync(open.stdout.writeFd);
  closeSync(open.stderr.writeFd);
  if (open.stdin !== null) closeSync(open.stdin.readFd);
  if (open.promptFd !== null) closeSync(open.promptFd);
  const { pid, exited } = spawned;
  return {
    pid,
    exited,
    stdoutFd: open.stdout.readFd,
    stderrFd: open.stderr.readFd,
    stdinFd: open.stdin?.writeFd ?? null,
  };
}

/** Linux's limit for each string of a command (MAX_ARG_STRLEN of execve(2)), bytes with its NUL. */
const MAX_STRING_BYTES = 128 * 1024;

/** What the system refused to pass on as too much, without the values of variables. */
function describeExcess({ argv, env }: CommandLine): string {
  const variables = Object.entries(env).filter(([, value]) => value !== undefined);
  const strings: [string, number][] = [
    ...argv.map((word, index): [string, number] => [`argument ${index}`, Buffer.byteLength(word) + 1]),
    ...variables.map(([name, value]): [string, number] => [name, Buffer.byteLength(`${name}=${value}`) + 1]),
  ];
  const long = strings.find(([, bytes]) => bytes > MAX_STRING_BYTES);
  if (long !== undefined)
    return `${long[0]} takes ${long[1]} bytes; this system takes ${MAX_STRING_BYTES} (MAX_ARG_STRLEN)`;
  const total = strings.reduce((sum, [, bytes]) => sum + bytes, 0);
  return `arguments and environment take ${total} bytes; this system takes a quarter of its stack limit (ulimit -s)`;
}

function closeEnds({ readFd, writeFd }: Ends): void {
  closeSync(readFd);
  closeSync(writeFd);
}

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
  const limits = wantedLimits(readOrEmpty('/proc/self/limits'), readOrEmpty('/proc/1/limits'));
  if (limits.length > 0) runTool('prlimit', ['--pid', self, ...limits]);
  if (process.platform !== 'linux') return;
  runTool('ionice', ['-c', '0', '-p', self]);
  // proc_pid_stat(5), field 41: 0 is SCHED_OTHER.
  const stat = readOrEmpty('/proc/self/stat');
  if (stat.slice(stat.lastIndexOf(')') + 2).split(' ')[38] !== '0') runTool('chrt', ['--other', '-p', '0', self]);
  const processors = allowedProcessors('1');
  if (processors !== undefined && processors !== allowedProcessors('self'))
    runTool('taskset', ['-p', '-c', processors, self]);
}

/** For a node with very many commands at once: this process needs some descriptors for each. */
export function raiseOpenFiles(runTool: RunTool): void {
  const hard = parseLimits(readOrEmpty('/proc/self/limits')).get('Max open files')?.hard;
  if (hard !== undefined) runTool('prlimit', ['--pid', String(process.pid), `--nofile=${textOf(hard)}:`]);
}

/** Options for what differs from `init`, both texts as of proc_pid_limits(5). No soft limit is put past its hard one. */
function wantedLimits(own: string, init: string): string[] {
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
  return /^Cpus_allowed_list:\s*(\S+)/m.exec(readOrEmpty(`/proc/${pid}/status`))?.[1];
}
