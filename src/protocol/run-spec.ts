/** What the gateway hands to a node for one run, and what the node says about it. */

import { createHash } from 'node:crypto';
import { z } from 'zod';
import { agentNameSchema, startedAgentSchema } from '../domain/agent/agent-spec.ts';
import { boundedRecord, count, positiveMs, sentence, timeMs, word } from '../domain/bounded.ts';
import {
  environmentFault,
  MAX_COMMAND_BYTES,
  MAX_HOLDERS,
  MAX_VARIABLE_BYTES,
  MAX_VARIABLE_NAME_LENGTH,
} from '../domain/limits.ts';

/** `JOB.INDEX`: the job's id and the run's place in it. */
export const runIdSchema = z
  .string()
  .max(19)
  .regex(/^[0-9a-z]{12}\.\d{1,6}$/, 'not a run id');

/** Most variables of one run. */
const MAX_VARIABLES = 4096;
/** Longest path, UTF-16 units: PATH_MAX of Linux. */
const MAX_PATH_LENGTH = 4096;

const environmentName = z
  .string()
  .max(MAX_VARIABLE_NAME_LENGTH)
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'not a name for an environment variable');
const noNul = (text: string): boolean => !text.includes('\0');

/** Variables of a run that any Linux machine can pass on. */
export const environmentSchema = boundedRecord(
  environmentName,
  z.string().max(MAX_VARIABLE_BYTES).refine(noNul, 'contains a NUL byte'),
  MAX_VARIABLES,
).refine((env) => environmentFault(env) === undefined, {
  error: ({ input }) => environmentFault(input as Record<string, string>),
});

/** What is asked for: the command line of a shell, or the prompt of an agent. */
export const commandSchema = z
  .string()
  .min(1)
  .max(MAX_COMMAND_BYTES)
  .refine((text) => Buffer.byteLength(text) <= MAX_COMMAND_BYTES, `longer than ${MAX_COMMAND_BYTES} bytes`)
  .refine(noNul, 'contains a NUL byte');

const commonFields = {
  run: runIdSchema,
  job: z.string().max(64),
  /** The node's id, so that a spec for one node is void on another. */
  nodeId: z.string().max(64),
  /** The node's name, for `FLEET_NODE`. */
  node: z.string().max(255),
  cwd: z.string().min(1).max(MAX_PATH_LENGTH).refine(noNul, 'contains a NUL byte').optional(),
  env: environmentSchema,
  /** Run as this user; the node must be allowed to. */
  user: z
    .string()
    .max(256)
    .regex(/^[a-zA-Z_][a-zA-Z0-9_.-]*\$?$/, 'not a user name')
    .optional(),
  /** From start to SIGTERM. */
  timeoutMs: positiveMs.optional(),
  /** Whether somebody will send stdin; otherwise it is empty. */
  stdin: z.boolean(),
  /** stdout and stderr together that are kept. */
  maxOutputBytes: z.number().int().positive(),
};

const shellSpecSchema = z.strictObject({
  ...commonFields,
  kind: z.literal('shell'),
  /** Given to the node's shell as one string, as sshd does. */
  command: commandSchema,
});

const agentSpecSchema = z.strictObject({
  ...commonFields,
  kind: z.literal('agent'),
  /** Which program that is, and how it gets the prompt, only the node's own config says. */
  agent: agentNameSchema,
  prompt: commandSchema,
  /** The node itself gives the program its stdin. */
  stdin: z.literal(false),
});

/** The work itself: what the ticket binds byte by byte. `kind` selects the executor on the node. */
export const runSpecSchema = z.discriminatedUnion('kind', [shellSpecSchema, agentSpecSchema]);

export type RunSpec = z.infer<typeof runSpecSchema>;
export type ShellSpec = z.infer<typeof shellSpecSchema>;
export type AgentSpec = z.infer<typeof agentSpecSchema>;
/** How a run is run, whatever its kind: fields of requests, too. */
export const runOptionsSchema = z.strictObject(commonFields);

/** The command itself has exited, and these processes, or some that cannot be seen, still hold its output. */
export const runExitedSchema = z.object({
  exitCode: z.number().int().min(0).max(255).nullable(),
  signal: word(32).nullable(),
  holders: z.array(z.object({ pid: z.number().int().positive(), name: word(64) })).max(MAX_HOLDERS),
});

export type RunExited = z.infer<typeof runExitedSchema>;

/**
 * Payload of a `started` frame. Times are ms since the epoch on the gateway's clock, as the node estimates it. A second one, with
 * `exited`, follows when the command's output outlives it; earlier gateways take it for a repetition of the first.
 */
export const runStartedSchema = z.object({
  startedAt: timeMs.int(),
  pid: z.number().int(),
  /** Of a run of an agent. */
  agent: startedAgentSchema.optional(),
  exited: runExitedSchema.optional(),
});

/** Payload of a `gap` frame: what the command wrote between the frame before and the one after, and what was not kept. */
export const runGapSchema = z.object({
  stdoutBytes: count,
  stderrBytes: count,
  /** The shim was killed: nobody knows how much more is missing. */
  atLeast: z.literal(true).optional(),
});

export type RunGap = z.infer<typeof runGapSchema>;

export const OUTCOME_STATES = ['exited', 'signaled', 'timed_out', 'canceled', 'failed_to_start', 'unknown'] as const;

/** Payload of an `end` frame. */
export const runOutcomeSchema = z.object({
  state: z.enum(OUTCOME_STATES),
  /** 0–255 when `exited`. */
  exitCode: z.number().int().nullable(),
  /** `SIGKILL`, … when a signal ended the shell. */
  signal: word(32).nullable(),
  /** Why it did not simply exit: a short stable word such as `timeout`, `no_such_user`, `node_restarted`, and then prose after a colon. */
  reason: sentence().nullable(),
  startedAt: timeMs.int().nullable(),
  endedAt: timeMs.int(),
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

/** Body of `POST /v1/runs/{id}/attend` on the node: how long the reader of the whole output may be away, ms. */
export const attendRequest = z.object({ forMs: z.number().int().nonnegative().max(3_600_000) });

/** Body of `POST /v1/acknowledge` on the node: the gateway has all of these runs. */
export const acknowledgeRequest = z.object({ runs: z.array(z.string().max(64)).max(10_000) });

/** The answer to it: those that the node does not know, or that go on there. */
export const acknowledgeAnswer = z.object({ refused: z.array(word(64)).max(10_000) });

/** What `GET /v1/runs` on the node answers: ended runs that have not been acknowledged. */
export const unacknowledgedAnswer = z.object({ runs: z.array(z.string().max(64)).max(400_000) });

export type RunStatus = z.infer<typeof runStatusSchema>;

/** `typ` of the JWS, so that no token can be passed off as a ticket. */
export const TICKET_TYPE = 'fleet-ticket+jwt';
export const TICKET_ALGORITHM = 'EdDSA';
/** Life of a ticket, s: long enough for a slow link, short enough to be worthless tomorrow. */
export const TICKET_LIFETIME_S = 120;
/** HTTP header that carries it. */
export const TICKET_HEADER = 'fleet-ticket';

/** SHA-256 of the body exactly as sent, base64url: the ticket's `body` claim. */
export function bodyDigest(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('base64url');
}
