/** Brings one planned job to the gateway while everything breaks, and remembers what was heard of it. */
import type { FleetWorld, Result } from '../fleet-processes.ts';
import { pause } from './chaos-fleet.ts';
import type { JobPlan } from './job-plan.ts';
import type { SeededRandom } from './seeded-random.ts';

/** A submission that is refused for longer will never succeed, ms. */
const SUBMIT_DEADLINE_MS = 60_000;
/** Longest life of a CLI that follows, ms: its node may be away for most of a storm. */
const FOLLOW_DEADLINE_MS = 240_000;
const RETRY_PAUSE_MS = 100;
/** What every command has in its environment, so that what it leaves behind can be found. */
export const CHAOS_VARIABLE = 'FLEET_CHAOS';

export interface SubmittedJob {
  plan: JobPlan;
  /** Whether the gateway has said that it took the job; otherwise it may have. */
  accepted: boolean;
  cancelAsked: boolean;
  /** What `fleet run` ended with, when it was not killed. */
  followed: Result | undefined;
  clisKilled: number;
  /** What a CLI said that it must never say. */
  faults: string[];
}

export async function submitJob(
  world: FleetWorld,
  plan: JobPlan,
  random: SeededRandom,
  marksFolder: string,
): Promise<SubmittedJob> {
  const submission = new Submission(world, plan, marksFolder);
  try {
    if (plan.how === 'follow') await submission.follow(random);
    else await submission.submit();
  } catch (error) {
    submission.job.faults.push(String(error));
  }
  return submission.job;
}

class Submission {
  readonly job: SubmittedJob;
  readonly #world: FleetWorld;
  readonly #args: string[];

  constructor(world: FleetWorld, plan: JobPlan, marksFolder: string) {
    this.#world = world;
    this.job = { plan, accepted: false, cancelAsked: false, followed: undefined, clisKilled: 0, faults: [] };
    this.#args = [
      ...['--idempotency-key', plan.marker, '--env', `${CHAOS_VARIABLE}=${marksFolder}`],
      ...(plan.expires === undefined ? [] : ['--expires', plan.expires]),
      ...(plan.lane === undefined ? [] : ['--lane', plan.lane]),
      ...(plan.how === 'broadcast' ? ['--on', plan.nodes.join(',')] : plan.nodes),
      ...['--', plan.command],
    ];
  }

  /** `fleet run`, perhaps killed or interrupted on the way; after that perhaps asked for again. */
  async follow(random: SeededRandom): Promise<void> {
    const { job } = this;
    const { killCliAfterMs, cancelAfterMs } = job.plan;
    job.cancelAsked = cancelAfterMs !== undefined;
    const result = await this.#world.fleet(['run', ...this.#args], {
      deadlineMs: FOLLOW_DEADLINE_MS,
      onStart: (child) => {
        const signalAfter = (signal: NodeJS.Signals, ms: number | undefined): void => {
          if (ms === undefined) return;
          const timer = setTimeout(() => child.kill(signal), ms);
          child.once('exit', () => clearTimeout(timer));
        };
        signalAfter('SIGKILL', killCliAfterMs);
        signalAfter('SIGINT', cancelAfterMs);
      },
    });
    if (result.signal === 'SIGKILL') job.clisKilled += 1;
    if (result.signal === null) job.followed = result;
    const led = result.code !== null && result.code !== 255 && result.code !== 130;
    if (led) job.accepted = true;
    else if (random.chance(0.5)) await this.#submitUntilAccepted();
  }

  async submit(): Promise<void> {
    const { cancelAfterMs } = this.job.plan;
    const id = await this.#submitUntilAccepted();
    if (cancelAfterMs === undefined || id === undefined) return;
    await pause(cancelAfterMs);
    this.job.cancelAsked = true;
    await this.#repeat(['jobs', 'cancel', id]);
  }

  /** Again and again, with the same key, until the gateway says yes. Resolves with the job's id. */
  async #submitUntilAccepted(): Promise<string | undefined> {
    const command = this.job.plan.how === 'broadcast' ? 'broadcast' : 'run';
    const id = await this.#repeat([command, '--async', ...this.#args]);
    this.job.accepted = id !== undefined;
    return id;
  }

  async #repeat(args: string[]): Promise<string | undefined> {
    const end = Date.now() + SUBMIT_DEADLINE_MS;
    for (;;) {
      const result = await this.#world.fleet(args);
      if (result.code === 0) return result.text.trim();
      if (result.code !== 255 || Date.now() > end) {
        this.job.faults.push(`fleet ${args.slice(0, 2).join(' ')} ended with ${result.code}: ${result.stderr}`);
        return undefined;
      }
      await pause(RETRY_PAUSE_MS);
    }
  }
}
