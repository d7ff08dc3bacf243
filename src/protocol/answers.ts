/** Schemas of what the gateway and a node's control socket answer. A bundle of its own: the command line loads it once an answer has come. */
import { z } from 'zod';
import { count, MAX_NODES, shown } from '../domain/bounded.ts';
import { alertTestViewSchema, alertViewSchema, silenceViewSchema } from './alerts.ts';
import { jobPageSchema, jobViewSchema } from './job-messages.ts';
import { nodeStatusViewSchema, rotateKeyViewSchema, shutdownAnswerSchema } from './node-control.ts';
import { processesViewSchema } from './node-messages.ts';
import { firingViewSchema, scheduleViewSchema } from './schedule.ts';
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

export const ANSWERS = {
  nothing: z.union([z.undefined(), z.object({}).transform(() => undefined)]),
  gateway: gatewayViewSchema,
  reload: reloadViewSchema,
  shutdown: shutdownAnswerSchema,
  rotatedKey: rotatedKeyViewSchema,
  invite: inviteViewSchema,
  invites: z.object({ invites: listOf(openInviteViewSchema) }),
  keys: z.object({ keys: listOf(keyViewSchema) }),
  key: keyViewSchema,
  nodes: z.object({ nodes: listOf(nodeViewSchema) }),
  node: nodeDetailViewSchema,
  pendingList: z.object({ pending: listOf(pendingViewSchema) }),
  pending: pendingViewSchema,
  job: jobViewSchema,
  jobPage: jobPageSchema,
  auditPage: z.object({ lines: listOf(z.string().max(MAX_ROW_LENGTH)), next: count.nullable() }),
  auditHead: z.object({
    head: auditPosition.extend({ key: shown, signature: shown }).nullable(),
    live: auditPosition,
    keys: listOf(shown),
  }),
  health: healthViewSchema,
  alerts: z.object({ alerts: listOf(alertViewSchema) }),
  silences: z.object({ silences: listOf(silenceViewSchema) }),
  silence: silenceViewSchema,
  alertTests: z.object({ results: listOf(alertTestViewSchema) }),
  processes: processesViewSchema,
  schedules: z.object({ schedules: listOf(scheduleViewSchema) }),
  schedule: scheduleViewSchema,
  firings: z.object({ firings: listOf(firingViewSchema) }),
  firing: firingViewSchema,
  /** Of the node's control socket. */
  nodeStatus: nodeStatusViewSchema,
  nodeKey: rotateKeyViewSchema,
} as const;

export type Answers = { [K in keyof typeof ANSWERS]: z.infer<(typeof ANSWERS)[K]> };
