/** Runs the few helper tools that the runner needs. */
import { execa, execaSync } from 'execa';
import { DEFAULT_PATH } from '../../shared/login-environment.ts';

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
