/** Runs the few system tools that a node needs. */

import { readFile } from 'node:fs/promises';
import { execa, execaSync } from 'execa';
import { DEFAULT_PATH, exactHome, type UserAccount } from '../../shared/login-environment.ts';

export interface ToolResult {
  /** Undefined if the tool could not be started or was killed. */
  exitCode: number | undefined;
  stdout: string;
  stderr: string;
  /** Why it could not be started. */
  cause?: unknown;
}

export type RunTool = (file: string, args: readonly string[]) => Promise<ToolResult>;

/** Finds the tools whatever PATH this process has. LC_ALL because `ps` prints dates, which are compared. */
const env = { LC_ALL: 'C', PATH: process.env.PATH ? `${DEFAULT_PATH}:${process.env.PATH}` : DEFAULT_PATH };
/** `getent` may query a directory server, so the deadline is long. */
const TOOL_OPTIONS = { reject: false, stdin: 'ignore', timeout: 10_000, env } as const;

/** Runs a tool to its end. Never rejects: check `exitCode`. */
export async function runTool(file: string, args: readonly string[]): Promise<ToolResult> {
  const { exitCode, stdout, stderr, cause } = await execa(file, args, TOOL_OPTIONS);
  return { exitCode, stdout, stderr, cause };
}

/** Like {@link runTool}, but blocks; for systems without /proc. */
export function runToolSync(file: string, args: readonly string[]): ToolResult {
  const { exitCode, stdout, stderr } = execaSync(file, args, TOOL_OPTIONS);
  return { exitCode, stdout, stderr };
}

/** The account from /etc/passwd, or from the system's other sources (LDAP, SSSD). Undefined if there is none. */
export async function findUser(
  name: string,
  runTool: RunTool,
  passwdPath = '/etc/passwd',
): Promise<UserAccount | undefined> {
  const local = parsePasswd(await readFile(passwdPath, 'utf8'), name);
  if (local !== undefined) return local;
  // macOS has no getent, but its `id -P` prints the same line with three more fields.
  const asked = await runTool('getent', ['passwd', name]);
  const { exitCode, stdout } = asked.exitCode === undefined ? await runTool('id', ['-P', name]) : asked;
  return exitCode === 0 ? parsePasswd(stdout, name) : undefined;
}

/** Finds an account in passwd(5) or master.passwd(5). */
export function parsePasswd(text: string, name: string): UserAccount | undefined {
  const fields = text
    .split('\n')
    .map((line) => line.trimEnd().split(':'))
    .find((line) => line[0] === name && (line.length === 7 || line.length === 10));
  if (fields === undefined || !/^\d+$/.test(fields[2] ?? '') || !/^\d+$/.test(fields[3] ?? '')) return undefined;
  const [home = '', shell = ''] = fields.slice(-2);
  return { name, uid: Number(fields[2]), gid: Number(fields[3]), home: exactHome(home), shell };
}
