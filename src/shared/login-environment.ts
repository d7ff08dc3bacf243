/** The environment of a login, from the account and /etc: that of this process depends on the terminal, ssh, sudo, cron or systemd that started it. */
import { accessSync, closeSync, constants, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { listOrEmpty, readOrEmpty } from './read-file.ts';
import { REPLACEMENT } from './text.ts';

export interface UserAccount {
  name: string;
  uid: number;
  gid: number;
  home: string;
  shell: string;
}

/** Unless /etc/environment or login.defs(5) sets one. Also searched first for system tools. */
export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** O_CLOEXEC of open(2), on all platforms of Node.js. */
const CLOSE_ON_EXEC = 0o2000000;
const DEFAULT_UMASK = 0o022;
/** As read by pam_env(8) and systemd; later files override earlier ones. */
const ASSIGNMENT_FILES = ['default/locale', 'locale.conf', 'environment'];
/** "Shells" of accounts without login. */
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
    // A container may run under a uid without an account.
    const uid = process.geteuid?.() ?? -1;
    return { name: String(uid), uid, gid: process.getegid?.() ?? -1, home: '/', shell: '' };
  }
}

/** `/` instead of a path that was not decoded exactly: passwd(5) may contain any bytes. */
export function exactHome(home: string): string {
  return home.includes(REPLACEMENT) ? '/' : home;
}

/** The account's shell (passwd(5)), or /bin/sh if it has none to log in with. */
export function loginShell({ shell }: Pick<UserAccount, 'shell'>): string {
  if (!path.isAbsolute(shell) || NO_SHELLS.has(path.basename(shell))) return '/bin/sh';
  try {
    accessSync(shell, constants.X_OK);
    return shell;
  } catch {
    return '/bin/sh';
  }
}

/** UMASK of login.defs(5), as pam_umask(8) reads it. */
export function loginUmask(etc = '/etc'): number {
  const text = loginDefinition('UMASK', etc);
  return text !== undefined && /^0?[0-7]{1,3}$/.test(text) ? Number.parseInt(text, 8) : DEFAULT_UMASK;
}

/**
 * Closes descriptors inherited from the parent, so that no command gets them. Node.js protects only the low ones; its own are
 * marked close-on-exec (proc_pid_fdinfo(5)). Does nothing without /proc.
 */
export function closeInheritedFiles(): void {
  for (const fd of listOrEmpty('/proc/self/fd').map(Number)) {
    const flags = /^flags:\s*([0-7]+)/m.exec(readOrEmpty(`/proc/self/fdinfo/${fd}`))?.[1];
    if (fd > 2 && flags !== undefined && (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) === 0) closeSync(fd);
  }
}

function loginDefinition(name: string, etc: string): string | undefined {
  return new RegExp(`^[ \\t]*${name}[ \\t]+(\\S+)`, 'm').exec(readOrEmpty(path.join(etc, 'login.defs')))?.[1];
}

/** `NAME=value` lines as pam_env(8) reads them: with optional `export`, quotes and `#` comments. */
function readAssignments(file: string): Record<string, string> {
  const result: Record<string, string> = {};
  for (const line of readOrEmpty(file).split('\n')) {
    const [, name, value] = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=([^#]*)/.exec(line) ?? [];
    if (name === undefined || value === undefined || value.includes(REPLACEMENT)) continue;
    result[name] = value.trim().replace(/^(["'])(.*)\1$/, '$2');
  }
  return result;
}

/** The session manager's folder for the user (file-hierarchy(7)), which `systemctl --user` needs. */
function runtimeFolder(uid: number): { XDG_RUNTIME_DIR?: string } {
  const folder = `/run/user/${uid}`;
  return statSync(folder, { throwIfNoEntry: false })?.uid === uid ? { XDG_RUNTIME_DIR: folder } : {};
}
