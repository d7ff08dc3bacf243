/** What the API shows of nodes, health and the gateway itself; `--json` prints these. Times are ISO 8601 UTC, sizes bytes. */
import { z } from 'zod';
import {
  boundedRecord,
  figure,
  MAX_NODES,
  MAX_WORDS,
  positiveMs,
  shown,
  shownList,
  text,
  textList,
} from '../domain/bounded.ts';
import { labelsSchema } from '../domain/names.ts';
import { NODE_STATUSES } from '../domain/states.ts';
import { ROLES } from '../domain/vocabulary.ts';
import { alertViewSchema } from './alerts.ts';

const nodeStatus = z.enum(NODE_STATUSES);
const labels = boundedRecord(shown, shown, MAX_WORDS);

export const nodeViewSchema = z.object({
  id: shown,
  name: shown,
  /** `revoked` for a node whose key was revoked. */
  status: z.enum([...NODE_STATUSES, 'revoked']),
  labels,
  capabilities: shownList,
  lastSeenAt: shown.nullable(),
  connectedSince: shown.nullable(),
  rttMs: figure.nullable(),
  /** Version of the node's fleet; absent from earlier gateways. */
  version: shown.nullable().optional(),
  /** The same, until 1.0. */
  agentVersion: shown.nullable(),
  os: shown.nullable(),
  arch: shown.nullable(),
  hostname: shown.nullable(),
});
export type NodeView = z.infer<typeof nodeViewSchema>;

/** Labels and capabilities that a node would like to have and that do not count. */
const claimViewSchema = z.object({
  /** Only those that would change; null takes one away. */
  labels: boundedRecord(shown, shown.nullable(), MAX_WORDS),
  capabilities: shownList,
});
export type ClaimView = z.infer<typeof claimViewSchema>;

/** A machine that connected with a node's key. */
const sightingViewSchema = z.object({
  hostname: shown,
  address: shown,
  /** Hash of the machine's id. */
  machineId: shown.nullable(),
  at: shown,
});
export type SightingView = z.infer<typeof sightingViewSchema>;

const cloneViewSchema = z.object({
  /** `behind`: it presented an old value; `ahead`: one that the gateway never issued; `missing`: none. */
  kind: z.enum(['behind', 'ahead', 'missing']),
  since: shown,
  /** How often it was seen. */
  count: figure,
  /** The one that was there before, and the one that came with the wrong value. */
  machines: z.tuple([sightingViewSchema, sightingViewSchema]),
});
export type CloneView = z.infer<typeof cloneViewSchema>;

export const nodeDetailViewSchema = nodeViewSchema.extend({
  reasons: textList,
  /** `SHA256:…`, as ssh-keygen -l shows it. */
  fingerprint: shown,
  address: shown.nullable(),
  pairedAt: shown,
  osRelease: shown.nullable(),
  skewMs: figure.nullable(),
  runsActive: figure.nullable(),
  /** Whether the node's own policy restricts what it does; null when it has not said. */
  policy: z.boolean().nullable(),
  /** Set when its key seems to be used by two machines, until an operator resets it. */
  clone: cloneViewSchema.nullable(),
  /** What it says of itself since it was let in, and an admin has not approved. */
  pending: claimViewSchema.extend({ code: shown }).nullable().optional(),
  /** What an admin has turned down. */
  refused: claimViewSchema.nullable().optional(),
});
export type NodeDetailView = z.infer<typeof nodeDetailViewSchema>;

/** A machine that asks to join, or a node that asks for other labels or capabilities than it was let in with. */
export const pendingViewSchema = z.object({
  kind: z.enum(['join', 'change']).optional(),
  name: shown,
  /** Eight digits. A machine that asks to join shows the same; of a change, they stand for exactly that change. */
  code: shown,
  fingerprint: shown,
  address: shown,
  hostname: shown,
  os: shown,
  arch: shown,
  /** Those that it will have. */
  labels,
  capabilities: shownList.optional(),
  /** With the kind `change` only. */
  change: claimViewSchema.optional(),
  since: shown,
});
export type PendingView = z.infer<typeof pendingViewSchema>;

const healthNodeViewSchema = z.object({
  name: shown,
  status: nodeStatus,
  reasons: textList,
  cpuPct: figure.nullable(),
  load1: figure.nullable(),
  memUsedPct: figure.nullable(),
  diskUsedPct: figure.nullable(),
  rttMs: figure.nullable(),
  skewMs: figure.nullable(),
  uptimeS: figure.nullable(),
  lastSeenAt: shown.nullable(),
  /** Runs that it works on; null while it is not connected. */
  runsActive: figure.nullable().optional(),
  /** 0 (useless) to 100, of the tunnel and of the machine; docs/health.md has the formulas. */
  linkScore: figure.nullable(),
  machineScore: figure.nullable(),
  jitterMs: figure.nullable(),
  /** Of keepalives and heartbeats of about the last hour. */
  lostPct: figure.nullable(),
  reconnectsPerHour: figure,
});
export type HealthNodeView = z.infer<typeof healthNodeViewSchema>;

const statisticsView = z.object({ min: figure, avg: figure, max: figure, p95: figure }).nullable();
const seriesView = z.array(figure.nullable()).max(MAX_WORDS);

/** How one node was over the last 24 hours. */
const healthDayViewSchema = z.object({
  uptimePct: figure.nullable(),
  outages: figure,
  /** Times at which it was not online, by start; `end` is null while it goes on. */
  incidents: z
    .array(
      z.object({
        status: nodeStatus.exclude(['online']),
        start: shown,
        end: shown.nullable(),
        durationMs: figure,
        reasons: textList,
      }),
    )
    .max(MAX_NODES),
  /** Disks that will be full, soonest first. */
  forecasts: z.array(z.object({ mount: shown, fullAt: shown, fullInMs: figure, risePctPerDay: figure })).max(MAX_WORDS),
  cpuPct: statisticsView,
  memUsedPct: statisticsView,
  diskUsedPct: statisticsView,
  rttMs: statisticsView,
  /** Means of equal parts, oldest first; null where nothing is known. */
  series: z.object({
    partMs: figure,
    cpuPct: seriesView,
    memUsedPct: seriesView,
    diskUsedPct: seriesView,
    rttMs: seriesView,
    onlinePct: seriesView,
  }),
});
export type HealthDayView = z.infer<typeof healthDayViewSchema>;

export const healthViewSchema = z.object({
  /** The worst of all nodes; `unknown` when there is none. */
  status: z.enum([...NODE_STATUSES, 'unknown']).catch('unknown'),
  nodes: z.array(healthNodeViewSchema).max(MAX_NODES),
  /** Only when one node was asked for. */
  day: healthDayViewSchema.optional(),
  /** Those that fire, also silenced ones. */
  alerts: z.array(alertViewSchema).max(MAX_NODES),
  /** What is wrong with the gateway itself. */
  faults: textList.optional(),
});
export type HealthView = z.infer<typeof healthViewSchema>;

/** What became of reading the configuration while the gateway runs. Options by name, such as `alerts.notify`. */
export const reloadViewSchema = z.object({
  /** Options that have changed, and count from now on. */
  changed: shownList,
  /** Options that have changed since the start, and count from the next one. */
  restartNeeded: shownList,
});
export type ReloadView = z.infer<typeof reloadViewSchema>;

const configStateViewSchema = reloadViewSchema.pick({ restartNeeded: true }).extend({
  /** When what is in force was read. */
  readAt: shown,
  /** Why the file could not be read the last time; null when it could. */
  fault: text.nullable(),
});
export type ConfigStateView = z.infer<typeof configStateViewSchema>;

const listenViewSchema = z.object({ host: shown, port: figure });

export const gatewayViewSchema = z.object({
  version: shown,
  pid: figure,
  startedAt: shown,
  /** SSH address nodes dial. */
  listen: listenViewSchema,
  api: listenViewSchema.nullable(),
  /** Host, or host:port, by which nodes reach this gateway, if its config says so. */
  advertise: shown.nullable(),
  hostKeyFingerprint: shown,
  nodes: z.object({ paired: figure, connected: figure, pending: figure }),
  runs: z.object({ open: figure }),
  config: configStateViewSchema,
  /** What is wrong with the gateway itself. */
  faults: textList.optional(),
});
export type GatewayView = z.infer<typeof gatewayViewSchema>;

export const rotatedKeyViewSchema = z.object({
  /** Id of the key that signs from now on. */
  key: shown,
  /** Until then, what the replaced key has signed is good. */
  graceEndsAt: shown,
});

export const invitationRequest = z.strictObject({
  name: z.string().max(256).optional(),
  role: z.enum(ROLES),
  ttlMs: positiveMs,
  uses: z.number().int().positive().max(10_000),
  labels: labelsSchema,
  /** Nodes that join with it are removed after a time offline. */
  ephemeral: z.boolean().optional(),
});

export const inviteViewSchema = z.object({ code: shown, expiresAt: shown });
export type InviteView = z.infer<typeof inviteViewSchema>;

/** An invite that can still be used, without its secret. */
export const openInviteViewSchema = z.object({
  /** The first four characters of its code. */
  id: shown,
  role: z.enum(ROLES),
  name: shown.nullable(),
  labels,
  ephemeral: z.boolean(),
  usesLeft: figure,
  /** Failed attempts so far; five invalidate it. */
  failures: figure,
  createdAt: shown,
  createdBy: shown,
  expiresAt: shown,
});
export type OpenInviteView = z.infer<typeof openInviteViewSchema>;

/** One key that the gateway knows, of a person or a node. */
export const keyViewSchema = z.object({
  kind: z.enum(['person', 'node']),
  id: shown,
  name: shown,
  role: z.enum(ROLES),
  /** `SHA256:…`, as ssh-keygen -l shows it. */
  fingerprint: shown,
  createdAt: shown,
  /** Now, while it is connected; null when it never was. */
  lastSeenAt: shown.nullable(),
  connected: z.boolean(),
  revokedAt: shown.nullable(),
});
export type KeyView = z.infer<typeof keyViewSchema>;
