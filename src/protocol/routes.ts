/**
 * The gateway's routes and those of a node's control socket: who may call them, what they take and what they answer. Routes and clients are
 * typed by these tables. For the command line they are a bundle of its own, loaded when an answer has arrived.
 */
import { z } from 'zod';
import { boundedRecord, count, MAX_NODES, shown } from '../domain/bounded.ts';
import { labelKeySchema, labelsSchema, labelValueSchema, MAX_LABELS, nodeNameSchema } from '../domain/names.ts';
import {
  alertTestRequest,
  alertTestViewSchema,
  alertViewSchema,
  silenceRequest,
  silenceViewSchema,
  unsilenceRequest,
} from './alerts.ts';
import { followJobRequest, invitationRequest, jobPageSchema, jobViewSchema, submitJobRequest } from './job-messages.ts';
import { nodeStatusViewSchema, rotateKeyViewSchema, shutdownAnswerSchema } from './node-control.ts';
import {
  nodeHeartbeatAnswer,
  nodeHeartbeatRequest,
  nodeHelloAnswer,
  nodeHelloRequest,
  nodeLeaveAnswer,
  pairChallengeAnswer,
  pairChallengeRequest,
  pairVerifyAnswer,
  pairVerifyRequest,
  processesViewSchema,
  rotateKeyAnswer,
  rotateKeyRequest,
} from './node-messages.ts';
import { addScheduleRequest, changeScheduleRequest, firingViewSchema, scheduleViewSchema } from './schedule.ts';
import {
  gatewayViewSchema,
  healthViewSchema,
  inviteViewSchema,
  keyViewSchema,
  nodeDetailViewSchema,
  nodeViewSchema,
  openInviteViewSchema,
  pendingViewSchema,
  reloadViewSchema,
  rotatedKeyViewSchema,
} from './views.ts';

/** Longest row of the audit log: one of an earlier version may hold an error of 256 MiB; UTF-16 units. */
const MAX_ROW_LENGTH = 400 * 1024 * 1024;

const auditPosition = z.object({ seq: count, hash: shown });

function listOf<S extends z.ZodType>(schema: S) {
  return z.array(schema).max(MAX_NODES);
}

/** A node's labels and name as an admin changes them; a label of null is removed. */
const changeNodeRequest = z.strictObject({
  name: nodeNameSchema.optional(),
  labels: boundedRecord(labelKeySchema, labelValueSchema.nullable(), MAX_LABELS).optional(),
});

const decidePendingRequest = z.strictObject({
  decision: z.enum(['approve', 'reject']),
  name: nodeNameSchema.optional(),
  labels: labelsSchema.optional(),
});

export interface Route {
  /** What the caller must be allowed to do (gateway/identity/permissions.ts). */
  action: string;
  /** Its name in the audit log; method and path by default. */
  audit?: string;
  /** The JSON that it takes. */
  body?: z.ZodType;
  /** The body is a stream, not JSON. */
  streamsBody?: true;
  /** The JSON that it answers; nothing, or something else than JSON, by default. */
  answer?: z.ZodType;
  /** The answer lists nodes, runs or rows, of which a gateway has thousands. */
  isList?: true;
}

const read = { action: 'fleet.read' } as const;
const readList = { ...read, isList: true } as const;
const self = { action: 'node.self' } as const;
const pair = { action: 'pair' } as const;
const schedules = { action: 'schedules.manage' } as const;
const run = <A extends string>(audit: A) => ({ action: 'jobs.run', audit }) as const;
const nodes = <A extends string>(audit: A) => ({ action: 'nodes.manage', audit }) as const;
const alerts = <A extends string>(audit: A) => ({ action: 'alerts.manage', audit }) as const;
const gateway = <A extends string>(audit: A) => ({ action: 'gateway.manage', audit }) as const;

export const ROUTES = {
  'GET /v1/gateway': { ...read, answer: gatewayViewSchema },
  'POST /v1/gateway/shutdown': { ...gateway('gateway.shutdown'), answer: shutdownAnswerSchema },
  'POST /v1/gateway/reload': { ...gateway('gateway.reload'), answer: reloadViewSchema },
  'POST /v1/gateway/rotate-key': { ...gateway('gateway.rotate-key'), answer: rotatedKeyViewSchema },
  'GET /metrics': read,

  'POST /v1/pair/challenge': { ...pair, body: pairChallengeRequest, answer: pairChallengeAnswer },
  'POST /v1/pair/verify': { ...pair, body: pairVerifyRequest, answer: pairVerifyAnswer },
  'POST /v1/node/hello': { ...self, body: nodeHelloRequest, answer: nodeHelloAnswer },
  'POST /v1/node/rotate-key': { ...self, body: rotateKeyRequest, answer: rotateKeyAnswer },
  'POST /v1/node/heartbeat': { ...self, body: nodeHeartbeatRequest, answer: nodeHeartbeatAnswer },
  'POST /v1/node/leave': { ...self, answer: nodeLeaveAnswer },

  'POST /v1/invites': {
    action: 'invites.manage',
    audit: 'invite.create',
    body: invitationRequest,
    answer: inviteViewSchema,
  },
  'GET /v1/invites': {
    action: 'invites.manage',
    isList: true,
    answer: z.object({ invites: listOf(openInviteViewSchema) }),
  },
  'DELETE /v1/invites/:invite': { action: 'invites.manage', audit: 'invite.revoke' },
  'GET /v1/keys': { action: 'keys.manage', isList: true, answer: z.object({ keys: listOf(keyViewSchema) }) },
  'POST /v1/keys/:key/revoke': { action: 'keys.manage', audit: 'key.revoke', answer: keyViewSchema },

  'GET /v1/nodes': { ...readList, answer: z.object({ nodes: listOf(nodeViewSchema) }) },
  'GET /v1/nodes/:node': { ...read, answer: nodeDetailViewSchema },
  'PATCH /v1/nodes/:node': { ...nodes('node.change'), body: changeNodeRequest, answer: nodeDetailViewSchema },
  'DELETE /v1/nodes/:node': nodes('node.remove'),
  'POST /v1/nodes/:node/revoke': { ...nodes('node.revoke'), answer: nodeDetailViewSchema },
  'POST /v1/nodes/:node/reset': { ...nodes('node.reset'), answer: nodeDetailViewSchema },
  'GET /v1/nodes/:node/processes': { ...read, answer: processesViewSchema },
  'GET /v1/pending': { ...readList, answer: z.object({ pending: listOf(pendingViewSchema) }) },
  'POST /v1/pending/:which': { ...nodes('pairing.decide'), body: decidePendingRequest, answer: pendingViewSchema },

  'POST /v1/jobs': { ...run('job.submit'), isList: true, body: submitJobRequest, answer: jobViewSchema },
  'GET /v1/jobs': { ...readList, answer: jobPageSchema },
  'GET /v1/jobs/:job': { ...readList, answer: jobViewSchema },
  'POST /v1/jobs/:job/follow': { ...read, body: followJobRequest.prefault({}) },
  // Whoever reads here slows the command, so reading alone is not enough.
  'GET /v1/jobs/:job/live': { action: 'jobs.run' },
  'POST /v1/jobs/:job/cancel': { ...run('job.cancel'), isList: true, answer: jobViewSchema },
  'POST /v1/jobs/:job/stdin': { ...run('job.stdin'), streamsBody: true },

  'GET /v1/audit': {
    action: 'audit.read',
    isList: true,
    answer: z.object({ lines: listOf(z.string().max(MAX_ROW_LENGTH)), next: count.nullable() }),
  },
  'GET /v1/audit/head': {
    action: 'audit.read',
    answer: z.object({
      head: auditPosition.extend({ key: shown, signature: shown }).nullable(),
      live: auditPosition,
      keys: listOf(shown),
    }),
  },

  'GET /v1/health': { ...readList, answer: healthViewSchema },
  'GET /v1/health/report': read,
  'GET /v1/alerts': { ...readList, answer: z.object({ alerts: listOf(alertViewSchema) }) },
  'GET /v1/alerts/silences': { ...readList, answer: z.object({ silences: listOf(silenceViewSchema) }) },
  'POST /v1/alerts/silences': { ...alerts('alert.silence'), body: silenceRequest, answer: silenceViewSchema },
  'POST /v1/alerts/unsilence': {
    ...alerts('alert.unsilence'),
    isList: true,
    body: unsilenceRequest,
    answer: z.object({ silences: listOf(silenceViewSchema) }),
  },
  'POST /v1/alerts/test': {
    ...alerts('alert.test'),
    body: alertTestRequest,
    answer: z.object({ results: listOf(alertTestViewSchema) }),
  },

  'GET /v1/schedules': { ...readList, answer: z.object({ schedules: listOf(scheduleViewSchema) }) },
  'POST /v1/schedules': { ...schedules, body: addScheduleRequest, answer: scheduleViewSchema },
  'GET /v1/schedules/:schedule': { ...read, answer: scheduleViewSchema },
  'PATCH /v1/schedules/:schedule': { ...schedules, body: changeScheduleRequest, answer: scheduleViewSchema },
  'DELETE /v1/schedules/:schedule': schedules,
  'GET /v1/schedules/:schedule/history': { ...readList, answer: z.object({ firings: listOf(firingViewSchema) }) },
  'POST /v1/schedules/:schedule/run': { ...schedules, answer: firingViewSchema },
} as const satisfies Record<string, Route>;

/** The node's control socket: whoever can open it may do everything. */
export const CONTROL_ROUTES = {
  'GET /v1/status': { answer: nodeStatusViewSchema },
  'POST /v1/shutdown': { answer: shutdownAnswerSchema },
  'POST /v1/rotate-key': { answer: rotateKeyViewSchema },
  'POST /v1/leave': { answer: shutdownAnswerSchema },
} as const;

export type Routes = typeof ROUTES;
export type RouteName = keyof Routes;
export type ControlRoutes = typeof CONTROL_ROUTES;

/** What a route takes and answers. */
export type BodyOf<R> = R extends { body: infer S extends z.ZodType } ? z.output<S> : undefined;
export type AnswerOf<R> = R extends { answer: infer S extends z.ZodType } ? z.output<S> : undefined;

/** The names of a path's parameters, such as `node` of `/v1/nodes/:node`. */
export type ParamsOf<Path extends string> = Path extends `${string}:${infer Name}/${infer Rest}`
  ? { [K in Name]: string } & ParamsOf<Rest>
  : Path extends `${string}:${infer Name}`
    ? { [K in Name]: string }
    : unknown;

export const NO_ANSWER = z.union([z.undefined(), z.object({}).transform(() => undefined)]);
