/** Holds what the gateway says after a storm against what the commands themselves have left behind. */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import PQueue from 'p-queue';
import { isTerminal } from '../../../src/domain/states.ts';
import type { JobView, RunView } from '../../../src/protocol/job-messages.ts';
import type { FleetWorld } from '../fleet-processes.ts';
import type { JobPlan } from './job-plan.ts';
import { CHAOS_VARIABLE, type SubmittedJob } from './submit-job.ts';

/** CLIs that read logs at once. */
const READERS = 4;

export interface Evidence {
  world: FleetWorld;
  marksFolder: string;
  submitted: readonly SubmittedJob[];
  jobs: readonly JobView[];
  shimKills: readonly { node: string; at: number }[];
}

/** All that is wrong, in words; empty when every promise was kept. */
export async function judgeRound(evidence: Evidence): Promise<string[]> {
  const faults = evidence.submitted.flatMap((job) => job.faults.map((fault) => `${job.plan.marker}: ${fault}`));
  const queue = new PQueue({ concurrency: READERS });
  for (const submitted of evidence.submitted) {
    const { marker } = submitted.plan;
    const jobs = evidence.jobs.filter(({ command }) => command.includes(marker));
    if (jobs.length > 1) faults.push(`${marker}: one key made ${jobs.length} jobs`);
    if (jobs.length === 0 && submitted.accepted) faults.push(`${marker}: was accepted, and is gone`);
    if (jobs.length === 0) await judgeMissing(evidence, submitted.plan, faults);
    for (const run of jobs.flatMap(({ runs }) => runs)) {
      queue.add(() => judgeRun(evidence, submitted, run, faults)).catch((error) => faults.push(`${marker}: ${error}`));
    }
  }
  await queue.onIdle();
  await judgeLanes(evidence, faults);
  for (const line of await survivors(evidence.marksFolder)) faults.push(`still running: ${line}`);
  return faults;
}

/** What was never accepted must never have run. */
async function judgeMissing({ marksFolder }: Evidence, { nodes, marker }: JobPlan, faults: string[]): Promise<void> {
  for (const node of nodes) {
    const { begun } = await readMarks(marksFolder, marker, node);
    if (begun > 0) faults.push(`${marker}: ran ${begun} times, and no job says so`);
  }
}

async function judgeRun(
  { world, marksFolder, shimKills }: Evidence,
  submitted: SubmittedJob,
  run: RunView,
  faults: string[],
): Promise<void> {
  const { plan, followed, cancelAsked } = submitted;
  const { begun, done } = await readMarks(marksFolder, plan.marker, run.node);
  const said = `${run.state} ${run.exitCode ?? ''} ${run.reason ?? ''}`;
  const complain = (what: string): void => {
    faults.push(`${plan.marker} on ${run.node} (${run.run}, ${said.trim()}, begun ${begun}, done ${done}): ${what}`);
  };
  if (!isTerminal(run.state)) return complain('has no end');
  if (begun > 1) complain('ran more than once');
  // A shim that was killed loses what it had read from a command, and not written; the node must say so.
  const mayLack = /(^|; )output_gap: /.test(run.reason ?? '');
  const output = await world.fleet(['jobs', 'logs', run.run, ...(mayLack ? ['--allow-truncation'] : [])]);
  if (output.code !== 0) complain(`its output cannot be read: ${output.stderr}`);
  const wasShimKilled = shimKills.some(({ node, at }) => node === run.node && isWithin(run, at));
  const stdout = compare(output.stdout, plan.stdout);
  const stderr = compare(Buffer.from(output.stderr), plan.stderr);
  for (const found of [stdout, stderr]) {
    if (found === 'different' || (found === 'gaps' && !mayLack)) complain('its output is not what the command wrote');
  }
  if (mayLack && !wasShimKilled) complain('output is missing without cause');
  switch (run.state) {
    case 'exited':
      if (begun !== 1 || done !== 1) complain('did not run exactly once');
      if (run.exitCode !== plan.exitCode) complain(`should have exited with ${plan.exitCode}`);
      if (mayLack && wasShimKilled) break;
      if (stdout !== 'equal') complain(`stdout: ${stdout}, ${output.stdout.length} of ${plan.stdout.length} bytes`);
      if (stderr !== 'equal') complain(`stderr: ${stderr}, ${output.stderr.length} of ${plan.stderr.length} bytes`);
      break;
    case 'unknown':
      if ((run.reason ?? '') === '') complain('gives no reason');
      if (!wasShimKilled) complain('no shim was killed');
      break;
    case 'canceled':
      if (!cancelAsked) complain('nobody canceled it');
      break;
    case 'expired':
      if (!plan.mayExpire) complain('had time enough');
      if (begun !== 0) complain('expired, and ran');
      break;
    default:
      complain('nothing can have caused that');
  }
  if (followed === undefined || followed.code === 255 || followed.code === 130 || mayLack) return;
  if (run.state !== 'exited' || followed.code !== plan.exitCode) complain(`its CLI said ${followed.code}`);
  if (!followed.stdout.equals(plan.stdout)) complain('stdout of its CLI differs');
  if (followed.stderr !== plan.stderr.toString()) complain(`stderr of its CLI differs: ${followed.stderr.slice(-300)}`);
}

function isWithin(run: RunView, at: number): boolean {
  return Date.parse(run.queuedAt) <= at && at <= Date.parse(run.endedAt ?? '');
}

/** `gaps`: whole pieces are missing, and what is there is in its order. */
function compare(actual: Buffer, expected: Buffer): 'equal' | 'prefix' | 'gaps' | 'different' {
  if (actual.equals(expected)) return 'equal';
  if (expected.subarray(0, actual.length).equals(actual)) return 'prefix';
  let found = 0;
  for (const byte of expected) if (byte === actual[found]) found += 1;
  return found === actual.length ? 'gaps' : 'different';
}

/** In a lane, one begins only when the one before has come to its end, or was canceled; and all in the order of their acceptance. */
async function judgeLanes({ marksFolder, submitted, jobs }: Evidence, faults: string[]): Promise<void> {
  const canceled = new Set(submitted.flatMap(({ plan, cancelAsked }) => (cancelAsked ? [plan.marker] : [])));
  const oldestFirst = [...jobs].reverse().map(({ command }) => command);
  for (const name of await readdir(marksFolder)) {
    if (!name.startsWith('lane-')) continue;
    const lines = (await readFile(path.join(marksFolder, name), 'utf8')).trimEnd().split('\n');
    let open: string | undefined;
    let place = -1;
    for (const line of lines) {
      const [word, marker = ''] = line.split(' ');
      if (word === 'e') {
        if (open !== marker) faults.push(`${name}: ${marker} ended while ${open} ran`);
        open = undefined;
        continue;
      }
      if (open !== undefined && !canceled.has(open)) faults.push(`${name}: ${marker} began while ${open} ran`);
      const accepted = oldestFirst.findIndex((command) => command.includes(marker));
      if (accepted < place) faults.push(`${name}: ${marker} began out of order`);
      open = marker;
      place = accepted;
    }
  }
}

async function readMarks(folder: string, marker: string, node: string): Promise<{ begun: number; done: number }> {
  const count = async (what: string): Promise<number> => {
    try {
      return (await readFile(path.join(folder, `${marker}.${node}.${what}`), 'utf8')).split('\n').length - 1;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
      throw error;
    }
  };
  return { begun: await count('begun'), done: await count('done') };
}

/** Processes of the commands that are still there: what they are. */
async function survivors(marksFolder: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    // Others' processes cannot be read, and any may be gone by now.
    const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
    if (!environment.split('\0').includes(`${CHAOS_VARIABLE}=${marksFolder}`)) continue;
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    found.push(`${pid} ${line.replaceAll('\0', ' ').slice(0, 200)}`);
  }
  return found;
}
