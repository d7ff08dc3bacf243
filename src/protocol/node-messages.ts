/** What a node says to the gateway's API, and what it hears: pairing (people, too), hello, heartbeat. Binary fields are base64url. */
import { z } from 'zod';
import { amount, boundedRecord, milliseconds, renamed, timeMs, word } from '../domain/bounded.ts';
import { labelsSchema, nodeNameSchema } from '../domain/names.ts';
import { ROLES } from '../domain/vocabulary.ts';
import { stripControl } from '../shared/text.ts';
import { heartbeatSchema } from './heartbeat.ts';
import { lengthPrefixed, NONCE_BYTES } from './pairing.ts';

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
  challenge: z.string().max(64),
  nonce: bytesOf(NONCE_BYTES),
  /** The gateway's clock, ms. */
  time: timeMs.int(),
  /** HMAC of the gateway; only with an invite. */
  proof: bytesOf(HMAC_BYTES).optional(),
});
export type PairChallengeAnswer = z.infer<typeof pairChallengeAnswer>;

/** Most capabilities of a node, agents included. */
const MAX_CAPABILITIES = 256;
/** Longest id of a node or person. */
const MAX_ID_LENGTH = 64;
/** Longest name, as DNS has it. */
const MAX_NAME_LENGTH = 255;
/** Longest token: a JWS of a few claims. */
const MAX_TOKEN_LENGTH = 4096;

/** Facts about the machine that do not change while it is up. */
const nodeFacts = z.object({
  hostname: word(255),
  os: word(64),
  osRelease: word(255),
  arch: word(64),
  version: word(64),
  /** The same, for gateways before 1.0, which require it. */
  agentVersion: word(64).optional(),
  capabilities: z.array(word(64)).max(MAX_CAPABILITIES),
  /** Prompts that it works on at once, by agent; the others have no limit of their own. */
  agentLimits: boundedRecord(word(64), z.number().int().positive(), MAX_CAPABILITIES).optional(),
  /** Hash of the id that the system has given this machine (machine-id(5)); only to tell people which machine it is. */
  machineId: word(64).optional(),
});

/** Earlier nodes have only `agentVersion`. */
export const nodeFactsSchema = z.preprocess(renamed('agentVersion', 'version'), nodeFacts);
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
    id: word(MAX_ID_LENGTH),
    name: word(MAX_NAME_LENGTH),
    role: z.enum(ROLES),
    token: z.string().max(MAX_TOKEN_LENGTH),
    /** End of the token on the gateway's clock, ms. */
    expiresAt: timeMs,
    time: timeMs,
    signingKeys: signingKeysSchema,
  }),
  z.object({ status: z.literal('pending'), code: word(16), retryAfterMs: milliseconds }),
]);
export type PairVerifyAnswer = z.infer<typeof pairVerifyAnswer>;

/** Longest time between two heartbeats that a node agrees to, ms. */
const MAX_HEARTBEAT_INTERVAL_MS = 86_400_000;
/** Longest value of a connect epoch. */
const EPOCH_MAX_LENGTH = 64;

export const nodeHelloRequest = z.object({
  facts: nodeFactsSchema,
  labels: labelsSchema.optional(),
  /** Id of the node's run journal; changes only when the journal is lost. */
  journal: z.string().min(1).max(64).transform(stripControl),
  /** What the answer to the hello before said; absent when there was none. */
  epoch: z.string().min(1).max(EPOCH_MAX_LENGTH).optional(),
  protocol: z.number().int(),
});
export type NodeHelloRequest = z.infer<typeof nodeHelloRequest>;

export const nodeHelloAnswer = z.object({
  id: word(MAX_ID_LENGTH),
  name: word(MAX_NAME_LENGTH),
  time: timeMs,
  heartbeatIntervalMs: z.number().int().positive().max(MAX_HEARTBEAT_INTERVAL_MS),
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
  time: timeMs,
  /** Time that the gateway spent on it, ms: what the round trip is without. */
  tookMs: milliseconds,
  name: word(MAX_NAME_LENGTH),
  /** Only when they have changed. */
  signingKeys: signingKeysSchema.optional(),
});
export type NodeHeartbeatAnswer = z.infer<typeof nodeHeartbeatAnswer>;

/** What a node signs, with both keys, to put a new key in the place of its old one. */
const PURPOSE = 'fleet-rotate-v1';

export interface KeyRotation {
  /** The gateway's SSH host key, wire format: a statement for one gateway is none for another. */
  hostKey: Uint8Array;
  nodeId: string;
  /** Ed25519, 32 bytes each. */
  oldKey: Uint8Array;
  newKey: Uint8Array;
}

/** The statement that both keys sign. It needs no nonce: it is true once, while the old key is the node's, and changes nothing afterwards. */
export function encodeKeyRotation({ hostKey, nodeId, oldKey, newKey }: KeyRotation): Buffer {
  return lengthPrefixed([Buffer.from(PURPOSE), hostKey, Buffer.from(nodeId), oldKey, newKey]);
}

/** `POST /v1/node/rotate-key`, over a connection of the old key. */
export const rotateKeyRequest = z.object({
  publicKey: publicKeySchema,
  /** Of the statement, by the old key and by the new one. */
  oldSignature: signatureSchema,
  newSignature: signatureSchema,
});
export type RotateKeyRequest = z.infer<typeof rotateKeyRequest>;

export const rotateKeyAnswer = z.object({ time: timeMs });
export type RotateKeyAnswer = z.infer<typeof rotateKeyAnswer>;

/** Most processes in one answer. */
export const MOST_PROCESSES = 50;
/** Longest reported name of a program, characters. */
export const MAX_PROCESS_NAME_LENGTH = 64;

export const processSchema = z.object({
  pid: z.number().int().positive(),
  /** Null when the machine does not say whose it is; an id when the user has no name. */
  user: word(256).nullable(),
  /** Of all cores, over the half second before the answer where the system tells. */
  cpuPct: amount,
  /** Of the machine's memory. */
  memPct: amount,
  /** Resident memory. */
  rssBytes: amount,
  /** The program's name. */
  command: word(MAX_PROCESS_NAME_LENGTH),
});

export const processSortSchema = z.enum(['cpu', 'mem']);

export const processesQuery = z.object({
  limit: z.coerce.number().int().min(1).max(MOST_PROCESSES).default(10),
  sort: processSortSchema.default('cpu'),
});

export const processesAnswer = z.object({ processes: z.array(processSchema).max(MOST_PROCESSES) });

export type ProcessFigures = z.infer<typeof processSchema>;
export type ProcessSort = z.infer<typeof processSortSchema>;
export type ProcessesQuery = z.infer<typeof processesQuery>;

/** What `fleet health NODE --processes --json` prints. */
export const processesViewSchema = z.object({
  node: word(255),
  /** The largest first. */
  processes: z.array(processSchema.extend({ command: z.string().max(MAX_PROCESS_NAME_LENGTH) })).max(MOST_PROCESSES),
});
export type ProcessesView = z.infer<typeof processesViewSchema>;
