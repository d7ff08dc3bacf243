/** Runs the few helper tools that the runner needs. */

import { readFile } from 'node:fs/promises';
import { execa, execaSync } from 'execa';
import { DEFAULT_PATH, exactHome, type UserAccount } from '../../shared/login-environment.ts';

export interface ToolResult {
  /** Undefined when the tool could not be started or was killed. */
  exitCode: number | undefined;
  stdout: string;
  stderr: string;
  /** Why it could not be started; undefined if it was. */
  cause?: unknown;
}

/** Whatever PATH this process was started with; dates are compared, so they are not translated. */
const env = { LC_ALL: 'C', PATH: process.env.PATH ? `${DEFAULT_PATH}:${process.env.PATH}` : DEFAULT_PATH };
/** `getent` may have to ask a directory server, so the deadline is long. */
const TOOL_OPTIONS = { reject: false, stdin: 'ignore', timeout: 10_000, env } as const;

/** Runs a helper tool to its end. Never rejects: look at `exitCode`. */
export async function runTool(file: string, args: readonly string[]): Promise<ToolResult> {
  const { exitCode, stdout, stderr, cause } = await execa(file, args, TOOL_OPTIONS);
  return { exitCode, stdout, stderr, cause };
}

/** As {@link runTool}, but holds the process up; for systems without /proc. */
export function runToolSync(file: string, args: readonly string[]): ToolResult {
  const { exitCode, stdout, stderr } = execaSync(file, args, TOOL_OPTIONS);
  return { exitCode, stdout, stderr };
}

/** The account from /etc/passwd, else from whatever the system asks besides (LDAP, SSSD). Undefined if there is none. */
export async function findUser(
  name: string,
  runTool: (file: string, args: readonly string[]) => Promise<ToolResult>,
  passwdPath = '/etc/passwd',
): Promise<UserAccount | undefined> {
  const local = parsePasswd(await readFile(passwdPath, 'utf8'), name);
  if (local !== undefined) return local;
  // macOS has no getent, but an `id` that prints the same line with three fields more.
  const asked = await runTool('getent', ['passwd', name]);
  const { exitCode, stdout } = asked.exitCode === undefined ? await runTool('id', ['-P', name]) : asked;
  return exitCode === 0 ? parsePasswd(stdout, name) : undefined;
}

/** The line of passwd(5) or master.passwd(5) that bears the name. */
export function parsePasswd(text: string, name: string): UserAccount | undefined {
  const fields = text
    .split('\n')
    .map((line) => line.trimEnd().split(':'))
    .find((line) => line[0] === name && (line.length === 7 || line.length === 10));
  if (fields === undefined || !/^\d+$/.test(fields[2] ?? '') || !/^\d+$/.test(fields[3] ?? '')) return undefined;
  const [home = '', shell = ''] = fields.slice(-2);
  return { name, uid: Number(fields[2]), gid: Number(fields[3]), home: exactHome(home), shell };
}
