/** Decides what exactly is executed for a run: program, arguments, folder and environment. */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import type { AgentSpec, RunSpec } from '../../protocol/run-spec.ts';
import { systemErrorCode } from '../../shared/errors.ts';
import { DEFAULT_PATH, loginEnvironment, loginShell, type UserAccount } from '../../shared/login-environment.ts';
import { findUser, runTool } from '../process/run-tool.ts';
import { StartFailure } from '../shim/messages.ts';
import type { AgentPlan, Agents } from './agents.ts';

export interface CommandPlan {
  argv: readonly [string, ...string[]];
  cwd: string;
  env: NodeJS.ProcessEnv;
  /** What the command finds on its stdin, when that does not come from outside. */
  input?: string | undefined;
  /** Set if the command's processes can only be signaled with this prefix (sudo). */
  signalWith?: readonly [string, ...string[]];
}

export interface PlanHost {
  /** Absolute path of the node's shell. */
  shell: string;
  homeFolder: string;
  /** Of commands of this process' own user. */
  baseEnv: NodeJS.ProcessEnv;
  /** Laid over the login environment of any user. */
  addedEnv?: Readonly<Record<string, string>> | undefined;
  /** The account of this process. */
  currentUid: number;
  findUser(name: string): Promise<UserAccount | undefined>;
  /** @throws StartFailure `no_such_agent` or `no_such_program`. */
  planAgent(spec: AgentSpec): Promise<AgentPlan>;
}

/** @throws StartFailure `no_such_user`, `no_such_folder`, `no_such_shell`, `no_such_agent`, `no_such_program` or `spawn_failed`. */
export async function planCommand(spec: RunSpec, host: PlanHost): Promise<CommandPlan> {
  // Each look at the disk is a way over another thread, and a folder may be on a server that does not answer: they wait together.
  const ownFolder = spec.user === undefined ? chooseFolder(spec.cwd, host.homeFolder) : undefined;
  ownFolder?.catch(() => {});
  const { argv, input } = await chooseProgram(spec, host);
  const user = spec.user === undefined ? undefined : await requireUser(spec.user, host);
  const fleetEnv = { FLEET_NODE: spec.node, FLEET_JOB: spec.job, FLEET_RUN: spec.run };
  // LVM's tools complain on stderr about each descriptor that they inherit, and every command here inherits two.
  const base = { LVM_SUPPRESS_FD_WARNINGS: '1', ...host.baseEnv };
  if (user === undefined || user.uid === host.currentUid) {
    return {
      argv,
      input,
      cwd: await (ownFolder ?? chooseFolder(spec.cwd, host.homeFolder)),
      env: { ...base, ...spec.env, ...fleetEnv },
    };
  }
  // The own runtime folder is nobody else's.
  const userEnv = { ...base, XDG_RUNTIME_DIR: undefined, ...loginEnvironment(user), ...host.addedEnv };
  const setpriv = host.currentUid === 0 ? await findTool('setpriv', host.baseEnv) : undefined;
  if (setpriv !== undefined) {
    const own = { ...spec.env, ...fleetEnv };
    return {
      argv: [...setprivArgv(setpriv, user), ...setEnvironmentArgv(Object.keys(own)), ...argv],
      input,
      cwd: await chooseFolder(spec.cwd, user.home),
      env: { ...userEnv, ...carried(own) },
    };
  }
  const sudo = await findTool('sudo', host.baseEnv);
  if (sudo === undefined)
    throw new StartFailure(`spawn_failed: sudo is needed to run as ${user.name}, and is not installed`);
  const env = { ...spec.env, ...fleetEnv };
  return {
    argv: sudoArgv(sudo, user, Object.keys(env), resolve(user.home, spec.cwd ?? '.'), argv),
    input,
    cwd: '/',
    env: { ...base, ...env },
    signalWith: [sudo, '-n', '-u', user.name, '--'],
  };
}

/** `kind` selects the executor. */
async function chooseProgram(spec: RunSpec, host: PlanHost): Promise<AgentPlan> {
  if (spec.kind === 'agent') return await host.planAgent(spec);
  await requireShell(host.shell);
  // As sshd does: one string for the shell, no quoting of ours.
  return { argv: [host.shell, '-c', spec.command], input: undefined };
}

/**
 * setpriv(1) and not runuser(1): it replaces itself by the command, so that a signal that ends the command is seen as such;
 * runuser stays in between, prints "Killed" into the command's stderr and turns the signal into exit code 137.
 */
function setprivArgv(setpriv: string, user: UserAccount): [string, ...string[]] {
  return [setpriv, '--reuid', String(user.uid), '--regid', String(user.gid), '--init-groups', '--'];
}

/** What the run's own variables are called until the rights are gone. */
const CARRIED_PREFIX = 'FLEET_SET_';

function carried(env: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).map(([name, value]) => [CARRIED_PREFIX + name, value]));
}

/**
 * The run's own variables get their names only once the rights are gone: a LD_PRELOAD must not be loaded into setpriv as root.
 * Their values are never on a command line, as env(1) wants them: everybody could read them in `ps`.
 * Names are those of shell variables (`runSpecSchema`); of the few that a shell keeps for itself it says so and ends with 2.
 */
function setEnvironmentArgv(names: readonly string[]): string[] {
  const step = `eval "$1=\\$${CARRIED_PREFIX}$1; export $1; unset ${CARRIED_PREFIX}$1"; shift`;
  const script = `while [ "$1" != -- ]; do ${step}; done; shift; exec "$@"`;
  // Short names first: one that begins with the prefix itself would be taken for what another one carries.
  return ['/bin/sh', '-c', script, 'sh', ...names.toSorted((a, b) => a.length - b.length), '--'];
}

/** Names in one option of sudo's: with the longest ones, less than the 128 KiB that an argument may have. */
const MOST_NAMES = 400;

/**
 * sudo(8) takes the names of the variables that it shall keep, not their values, which everybody could read in `ps`.
 * The folder is entered as the other user, who alone may be allowed to. sudo's own SHELL may be none that can be used.
 */
function sudoArgv(
  sudo: string,
  user: UserAccount,
  keep: readonly string[],
  cwd: string,
  command: readonly string[],
): [string, ...string[]] {
  const enter = 'cd -- "$1" || exit 1; [ -z "$2" ] || { SHELL=$2; export SHELL; }; shift 2; exec "$@"';
  const preserve: string[] = [];
  for (let at = 0; at < keep.length; at += MOST_NAMES) {
    preserve.push(`--preserve-env=${keep.slice(at, at + MOST_NAMES).join(',')}`);
  }
  const shell = keep.includes('SHELL') ? '' : loginShell(user);
  const inner = ['/bin/sh', '-c', enter, 'sh', cwd, shell, ...command];
  return [sudo, '-n', '-H', '-u', user.name, ...preserve, '--', ...inner];
}

async function requireUser(name: string, host: PlanHost): Promise<UserAccount> {
  const user = await host.findUser(name);
  if (user === undefined) throw new StartFailure(`no_such_user: ${name}`);
  return user;
}

async function requireShell(shell: string): Promise<void> {
  try {
    await access(shell, constants.X_OK);
  } catch (error) {
    throw new StartFailure(`no_such_shell: ${shell} (${systemErrorCode(error) ?? 'unknown'})`);
  }
}

/** What was asked for must be there; a missing home is replaced by `/`, as sshd does. */
async function chooseFolder(asked: string | undefined, home: string): Promise<string> {
  const folder = resolve(home, asked ?? '.');
  const fault = await folderFault(folder);
  if (fault === undefined) return folder;
  if (asked === undefined) return '/';
  throw new StartFailure(`no_such_folder: ${folder} (${fault})`);
}

/** A spawn's own ENOENT does not tell whether the program or the folder is missing, so the folder is looked at first. */
async function folderFault(folder: string): Promise<string | undefined> {
  const [facts, entry] = await Promise.allSettled([stat(folder), access(folder, constants.X_OK)]);
  if (facts.status === 'rejected') return systemErrorCode(facts.reason) ?? 'unknown';
  if (!facts.value.isDirectory()) return 'ENOTDIR';
  return entry.status === 'rejected' ? (systemErrorCode(entry.reason) ?? 'unknown') : undefined;
}

/** Never looked for in the run's own PATH: the tool is started with the rights of this process. */
async function findTool(name: string, baseEnv: NodeJS.ProcessEnv): Promise<string | undefined> {
  const folders = `${DEFAULT_PATH}:${baseEnv.PATH ?? ''}`.split(delimiter).filter((folder) => folder.startsWith('/'));
  for (const folder of folders) {
    const path = join(folder, name);
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/** What the planning of commands knows of this machine. */
interface PlanHostOptions {
  shell: string;
  homeFolder: string;
  baseEnv: NodeJS.ProcessEnv;
  addedEnv?: Readonly<Record<string, string>>;
}

export function createPlanHost({ shell, homeFolder, baseEnv, addedEnv }: PlanHostOptions, agents: Agents): PlanHost {
  return {
    shell,
    homeFolder,
    baseEnv,
    addedEnv,
    currentUid: process.geteuid?.() ?? -1,
    findUser: (name) => findUser(name, runTool),
    planAgent: (spec) => agents.plan(spec, baseEnv),
  };
}
