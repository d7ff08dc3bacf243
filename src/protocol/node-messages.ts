/** What a node says to the gateway's API, and what it hears: pairing (people, too), hello, heartbeat. Binary fields are base64url. */
import { z } from 'zod';
import { heartbeatSchema } from './heartbeat.ts';
import { labelsSchema, nodeNameSchema } from './names.ts';
import { NONCE_BYTES } from './pairing.ts';
import { ROLES } from './roles.ts';

const bytesOf = (length: number) =>
  z
    .string()
    .max(200)
    .regex(/^[A-Za-z0-9_-]*$/, 'not base64url')
    .refine((text) => Buffer.from(text, 'base64url').length === length, `not ${length} bytes`);

export const PUBLIC_KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;
const HMAC_BYTES = 32;
export const publicKeySchema = bytesOf(PUBLIC_KEY_BYTES);
export const signatureSchema = bytesOf(SIGNATURE_BYTES);

export const pairChallengeRequest = z.object({
  publicKey: bytesOf(PUBLIC_KEY_BYTES),
  nonce: bytesOf(NONCE_BYTES),
  /** Id of the invite; absent for a renewal and for a node that waits for approval. */
  invite: z.string().max(16).optional(),
  protocol: z.number().int(),
});
export type PairChallengeRequest = z.infer<typeof pairChallengeRequest>;

export const pairChallengeAnswer = z.object({
  challenge: z.string(),
  nonce: bytesOf(NONCE_BYTES),
  /** The gateway's clock, ms. */
  time: z.number().int(),
  /** HMAC of the gateway; only with an invite. */
  proof: bytesOf(HMAC_BYTES).optional(),
});
export type PairChallengeAnswer = z.infer<typeof pairChallengeAnswer>;

/** Facts about the machine that do not change while it is up. */
export const nodeFactsSchema = z.object({
  hostname: z.string().max(255),
  os: z.string().max(64),
  osRelease: z.string().max(255),
  arch: z.string().max(64),
  agentVersion: z.string().max(64),
  capabilities: z.array(z.string().max(64)).max(256),
  /** Prompts that it works on at once, by agent; the others have no limit of their own. */
  agentLimits: z.record(z.string().max(64), z.number().int().positive()).optional(),
  /** Hash of the id that the system has given this machine (machine-id(5)); only to tell people which machine it is. */
  machineId: z.string().max(64).optional(),
});
export type NodeFacts = z.infer<typeof nodeFactsSchema>;

export const pairVerifyRequest = z.object({
  challenge: z.string().max(64),
  opening: bytesOf(NONCE_BYTES),
  signature: bytesOf(SIGNATURE_BYTES),
  proof: bytesOf(HMAC_BYTES).optional(),
  /** What the key wants to be; an invite decides on the role. */
  as: z.enum(['node', 'person']),
  /** The name that the machine or person would like; the gateway may give another. */
  name: nodeNameSchema,
  /** Whether the person asked for exactly that name. */
  nameRequired: z.boolean(),
  labels: labelsSchema,
  /** Nodes only. */
  facts: nodeFactsSchema.optional(),
});
export type PairVerifyRequest = z.infer<typeof pairVerifyRequest>;

/** Public keys (raw Ed25519, base64url) whose tickets the node accepts, to be stored before its next heartbeat. */
const signingKeysSchema = z.array(bytesOf(PUBLIC_KEY_BYTES)).min(1).max(100);

export const pairVerifyAnswer = z.discriminatedUnion('status', [
  z.object({
    status: z.literal('paired'),
    id: z.string(),
    name: z.string(),
    role: z.enum(ROLES),
    token: z.string(),
    /** End of the token on the gateway's clock, ms. */
    expiresAt: z.number(),
    time: z.number(),
    signingKeys: signingKeysSchema,
  }),
  z.object({ status: z.literal('pending'), code: z.string(), retryAfterMs: z.number() }),
]);
export type PairVerifyAnswer = z.infer<typeof pairVerifyAnswer>;

/** Longest value of a connect epoch. */
const EPOCH_MAX_LENGTH = 64;

export const nodeHelloRequest = z.object({
  facts: nodeFactsSchema,
  labels: labelsSchema.optional(),
  /** Id of the node's run journal; changes only when the journal is lost. */
  journal: z.string().min(1).max(64),
  /** What the answer to the hello before said; absent when there was none. */
  epoch: z.string().min(1).max(EPOCH_MAX_LENGTH).optional(),
  protocol: z.number().int(),
});
export type NodeHelloRequest = z.infer<typeof nodeHelloRequest>;

export const nodeHelloAnswer = z.object({
  id: z.string(),
  name: z.string(),
  time: z.number(),
  heartbeatIntervalMs: z.number().int().positive(),
  /** To be on the node's disk before its first heartbeat, and presented by its next hello. */
  epoch: z.string().min(1).max(EPOCH_MAX_LENGTH).optional(),
  /** Whether another machine seems to use the same key. */
  isSuspected: z.boolean().optional(),
  signingKeys: signingKeysSchema.optional(),
});
export type NodeHelloAnswer = z.infer<typeof nodeHelloAnswer>;

/** A node that leaves is forgotten: nothing more to say. */
export const nodeLeaveAnswer = z.object({});

export const nodeHeartbeatRequest = heartbeatSchema;

export const nodeHeartbeatAnswer = z.object({
  time: z.number(),
  /** Time that the gateway spent on it, ms: what the round trip is without. */
  tookMs: z.number(),
  name: z.string(),
  /** Only when they have changed. */
  signingKeys: signingKeysSchema.optional(),
});
export type NodeHeartbeatAnswer = z.infer<typeof nodeHeartbeatAnswer>;
