/** The HTTP APIs as tables, from which the gateway's routes and the typed clients are made. The CLI loads it, as a bundle of its own, only to read an answer. */
import { z } from 'zod';
import { boundedRecord, count, MAX_NODES, shown } from '../domain/bounded.ts';
import { labelKeySchema, labelsSchema, labelValueSchema, MAX_LABELS, nodeNameSchema } from '../domain/names.ts';
import type { AnswerSchema } from '../shared/http/request.ts';
import {
  alertTestRequest,
  alertTestViewSchema,
  alertViewSchema,
  silenceRequest,
  silenceViewSchema,
  unsilenceRequest,
} from './alerts.ts';
import { followJobRequest, jobPageSchema, jobViewSchema, submitJobRequest } from './job-messages.ts';
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
  processesQuery,
  processesViewSchema,
  rotateKeyAnswer,
  rotateKeyRequest,
} from './node-messages.ts';
import { addScheduleRequest, changeScheduleRequest, firingViewSchema, scheduleViewSchema } from './schedule.ts';
import {
  gatewayViewSchema,
  healthViewSchema,
  invitationRequest,
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

const changeNodeRequest = z.strictObject({
  name: nodeNameSchema.optional(),
  /** Null removes the label. */
  labels: boundedRecord(labelKeySchema, labelValueSchema.nullable(), MAX_LABELS).optional(),
});

const decideRequest = z.strictObject({
  decision: z.enum(['approve', 'reject']),
  name: nodeNameSchema.optional(),
  labels: labelsSchema.optional(),
});

const auditPosition = z.object({ seq: count, hash: shown });
const auditHead = z.object({
  head: auditPosition.extend({ key: shown, signature: shown }).nullable(),
  live: auditPosition,
  keys: listOf(shown),
});

/** A query parameter; repeated ones are ignored. */
const text = z.string().optional().catch(undefined);
const isWhole = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const integer = z.preprocess(
  (value) => (typeof value === 'string' ? Number(value) : undefined),
  z.custom<number>(isWhole, 'not a whole number').optional(),
);
/** Set by exactly this value. */
function flag<T extends true | 1>(on: T) {
  return z.preprocess((value) => (value === String(on) ? on : undefined), z.literal(on).optional());
}

const query = {
  selector: z.object({ selector: text, exclude: text }),
  jobs: z.object({ node: text, state: text, since: integer, limit: integer, before: integer }),
  audit: z.object({
    after: integer,
    before: integer,
    since: integer,
    actor: text,
    action: text,
    /** Rows as they are stored, however long. */
    whole: flag(1),
  }),
  /** The caller takes all output at its own pace. In the query, because an older gateway refuses unknown fields of a body. */
  whole: z.object({ whole: flag(true) }),
};

const none = z.union([z.undefined(), z.object({}).transform(() => undefined)]);

function listOf<S extends z.ZodType>(schema: S) {
  return z.array(schema).max(MAX_NODES);
}

const read = { action: 'fleet.read' } as const;
const readLarge = { ...read, large: true } as const;
const self = { action: 'node.self' } as const;
const pair = { action: 'pair' } as const;
const schedules = { action: 'schedules.manage' } as const;
const invites = { action: 'invites.manage' } as const;
const run = <A extends string>(audit: A) => ({ action: 'jobs.run', audit }) as const;
const nodes = <A extends string>(audit: A) => ({ action: 'nodes.manage', audit }) as const;
const alerts = <A extends string>(audit: A) => ({ action: 'alerts.manage', audit }) as const;
const gateway = <A extends string>(audit: A) => ({ action: 'gateway.manage', audit }) as const;

/**
 * Each route by method and path. `action` names the permission (gateway/identity/permissions.ts), `audit` the action in the audit log,
 * `large` an answer of up to 64 MiB; a route without `answer` sends a document or a stream.
 */
export const ROUTES = {
  'POST /v1/pair/challenge': { ...pair, body: pairChallengeRequest, answer: pairChallengeAnswer },
  'POST /v1/pair/verify': { ...pair, body: pairVerifyRequest, answer: pairVerifyAnswer },
  'POST /v1/node/hello': { ...self, body: nodeHelloRequest, answer: nodeHelloAnswer },
  'POST /v1/node/rotate-key': { ...self, body: rotateKeyRequest, answer: rotateKeyAnswer },
  'POST /v1/node/heartbeat': { ...self, body: nodeHeartbeatRequest, answer: nodeHeartbeatAnswer },
  'POST /v1/node/leave': { ...self, answer: nodeLeaveAnswer },

  'GET /v1/gateway': { ...read, answer: gatewayViewSchema },
  'POST /v1/gateway/shutdown': { ...gateway('gateway.shutdown'), answer: shutdownAnswerSchema },
  'POST /v1/gateway/reload': { ...gateway('gateway.reload'), answer: reloadViewSchema },
  'POST /v1/gateway/rotate-key': { ...gateway('gateway.rotate-key'), answer: rotatedKeyViewSchema },
  'GET /metrics': read,

  'GET /v1/nodes': { ...readLarge, query: query.selector, answer: z.object({ nodes: listOf(nodeViewSchema) }) },
  'GET /v1/nodes/:node': { ...read, answer: nodeDetailViewSchema },
  'PATCH /v1/nodes/:node': { ...nodes('node.change'), body: changeNodeRequest, answer: nodeDetailViewSchema },
  'POST /v1/nodes/:node/revoke': { ...nodes('node.revoke'), answer: nodeDetailViewSchema },
  'POST /v1/nodes/:node/reset': { ...nodes('node.reset'), answer: nodeDetailViewSchema },
  'DELETE /v1/nodes/:node': { ...nodes('node.remove'), answer: none },
  'GET /v1/nodes/:node/processes': { ...read, query: processesQuery, answer: processesViewSchema },
  'GET /v1/pending': { ...readLarge, answer: z.object({ pending: listOf(pendingViewSchema) }) },
  'POST /v1/pending/:which': { ...nodes('pairing.decide'), body: decideRequest, answer: pendingViewSchema },

  'POST /v1/invites': { ...invites, audit: 'invite.create', body: invitationRequest, answer: inviteViewSchema },
  'GET /v1/invites': { ...invites, answer: z.object({ invites: listOf(openInviteViewSchema) }), large: true },
  'DELETE /v1/invites/:invite': { ...invites, audit: 'invite.revoke', answer: none },
  'GET /v1/keys': { action: 'keys.manage', answer: z.object({ keys: listOf(keyViewSchema) }), large: true },
  'POST /v1/keys/:key/revoke': { action: 'keys.manage', audit: 'key.revoke', answer: keyViewSchema },

  'POST /v1/jobs': {
    ...run('job.submit'),
    query: query.whole,
    body: submitJobRequest,
    answer: jobViewSchema,
    large: true,
  },
  'GET /v1/jobs': { ...readLarge, query: query.jobs, answer: jobPageSchema },
  'GET /v1/jobs/:job': { ...readLarge, answer: jobViewSchema },
  'POST /v1/jobs/:job/follow': { ...read, query: query.whole, body: followJobRequest.default({}) },
  // Its reader slows the command, so permission to read is not enough.
  'GET /v1/jobs/:job/live': { action: 'jobs.run', query: z.object({ from: integer }) },
  'POST /v1/jobs/:job/cancel': { ...run('job.cancel'), answer: jobViewSchema, large: true },
  'POST /v1/jobs/:job/stdin': { ...run('job.stdin'), streamsBody: true, answer: none },

  'GET /v1/audit': {
    action: 'audit.read',
    query: query.audit,
    answer: z.object({ lines: listOf(z.string().max(MAX_ROW_LENGTH)), next: count.nullable() }),
    large: true,
  },
  'GET /v1/audit/head': { action: 'audit.read', answer: auditHead },

  'GET /v1/health': { ...readLarge, query: z.object({ node: text }), answer: healthViewSchema },
  'GET /v1/health/report': { ...read, query: z.object({ since: integer, format: text }) },

  'GET /v1/alerts': {
    ...readLarge,
    query: z.object({ active: flag(true), limit: integer }),
    answer: z.object({ alerts: listOf(alertViewSchema) }),
  },
  'GET /v1/alerts/silences': { ...readLarge, answer: z.object({ silences: listOf(silenceViewSchema) }) },
  'POST /v1/alerts/silences': { ...alerts('alert.silence'), body: silenceRequest, answer: silenceViewSchema },
  'POST /v1/alerts/unsilence': {
    ...alerts('alert.unsilence'),
    body: unsilenceRequest,
    answer: z.object({ silences: listOf(silenceViewSchema) }),
    large: true,
  },
  'POST /v1/alerts/test': {
    ...alerts('alert.test'),
    body: alertTestRequest,
    answer: z.object({ results: listOf(alertTestViewSchema) }),
  },

  'GET /v1/schedules': { ...readLarge, answer: z.object({ schedules: listOf(scheduleViewSchema) }) },
  'POST /v1/schedules': { ...schedules, body: addScheduleRequest, answer: scheduleViewSchema },
  'GET /v1/schedules/:schedule': { ...read, answer: scheduleViewSchema },
  'PATCH /v1/schedules/:schedule': { ...schedules, body: changeScheduleRequest, answer: scheduleViewSchema },
  'DELETE /v1/schedules/:schedule': { ...schedules, answer: none },
  'GET /v1/schedules/:schedule/history': {
    ...readLarge,
    query: z.object({ limit: integer }),
    answer: z.object({ firings: listOf(firingViewSchema) }),
  },
  'POST /v1/schedules/:schedule/run': { ...schedules, answer: firingViewSchema },
} as const;

/** The control socket of a node (nodes/PROFILE/node.sock), and no permissions: its file mode admits the node's user only. */
export const CONTROL_ROUTES = {
  'GET /v1/status': { answer: nodeStatusViewSchema },
  'POST /v1/shutdown': { answer: shutdownAnswerSchema },
  'POST /v1/rotate-key': { answer: rotateKeyViewSchema },
  'POST /v1/leave': { answer: shutdownAnswerSchema },
} as const;

export type Routes = typeof ROUTES;
type AllRoutes = Routes & typeof CONTROL_ROUTES;

/** Routes that answer with JSON. */
export type AnsweredRoute = {
  [K in keyof AllRoutes]: AllRoutes[K] extends { answer: z.ZodType } ? K : never;
}[keyof AllRoutes];
export type Answer<K extends AnsweredRoute> = AllRoutes[K] extends { answer: infer S extends z.ZodType }
  ? z.output<S>
  : never;
/** What a caller may pass as the body, and what the route gets. */
export type BodyInput<K> = K extends keyof Routes
  ? Routes[K] extends { body: infer S }
    ? z.input<S>
    : undefined
  : never;
export type Body<K extends keyof Routes> = Routes[K] extends { body: infer S } ? z.output<S> : undefined;
export type Query<K extends keyof Routes> = Routes[K] extends { query: infer S } ? z.output<S> : undefined;

/** How each answer is read. */
export const ANSWERS: { readonly [K in AnsweredRoute]: { answer: AnswerSchema<Answer<K>>; large?: true } } = {
  ...ROUTES,
  ...CONTROL_ROUTES,
};
