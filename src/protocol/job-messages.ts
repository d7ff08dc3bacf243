/** Jobs as the API speaks of them: what is asked, what is told, and the events of a followed job. */
import { z } from 'zod';
import { labelsSchema } from './names.ts';
import { runSpecSchema } from './run-spec.ts';
import type { RunState } from './run-state.ts';

/** How a broadcast's runs are released. */
export const flowSchema = z.strictObject({
  /** Most runs at once; unlimited when absent. */
  fanout: z.number().int().positive().optional(),
  /** Batches of 1, 2, 4, …, each after the one before has ended. */
  ramp: z.boolean().optional(),
  /** More failed runs than this cancel those that have not begun; `10` or `5%`. */
  maxErrors: z
    .string()
    .regex(/^\d+%?$/, 'neither a number nor a percentage')
    .optional(),
});
export type Flow = z.infer<typeof flowSchema>;

export const submitJobRequest = z.strictObject({
  kind: z.literal('shell'),
  command: runSpecSchema.shape.command,
  /** One node by name, id or prefix; or a selector for many. */
  target: z.union([
    z.strictObject({ node: z.string().min(1) }),
    z.strictObject({ selector: z.string().min(1), exclude: z.string().optional() }),
  ]),
  cwd: runSpecSchema.shape.cwd,
  env: runSpecSchema.shape.env.optional(),
  user: runSpecSchema.shape.user,
  timeoutMs: runSpecSchema.shape.timeoutMs,
  stdin: z.boolean().optional(),
  /** How long a run may wait for its node, ms. Without it, a node that is offline now fails its run at once. */
  expiresMs: z.number().int().positive().optional(),
  lane: z.string().min(1).max(64).optional(),
  idempotencyKey: z.string().min(1).max(128).optional(),
  flow: flowSchema.optional(),
  /** Answer with the stream of events instead of the job. */
  follow: z.boolean().optional(),
});
export type SubmitJobRequest = z.infer<typeof submitJobRequest>;

export const followJobRequest = z.strictObject({
  /** Log offset to go on from, by index of the run. */
  from: z.record(z.string().regex(/^\d+$/), z.number().int().nonnegative()).optional(),
});
export type FollowJobRequest = z.infer<typeof followJobRequest>;

/** One run as every answer shows it. Times are ISO 8601 UTC. */
export interface RunView {
  run: string;
  job: string;
  index: number;
  node: string;
  state: RunState;
  exitCode: number | null;
  signal: string | null;
  reason: string | null;
  queuedAt: string;
  deliveredAt: string | null;
  startedAt: string | null;
  endedAt: string | null;
  durationMs: number | null;
  stdoutBytes: number;
  stderrBytes: number;
  /** Whether some output was not kept. */
  truncated: boolean;
}

export interface JobView {
  job: string;
  kind: 'shell';
  command: string;
  createdAt: string;
  createdBy: string;
  target: string;
  /** Runs by state. */
  counts: Partial<Record<RunState, number>>;
  runs: RunView[];
}

/** One line of a followed job. `next` is the log offset to go on from once the event was handled. */
export type JobEvent =
  | { type: 'job'; job: string; runs: { run: string; index: number; node: string; state: RunState }[] }
  | { type: 'state'; job: string; run: string; index: number; node: string; state: RunState; at: string }
  | {
      type: 'stdout' | 'stderr';
      run: string;
      index: number;
      node: string;
      next: number;
      data: string;
      encoding?: 'base64';
    }
  | ({ type: 'end'; next: number } & RunView)
  | { type: 'done'; job: string }
  | { type: 'ping' };

export const invitationRequest = z.strictObject({
  name: z.string().optional(),
  role: z.enum(['node', 'viewer', 'operator', 'admin']),
  ttlMs: z.number().int().positive(),
  uses: z.number().int().positive().max(10_000),
  labels: labelsSchema,
});
export type InvitationRequest = z.infer<typeof invitationRequest>;
