/**
 * What a login gives to a command. It is read from the account and from /etc, never from the environment of this process: that is
 * whatever a terminal, ssh, tmux, sudo, cron or systemd gave to the one who started it.
 */
import { accessSync, closeSync, constants, readdirSync, readFileSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { REPLACEMENT } from './text.ts';

export interface UserAccount {
  name: string;
  uid: number;
  gid: number;
  home: string;
  shell: string;
}

/** Where neither /etc/environment nor login.defs(5) names one; and where tools of the system are looked for first. */
export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** O_CLOEXEC of open(2), on every processor that Node.js runs on. */
const CLOSE_ON_EXEC = 0o2000000;
const DEFAULT_UMASK = 0o022;
/** In the order in which they count, as pam_env(8) and systemd read them. */
const ASSIGNMENT_FILES = ['default/locale', 'locale.conf', 'environment'];
/** "Shells" of accounts that nobody logs in to. */
const NO_SHELLS = new Set(['nologin', 'false', 'true', 'sync', 'halt', 'shutdown']);

/** `etc` is /etc, or a copy of it. */
export function loginEnvironment(account: UserAccount, etc = '/etc'): Record<string, string> {
  const assigned = Object.assign({}, ...ASSIGNMENT_FILES.map((file) => readAssignments(path.join(etc, file))));
  const ownPath = loginDefinition(account.uid === 0 ? 'ENV_SUPATH' : 'ENV_PATH', etc)?.replace(/^PATH=/, '');
  return {
    PATH: ownPath ?? DEFAULT_PATH,
    ...assigned,
    ...runtimeFolder(account.uid),
    HOME: account.home,
    USER: account.name,
    LOGNAME: account.name,
    SHELL: loginShell(account),
  };
}

/** The account that this process runs as. */
export function ownAccount(): UserAccount {
  try {
    const { username, uid, gid, homedir, shell } = os.userInfo();
    return { name: username, uid, gid, home: exactHome(homedir), shell: shell ?? '' };
  } catch {
    // A container may run under a number that belongs to no account.
    const uid = process.geteuid?.() ?? -1;
    return { name: String(uid), uid, gid: process.getegid?.() ?? -1, home: '/', shell: '' };
  }
}

/** passwd(5) may hold any bytes; a folder that would be another one is replaced, as a missing one is. */
export function exactHome(home: string): string {
  return home.includes(REPLACEMENT) ? '/' : home;
}

/** The account's shell (passwd(5)); /bin/sh when there is none, or it lets nobody in. */
export function loginShell({ shell }: Pick<UserAccount, 'shell'>): string {
  if (!path.isAbsolute(shell) || NO_SHELLS.has(path.basename(shell))) return '/bin/sh';
  try {
    accessSync(shell, constants.X_OK);
    return shell;
  } catch {
    return '/bin/sh';
  }
}

/** UMASK of login.defs(5), as pam_umask(8) takes it. */
export function loginUmask(etc = '/etc'): number {
  const text = loginDefinition('UMASK', etc);
  return text !== undefined && /^0?[0-7]{1,3}$/.test(text) ? Number.parseInt(text, 8) : DEFAULT_UMASK;
}

/**
 * Closes descriptors that whoever started this process has left open, so that no command gets them. Node.js keeps only the low ones to
 * itself; what it opens, and what it keeps, is marked close-on-exec (proc_pid_fdinfo(5)). Does nothing without /proc.
 */
export function closeInheritedFiles(): void {
  for (const fd of listIfThere('/proc/self/fd').map(Number)) {
    const flags = /^flags:\s*([0-7]+)/m.exec(readIfThere(`/proc/self/fdinfo/${fd}`))?.[1];
    if (fd > 2 && flags !== undefined && (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) === 0) closeSync(fd);
  }
}

function loginDefinition(name: string, etc: string): string | undefined {
  return new RegExp(`^[ \\t]*${name}[ \\t]+(\\S+)`, 'm').exec(readIfThere(path.join(etc, 'login.defs')))?.[1];
}

/** `NAME=value` lines as pam_env(8) reads them: `export` may stand before, quotes around the value, and `#` begins a comment. */
function readAssignments(file: string): Record<string, string> {
  const result: Record<string, string> = {};
  for (const line of readIfThere(file).split('\n')) {
    const [, name, value] = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=([^#]*)/.exec(line) ?? [];
    if (name === undefined || value === undefined || value.includes(REPLACEMENT)) continue;
    result[name] = value.trim().replace(/^(["'])(.*)\1$/, '$2');
  }
  return result;
}

/** The folder that a session manager keeps for the user (file-hierarchy(7)), without which `systemctl --user` finds nobody. */
function runtimeFolder(uid: number): { XDG_RUNTIME_DIR?: string } {
  const folder = `/run/user/${uid}`;
  return statSync(folder, { throwIfNoEntry: false })?.uid === uid ? { XDG_RUNTIME_DIR: folder } : {};
}

function listIfThere(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // Not every system has each of them.
    return '';
  }
}
