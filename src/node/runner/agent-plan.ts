/** Decides what is executed for a prompt: the program that the node's config names, and how it gets the prompt. */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import type { AgentSpec } from '../../protocol/run-spec.ts';
import { StartFailure } from '../shim/start-failure.ts';
import type { AgentConfig } from './agent-config.ts';

export interface AgentPlan {
  argv: readonly [string, ...string[]];
  /** What the program finds on its stdin; undefined for nothing. */
  input: string | undefined;
}

/** @throws StartFailure `no_such_program`. */
export async function planAgent(spec: AgentSpec, agent: AgentConfig, baseEnv: NodeJS.ProcessEnv): Promise<AgentPlan> {
  const [file, ...args] = agent.command;
  const program = await findProgram(file, baseEnv);
  if (agent.prompt === 'argument') return { argv: [program, ...args, spec.prompt], input: undefined };
  const { prompt, run, job, node } = spec;
  const input =
    agent.prompt === 'stdin' ? prompt : `${JSON.stringify({ prompt, agent: spec.agent, run, job, node })}\n`;
  return { argv: [program, ...args], input };
}

/** Never looked for in the run's own PATH: which program an agent is, the node alone says. */
async function findProgram(file: string, baseEnv: NodeJS.ProcessEnv): Promise<string> {
  const folders = (baseEnv.PATH ?? '').split(delimiter).filter((folder) => folder.startsWith('/'));
  const candidates = file.includes('/') ? [file] : folders.map((folder) => join(folder, file));
  for (const candidate of candidates) if (candidate.startsWith('/') && (await isProgram(candidate))) return candidate;
  const where = file.includes('/') ? '' : ` is not in ${baseEnv.PATH}; name its path, or set PATH in node.env`;
  throw new StartFailure(`no_such_program: ${file}${where}`);
}

async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    // Not there, or not for us.
    return false;
  }
}
