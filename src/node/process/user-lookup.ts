/** Finds the account that a run asks for. */
import { readFile } from 'node:fs/promises';
import { exactHome, type UserAccount } from '../../shared/login-environment.ts';
import type { ToolResult } from './run-tool.ts';

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
