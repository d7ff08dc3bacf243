/** What the gateway hands to a node for one run, and what the node says about it. */
import { z } from 'zod';
import { MAX_COMMAND_BYTES } from './limits.ts';

/** `JOB.INDEX`: the job's id and the run's place in it. */
export const runIdSchema = z.string().regex(/^[0-9a-z]{12}\.\d{1,6}$/, 'not a run id');

const environmentName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'not a name for an environment variable');
const noNul = (text: string): boolean => !text.includes('\0');

/** The work itself: what the ticket binds byte by byte. */
export const runSpecSchema = z.strictObject({
  run: runIdSchema,
  job: z.string(),
  /** The node's id, so that a spec for one node is void on another. */
  nodeId: z.string(),
  /** The node's name, for `FLEET_NODE`. */
  node: z.string(),
  kind: z.literal('shell'),
  /** Given to the node's shell as one string, as sshd does. */
  command: z
    .string()
    .min(1)
    .refine((text) => Buffer.byteLength(text) <= MAX_COMMAND_BYTES, `longer than ${MAX_COMMAND_BYTES} bytes`)
    .refine(noNul, 'contains a NUL byte'),
  cwd: z.string().min(1).refine(noNul, 'contains a NUL byte').optional(),
  env: z.record(environmentName, z.string().refine(noNul, 'contains a NUL byte')),
  /** Run as this user; the node must be allowed to. */
  user: z
    .string()
    .regex(/^[a-zA-Z_][a-zA-Z0-9_.-]*\$?$/, 'not a user name')
    .optional(),
  /** From start to SIGTERM. */
  timeoutMs: z.number().int().positive().optional(),
  /** Whether somebody will send stdin; otherwise it is empty. */
  stdin: z.boolean(),
  /** stdout and stderr together that are kept. */
  maxOutputBytes: z.number().int().positive(),
});

export type RunSpec = z.infer<typeof runSpecSchema>;

/** What a Date can hold (ECMA-262, 21.4.1.1): a time from another machine must not make every list of jobs fail. */
const timeMs = z.number().int().min(0).max(8.64e15);
const count = z.number().int().nonnegative();

/** Payload of a `started` frame. Times are ms since the epoch on the gateway's clock, as the node estimates it. */
export const runStartedSchema = z.object({ startedAt: timeMs, pid: z.number().int() });

export type RunStarted = z.infer<typeof runStartedSchema>;

export const OUTCOME_STATES = ['exited', 'signaled', 'timed_out', 'canceled', 'failed_to_start', 'unknown'] as const;

/** Payload of an `end` frame. */
export const runOutcomeSchema = z.object({
  state: z.enum(OUTCOME_STATES),
  /** 0–255 when `exited`. */
  exitCode: z.number().int().nullable(),
  /** `SIGKILL`, … when a signal ended the shell. */
  signal: z.string().nullable(),
  /** Why it did not simply exit: a short stable word such as `timeout`, `no_such_user`, `node_restarted`, and then prose after a colon. */
  reason: z.string().nullable(),
  startedAt: timeMs.nullable(),
  endedAt: timeMs,
  /** All that was written, kept or not. */
  stdoutBytes: count,
  stderrBytes: count,
  /** Bytes of both streams that were written but not kept. */
  droppedBytes: count,
});

export type RunOutcome = z.infer<typeof runOutcomeSchema>;

/** What `PUT /v1/runs/{id}` and `GET /v1/runs/{id}` on the node answer. */
export const runStatusSchema = z.object({
  run: runIdSchema,
  state: z.enum(['delivered', 'running', ...OUTCOME_STATES]),
  outcome: runOutcomeSchema.nullable(),
  /** Length of the log so far, bytes of frames. */
  logBytes: count,
});

export type RunStatus = z.infer<typeof runStatusSchema>;
