/** Plans what is executed for a run: its `kind` decides program, stdin and output format; its user decides rights and environment. */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import type { StartedAgent } from '../../domain/agent/agent-spec.ts';
import type { RunSpec, ShellSpec } from '../../protocol/run-spec.ts';
import { systemErrorCode } from '../../shared/errors.ts';
import { DEFAULT_PATH, loginEnvironment, loginShell, type UserAccount } from '../../shared/login-environment.ts';
import { StartFailure } from '../shim/messages.ts';

type Argv = readonly [string, ...string[]];

/** What a run's kind decides. */
export interface Program {
  argv: Argv;
  /** The content of stdin, unless stdin is sent by someone. */
  input?: string | undefined;
}

/** How runs of one kind are executed. */
export interface Planner<Spec extends RunSpec> {
  /** The spec with this node's defaults. @throws FleetError if this node cannot execute it. */
  complete(spec: Spec): Spec;
  /** @throws StartFailure */
  program(spec: Spec): Promise<Program>;
  /** How stdout is to be read, for the log's first frame; undefined for plain bytes. */
  output(spec: Spec): StartedAgent | undefined;
  /** Waits for the run's turn: resolves with a function that ends the turn; undefined if `signal` aborts first. Without it, runs never wait. */
  takeTurn?(spec: Spec, signal: AbortSignal): Promise<(() => void) | undefined>;
  /** Takes a turn for a run that a former process started. */
  resumeTurn?(spec: Spec): () => void;
}

export type Planners = { [Kind in RunSpec['kind']]: Planner<Extract<RunSpec, { kind: Kind }>> };

export function plannerOf(planners: Planners, { kind }: RunSpec): Planner<RunSpec> {
  return planners[kind] as Planner<RunSpec>;
}

/** One string for the shell, as with sshd. */
export function createShellPlanner(shell: string): Planner<ShellSpec> {
  return {
    complete: (spec) => spec,
    output: () => undefined,
    program: async ({ command }) => {
      try {
        await access(shell, constants.X_OK);
      } catch (error) {
        throw new StartFailure(`no_such_shell: ${shell} (${systemErrorCode(error) ?? 'unknown'})`);
      }
      return { argv: [shell, '-c', command] };
    },
  };
}

/** Exactly what is executed. */
export interface Plan extends Program {
  cwd: string;
  env: NodeJS.ProcessEnv;
  /** A sudo command line, if signals to the command's processes need it. */
  signalWith?: Argv;
}

export interface PlanHost {
  planners: Planners;
  /** Default working folder. */
  homeFolder: string;
  /** Environment of commands that run as the node's own user. */
  baseEnv: NodeJS.ProcessEnv;
  /** Variables from the node's config, for every user; already part of `baseEnv`. */
  addedEnv?: Readonly<Record<string, string>> | undefined;
  currentUid: number;
  findUser(name: string): Promise<UserAccount | undefined>;
}

/** @throws StartFailure `no_such_user`, `no_such_folder`, `no_such_shell`, `no_such_agent`, `no_such_program` or `spawn_failed`. */
export async function planRun(spec: RunSpec, host: PlanHost): Promise<Plan> {
  // Looked up concurrently: each lookup is a trip through the thread pool, and a folder may be on a server that hangs.
  const ownFolder = spec.user === undefined ? chooseFolder(spec.cwd, host.homeFolder) : undefined;
  ownFolder?.catch(() => {});
  const { argv, input } = await plannerOf(host.planners, spec).program(spec);
  const user = spec.user === undefined ? undefined : await host.findUser(spec.user);
  if (spec.user !== undefined && user === undefined) throw new StartFailure(`no_such_user: ${spec.user}`);
  const own = { ...spec.env, FLEET_NODE: spec.node, FLEET_JOB: spec.job, FLEET_RUN: spec.run };
  // Commands inherit two descriptors, about which LVM's tools complain on stderr.
  const base = { LVM_SUPPRESS_FD_WARNINGS: '1', ...host.baseEnv };
  if (user === undefined || user.uid === host.currentUid) {
    const cwd = await (ownFolder ?? chooseFolder(spec.cwd, host.homeFolder));
    return { argv, input, cwd, env: { ...base, ...own } };
  }
  // Never in the run's own PATH: these tools are started with the rights of this process.
  const toolPath = `${DEFAULT_PATH}:${host.baseEnv.PATH ?? ''}`;
  const setpriv = host.currentUid === 0 ? await findProgram('setpriv', toolPath) : undefined;
  if (setpriv !== undefined) {
    // The runtime folder is per user.
    const userEnv = { ...base, XDG_RUNTIME_DIR: undefined, ...loginEnvironment(user), ...host.addedEnv };
    return {
      argv: [...setprivArgv(setpriv, user), ...setEnvironmentArgv(Object.keys(own)), ...argv],
      input,
      cwd: await chooseFolder(spec.cwd, user.home),
      env: { ...userEnv, ...carried(own) },
    };
  }
  const sudo = await findProgram('sudo', toolPath);
  if (sudo === undefined) {
    throw new StartFailure(`spawn_failed: sudo is needed to run as ${user.name}, and is not installed`);
  }
  return {
    argv: sudoArgv(sudo, user, Object.keys(own), resolve(user.home, spec.cwd ?? '.'), argv),
    input,
    cwd: '/',
    env: { ...base, ...own },
    signalWith: [sudo, '-n', '-u', user.name, '--'],
  };
}

/**
 * setpriv(1) rather than runuser(1), because it execs the command, so a signal that ends the command is seen as such; runuser stays in
 * between, prints "Killed" to the command's stderr and turns the signal into exit code 137.
 */
function setprivArgv(setpriv: string, user: UserAccount): [string, ...string[]] {
  return [setpriv, '--reuid', String(user.uid), '--regid', String(user.gid), '--init-groups', '--'];
}

/** Prefix of the run's own variables until the rights are dropped. */
const CARRIED_PREFIX = 'FLEET_SET_';

function carried(env: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).map(([name, value]) => [CARRIED_PREFIX + name, value]));
}

/**
 * Renames the run's own variables once the rights are dropped: LD_PRELOAD must not be loaded into setpriv as root. Values never appear on a
 * command line, as env(1) would need, because `ps` shows them to everyone. Names are valid in a shell (`runSpecSchema`); for the few that a
 * shell reserves, it says so and exits with 2.
 */
function setEnvironmentArgv(names: readonly string[]): string[] {
  const step = `eval "$1=\\$${CARRIED_PREFIX}$1; export $1; unset ${CARRIED_PREFIX}$1"; shift`;
  const script = `while [ "$1" != -- ]; do ${step}; done; shift; exec "$@"`;
  // Shortest first, so that a name with the prefix itself is not mistaken for a carried one.
  return ['/bin/sh', '-c', script, 'sh', ...names.toSorted((a, b) => a.length - b.length), '--'];
}

/** Names per option of sudo: even with the longest names, less than the 128 KiB that an argument may have. */
const MOST_NAMES = 400;

/**
 * sudo(8) gets the names of the variables to keep, not their values, which `ps` would show to everyone. The other user enters the folder,
 * since perhaps only that user may. sudo's own SHELL may be unusable.
 */
function sudoArgv(sudo: string, user: UserAccount, keep: readonly string[], cwd: string, command: Argv): Argv {
  const enter = 'cd -- "$1" || exit 1; [ -z "$2" ] || { SHELL=$2; export SHELL; }; shift 2; exec "$@"';
  const preserve: string[] = [];
  for (let at = 0; at < keep.length; at += MOST_NAMES) {
    preserve.push(`--preserve-env=${keep.slice(at, at + MOST_NAMES).join(',')}`);
  }
  const shell = keep.includes('SHELL') ? '' : loginShell(user);
  const inner = ['/bin/sh', '-c', enter, 'sh', cwd, shell, ...command];
  return [sudo, '-n', '-H', '-u', user.name, ...preserve, '--', ...inner];
}

/** A requested folder must exist; a missing home is replaced by `/`, as sshd does. */
async function chooseFolder(requested: string | undefined, home: string): Promise<string> {
  const folder = resolve(home, requested ?? '.');
  const fault = await folderFault(folder);
  if (fault === undefined) return folder;
  if (requested === undefined) return '/';
  throw new StartFailure(`no_such_folder: ${folder} (${fault})`);
}

/** Checked beforehand because ENOENT from a spawn does not say whether the program or the folder is missing. */
async function folderFault(folder: string): Promise<string | undefined> {
  const [facts, entry] = await Promise.allSettled([stat(folder), access(folder, constants.X_OK)]);
  if (facts.status === 'rejected') return systemErrorCode(facts.reason) ?? 'unknown';
  if (!facts.value.isDirectory()) return 'ENOTDIR';
  return entry.status === 'rejected' ? (systemErrorCode(entry.reason) ?? 'unknown') : undefined;
}

/** An executable by absolute path, or by name in the absolute folders of `path`. */
export async function findProgram(file: string, path: string): Promise<string | undefined> {
  const candidates = file.includes('/') ? [file] : path.split(delimiter).map((folder) => join(folder, file));
  for (const candidate of candidates)
    if (candidate.startsWith('/') && (await isExecutable(candidate))) return candidate;
  return undefined;
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
