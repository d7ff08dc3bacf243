/** What the planning of commands knows of this machine. */

import { runTool } from '../process/run-tool.ts';
import { findUser } from '../process/user-lookup.ts';
import type { Agents } from './agents.ts';
import type { PlanHost } from './command-plan.ts';

export interface PlanHostOptions {
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
