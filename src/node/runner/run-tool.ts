/** Runs the few helper tools that the runner needs. */
import { execa, execaSync } from 'execa';

export interface ToolResult {
  /** Undefined when the tool could not be started or was killed. */
  exitCode: number | undefined;
  stdout: string;
  stderr: string;
}

/** `getent` may have to ask a directory server, so the deadline is long. Dates are compared, so they are not translated. */
const TOOL_OPTIONS = { reject: false, stdin: 'ignore', timeout: 10_000, env: { LC_ALL: 'C' } } as const;

/** Runs a helper tool to its end. Never rejects: look at `exitCode`. */
export async function runTool(file: string, args: readonly string[]): Promise<ToolResult> {
  const { exitCode, stdout, stderr } = await execa(file, args, TOOL_OPTIONS);
  return { exitCode, stdout, stderr };
}

/** As {@link runTool}, but holds the process up; for systems without /proc. */
export function runToolSync(file: string, args: readonly string[]): ToolResult {
  const { exitCode, stdout, stderr } = execaSync(file, args, TOOL_OPTIONS);
  return { exitCode, stdout, stderr };
}
