/** Requests, answers and events about jobs. */
import { z } from 'zod';
import { agentNameSchema, type StartedAgent } from '../domain/agent/agent-spec.ts';
import { boundedRecord, count, figure, positiveMs, shown, text } from '../domain/bounded.ts';
import { MAX_BODY_BYTES } from '../domain/limits.ts';
import { RUN_STATES, type RunState } from '../domain/states.ts';
import { PRIORITIES } from '../domain/vocabulary.ts';
import { commandSchema, type RunExited, type RunGap, runExitedSchema, runOptionsSchema } from './run-spec.ts';

/** Longest selector, UTF-16 units: some thousand names of nodes. */
const MAX_SELECTOR_LENGTH = 256 * 1024;
/** Most runs of one job: more nodes than one gateway serves. */
const MAX_RUNS_OF_JOB = 100_000;

/** A name, an id, or the beginning of one. */
const targetName = z.string().min(1).max(256);
const selector = z.string().min(1).max(MAX_SELECTOR_LENGTH);

/** How a broadcast's runs are released. */
const flowSchema = z.strictObject({
  /** Most runs at once; unlimited when absent. */
  fanout: z.number().int().positive().optional(),
  /** Batches of 1, 2, 4, …, each after the one before has ended. */
  ramp: z.boolean().optional(),
  /** More failed runs than this cancel those that have not begun; `10` or `5%`. */
  maxErrors: z
    .string()
    .max(16)
    .regex(/^\d+%?$/, 'neither a number nor a percentage')
    .optional(),
});
export type Flow = z.infer<typeof flowSchema>;

export const submitJobFields = z.strictObject({
  kind: z.enum(['shell', 'agent']),
  /** For the node's shell; the prompt when the kind is `agent`. */
  command: commandSchema,
  /** Which agent; with the kind `agent` only. */
  agent: agentNameSchema.optional(),
  /** One node by name, id or prefix; a selector for many; or a selector from which the gateway picks one node that has the agent. */
  target: z.union([
    z.strictObject({ node: targetName }),
    z.strictObject({ selector, exclude: z.string().max(MAX_SELECTOR_LENGTH).optional() }),
    z.strictObject({ any: selector, exclude: z.array(targetName).max(10_000).optional() }),
  ]),
  cwd: runOptionsSchema.shape.cwd,
  env: runOptionsSchema.shape.env.optional(),
  user: runOptionsSchema.shape.user,
  timeoutMs: runOptionsSchema.shape.timeoutMs,
  stdin: z.boolean().optional(),
  /** How long a run may wait for its node, ms. Without it, a node that is offline now fails its run at once. */
  expiresMs: positiveMs.optional(),
  lane: z.string().min(1).max(64).optional(),
  /** Who goes first among those that wait for the same lane or node; `normal` when absent. */
  priority: z.enum(PRIORITIES).optional(),
  idempotencyKey: z.string().min(1).max(128).optional(),
  flow: flowSchema.optional(),
  /** Answer with the stream of events instead of the job. */
  follow: z.boolean().optional(),
});
export const submitJobRequest = submitJobFields
  .refine(
    ({ kind, agent }) => (kind === 'agent') === (agent !== undefined),
    'an agent is named with the kind agent only',
  )
  .refine(({ kind, stdin }) => kind !== 'agent' || !stdin, 'an agent gets its prompt, and no stdin besides')
  .refine(({ kind, target }) => kind === 'agent' || !('any' in target), 'any node is for the kind agent only');
export type SubmitJobRequest = z.infer<typeof submitJobRequest>;

export const followJobRequest = z.strictObject({
  /** Log offset to go on from, by index of the run. */
  from: boundedRecord(z.string().max(9).regex(/^\d+$/), z.number().int().nonnegative(), MAX_RUNS_OF_JOB).optional(),
});

/** One run as every answer shows it. Times are ISO 8601 UTC. */
const runViewSchema = z.object({
  run: shown,
  job: shown,
  index: count,
  node: shown,
  state: z.enum(RUN_STATES),
  exitCode: z.number().int().nullable(),
  signal: shown.nullable(),
  reason: text.nullable(),
  queuedAt: shown,
  deliveredAt: shown.nullable(),
  startedAt: shown.nullable(),
  endedAt: shown.nullable(),
  durationMs: figure.nullable(),
  stdoutBytes: count,
  stderrBytes: count,
  /** Whether some output was not kept. */
  truncated: z.boolean(),
  /** Set while the run continues although its command has exited, because other processes hold its output. */
  exited: runExitedSchema.optional(),
});
export type RunView = z.infer<typeof runViewSchema>;

export const jobViewSchema = z.object({
  job: shown,
  kind: submitJobFields.shape.kind,
  /** The prompt when the kind is `agent`. */
  command: z.string().max(4 * MAX_BODY_BYTES),
  /** With the kind `agent` only. */
  agent: shown.optional(),
  createdAt: shown,
  createdBy: shown,
  target: z.string().max(MAX_BODY_BYTES),
  /** Runs by state. */
  counts: z.partialRecord(z.enum(RUN_STATES), count).refine(() => true, { params: { maxKeys: RUN_STATES.length } }),
  runs: z.array(runViewSchema).max(MAX_RUNS_OF_JOB),
});
export type JobView = z.infer<typeof jobViewSchema>;

/** A part of the list of jobs, the newest first. */
export const jobPageSchema = z.object({
  jobs: z.array(jobViewSchema).max(10_000),
  /** `before` of the request for the next part; null when this is the last one. */
  next: count.nullable().default(null),
});
export type JobPage = z.infer<typeof jobPageSchema>;

interface EventRun {
  run: string;
  index: number;
  node: string;
}

/** `next` is the log offset to continue from once the event was handled. */
type LogEvent = EventRun & { next: number };

/** One line of a followed job. */
export type JobEvent =
  | {
      type: 'job';
      job: string;
      runs: (EventRun & { state: RunState })[];
      /** In the answer to a submission to all connected nodes: names of those that are offline and have no run. */
      notTried?: string[];
    }
  | ({ type: 'state'; job: string; state: RunState; at: string } & EventRun)
  | ({ type: 'stdout' | 'stderr'; data: string; encoding?: 'base64' } & LogEvent)
  /** The run of an agent has begun; says how its stdout is read. */
  | ({ type: 'agent'; job: string; agent: StartedAgent } & LogEvent)
  /** Output that was not kept at this position. */
  | ({ type: 'gap' } & RunGap & LogEvent)
  /** The command has exited, but other processes hold its output, so the run continues. */
  | ({ type: 'exited' } & LogEvent & RunExited)
  /** From here on, a follower that takes the output whole gets it from `GET /v1/jobs/{id}/live`, where `next` counts bytes of output. */
  | ({ type: 'live' } & LogEvent)
  /** The last of those; unless `complete`, the rest is only in the log, as far as that keeps it. */
  | { type: 'live-end'; complete: boolean }
  /** `whole`: all of the output came here, although not all of it is kept. */
  | ({ type: 'end'; next: number; whole?: boolean } & RunView)
  | { type: 'done'; job: string }
  | { type: 'ping' };
