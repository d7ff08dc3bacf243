/** What a running node tells people on its own machine, over its control socket (nodes/PROFILE/node.sock). Times are ISO 8601 UTC. */
import { z } from 'zod';
import { figure, MAX_WORDS, shown, text, textList } from '../domain/bounded.ts';
import { MAX_BODY_BYTES } from '../domain/limits.ts';

/** Rules of a policy, as they stand in the config. */
const rules = z.array(z.string().max(MAX_BODY_BYTES)).max(MAX_WORDS).readonly();

/** The node's own say in what its gateway may ask (docs/policy.md). Null where a rule restricts nothing. */
const nodePolicyViewSchema = z
  .object({
    kinds: z
      .array(z.enum(['shell', 'agent']))
      .max(2)
      .readonly(),
    commands: z.object({ allow: rules, exact: rules }).readonly().nullable(),
    deny: rules,
    /** Besides the node's own user. */
    users: rules.nullable(),
    /** Where null, all but those that can make other programs run. */
    env: rules.nullable(),
    /** Besides the home folder of the user. */
    folders: rules.nullable(),
    maxConcurrency: figure.nullable(),
  })
  .readonly();
export type NodePolicyView = z.infer<typeof nodePolicyViewSchema>;

/** `GET /v1/status`. */
export const nodeStatusViewSchema = z.object({
  profile: shown,
  /** As the gateway calls it; null while it is not paired. */
  name: shown.nullable(),
  id: shown.nullable(),
  gateway: shown,
  /** `pending`: waits for an operator's approval, with the code to compare. */
  state: z.enum(['connecting', 'pairing', 'pending', 'online', 'waiting', 'stopped']),
  pendingCode: shown.nullable(),
  /** Why the last attempt failed; null while online. */
  lastError: z.object({ code: shown, message: text, hint: text.optional() }).nullable(),
  /** When the next attempt begins; only in `waiting`. */
  retryAt: shown.nullable(),
  connectedSince: shown.nullable(),
  rttMs: figure.nullable(),
  /** Node's clock minus gateway's, ms. */
  skewMs: figure.nullable(),
  runsActive: figure,
  /** Null without one. */
  policy: nodePolicyViewSchema.nullable(),
  /** What the node itself finds wrong. */
  faults: textList,
  pid: figure,
  version: shown,
  startedAt: shown,
  /** Connections made so far. */
  connects: figure,
});
export type NodeStatusView = z.infer<typeof nodeStatusViewSchema>;

/** `POST /v1/shutdown` answers this with 202 and then ends the process; commands that run go on and are adopted by the next start. */
export const shutdownAnswerSchema = z.object({ pid: figure });
export type ShutdownAnswer = z.infer<typeof shutdownAnswerSchema>;

/** `POST /v1/rotate-key`. */
export const rotateKeyViewSchema = z.object({
  /** `waiting`: the node is not connected; the key changes with its next connect. */
  state: z.enum(['rotated', 'waiting']),
  /** Of the new key: `SHA256:…`. */
  fingerprint: shown,
});
export type RotateKeyView = z.infer<typeof rotateKeyViewSchema>;
