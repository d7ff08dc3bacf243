/** One round of chaos: jobs are submitted while services die and connections break; afterwards every promise is looked at. */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import PQueue from 'p-queue';
import { isTerminal, type RunState } from '../../../src/domain/states.ts';
import type { JobView } from '../../../src/protocol/job-messages.ts';
import { ChaosFleet, type FaultCounts, pause } from './chaos-fleet.ts';
import { planJobs } from './job-plan.ts';
import { judgeRound } from './judge-round.ts';
import { SeededRandom } from './seeded-random.ts';
import { submitJob } from './submit-job.ts';

const NODES = ['node-1', 'node-2'] as const;
/** CLIs that submit at once. */
const SUBMITTERS = 6;
/** After the storm nodes are told so often not to wait for their next attempt, ms. */
const HURRY_INTERVAL_MS = 500;
/** Longest pause before each submission, ms: the storm must last long enough to hit something. */
const MAX_PACE_MS = 1500;

export interface RoundOptions {
  /** Determines the jobs and the choice of faults; what they meet is up to the machine. */
  seed: number;
  jobs: number;
  /** Of nodes and of their shims; without the latter, no run may become `unknown`. */
  nodeKills: boolean;
  /** How long the fleet may take after the storm to bring every run to its end, ms. */
  settleMs: number;
}

export interface RoundReport extends FaultCounts {
  jobs: number;
  runs: number;
  states: Partial<Record<RunState, number>>;
  cliKills: number;
  /** Submissions whose fate nobody asked for, and which the gateway never got. */
  neverAccepted: number;
  stormMs: number;
  settleMs: number;
  /** Broken promises, in words. */
  faults: string[];
}

export async function runChaosRound(options: RoundOptions): Promise<RoundReport> {
  const fleet = await ChaosFleet.start(NODES);
  try {
    const { world } = fleet;
    const random = new SeededRandom(options.seed);
    const marksFolder = path.join(world.folder, 'marks');
    await mkdir(marksFolder);
    const plans = planJobs(random.fork(), { jobs: options.jobs, nodes: NODES, folder: marksFolder });
    const stormBegan = performance.now();
    const over = new AbortController();
    const storm = fleet.storm(random.fork(), { nodeKills: options.nodeKills, signal: over.signal });
    const queue = new PQueue({ concurrency: SUBMITTERS });
    const draws = random.fork();
    const work = queue.addAll(
      plans.map((plan) => {
        const draw = draws.fork();
        return async () => {
          await pause(draw.int(0, MAX_PACE_MS));
          return await submitJob(world, plan, draw, marksFolder);
        };
      }),
    );
    // The last ones are followed by CLIs that wait for their end; by then the weather must be fine.
    await queue.onEmpty();
    over.abort();
    await storm;
    const hurrying = setInterval(() => fleet.hurry(), HURRY_INTERVAL_MS);
    const [submitted] = await Promise.all([work, fleet.calm()]).finally(() => clearInterval(hurrying));
    const settleBegan = performance.now();
    const { jobs, open } = await waitForEnds(fleet, options.settleMs);
    const settledAt = performance.now();
    const faults = [...fleet.faults, ...open];
    faults.push(...(await judgeRound({ world, marksFolder, submitted, jobs, shimKills: fleet.shimKills })));
    const runs = jobs.flatMap((job) => job.runs);
    const states: RoundReport['states'] = {};
    for (const { state } of runs) states[state] = (states[state] ?? 0) + 1;
    return {
      ...fleet.counts,
      jobs: jobs.length,
      runs: runs.length,
      states,
      cliKills: submitted.reduce((sum, { clisKilled }) => sum + clisKilled, 0),
      neverAccepted: plans.length - jobs.length,
      stormMs: settleBegan - stormBegan,
      settleMs: settledAt - settleBegan,
      faults,
    };
  } finally {
    await fleet.close();
  }
}

/** All jobs, once each of their runs has ended; or what is still open after `withinMs`, in words. */
async function waitForEnds(fleet: ChaosFleet, withinMs: number): Promise<{ jobs: JobView[]; open: string[] }> {
  const end = Date.now() + withinMs;
  for (;;) {
    const jobs = await fleet.world.json<JobView[]>(['jobs', '--json', '--limit', '1000']);
    const open = jobs.flatMap(({ runs }) => runs).filter(({ state }) => !isTerminal(state));
    if (open.length === 0) return { jobs, open: [] };
    fleet.hurry();
    if (Date.now() > end) {
      const logs = await fleet.world.fleet(['gateway', 'logs']);
      return { jobs, open: [`${open.length} runs have no end; the gateway says: ${logs.text.slice(-3000)}`] };
    }
    await pause(100);
  }
}
