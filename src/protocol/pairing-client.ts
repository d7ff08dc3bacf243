/** The newcomer's part of the handshake: a node or a person pairs by invite, waits for approval, or renews its token. docs/pairing.md tells the why. */
import { randomBytes } from 'node:crypto';
import type { Labels } from '../domain/names.ts';
import { FleetError } from '../shared/errors.ts';
import type { OwnIdentity } from '../shared/ssh/identity.ts';
import type {
  NodeFacts,
  PairChallengeAnswer,
  PairChallengeRequest,
  PairVerifyAnswer,
  PairVerifyRequest,
} from './node-messages.ts';
import {
  commitmentOf,
  comparisonCode,
  encodeTranscript,
  type InviteCode,
  inviteProof,
  NONCE_BYTES,
  proofsEqual,
} from './pairing.ts';
import { PROTOCOL_VERSION } from './version.ts';

/** Carries the two messages; throws what the gateway refuses. */
export interface PairingCalls {
  pairChallenge(request: PairChallengeRequest): Promise<PairChallengeAnswer>;
  pairVerify(request: PairVerifyRequest): Promise<PairVerifyAnswer>;
}

export interface PairOptions {
  client: PairingCalls;
  /** What this key wants to be. */
  as: 'node' | 'person';
  identity: OwnIdentity;
  /** The host key that this connection has proven, wire format. */
  hostKey: Buffer;
  /** Undefined to renew a token, or to ask for approval. */
  invite: InviteCode | undefined;
  name: string;
  nameRequired: boolean;
  labels: Labels;
  /** Of the machine; nodes only. */
  facts?: NodeFacts;
  /** Without an invite: gets the comparison code before the gateway can have it. */
  beforeAsking?(code: string): void;
}

/** What the gateway decided; a pending answer comes with the comparison code that this side has computed itself. */
type PairResult =
  | Extract<PairVerifyAnswer, { status: 'paired' }>
  | { status: 'pending'; ownCode: string; gatewayCode: string; retryAfterMs: number };

/** @throws FleetError `gateway_not_proven` when the gateway does not know the invite's secret; and what the gateway refuses. */
export async function pair(options: PairOptions): Promise<PairResult> {
  const { client, identity, hostKey, invite, as, name, nameRequired, labels, facts } = options;
  const opening = randomBytes(NONCE_BYTES);
  const nodeNonce = commitmentOf(opening);
  const challenge = await client.pairChallenge({
    publicKey: base64Url(identity.publicKey),
    nonce: base64Url(nodeNonce),
    protocol: PROTOCOL_VERSION,
    ...(invite === undefined ? {} : { invite: invite.id }),
  });
  const transcript = encodeTranscript({
    hostKey,
    publicKey: identity.publicKey,
    nodeNonce,
    gatewayNonce: Buffer.from(challenge.nonce, 'base64url'),
    gatewayTimeMs: challenge.time,
    inviteId: invite?.id ?? '',
  });
  const ownCode = comparisonCode(transcript, opening);
  if (invite === undefined) options.beforeAsking?.(ownCode);
  else assertGatewayProof(invite, transcript, challenge.proof);
  const answer = await client.pairVerify({
    challenge: challenge.challenge,
    opening: base64Url(opening),
    signature: base64Url(identity.sign(transcript)),
    as,
    name,
    nameRequired,
    labels,
    ...(facts === undefined ? {} : { facts }),
    ...(invite === undefined ? {} : { proof: base64Url(inviteProof('node', invite.secret, transcript)) }),
  });
  if (answer.status === 'paired') return answer;
  const { code, retryAfterMs } = answer;
  return { status: 'pending', ownCode, gatewayCode: code, retryAfterMs };
}

function assertGatewayProof(invite: InviteCode, transcript: Buffer, proof: string | undefined): void {
  const expected = inviteProof('gateway', invite.secret, transcript);
  if (proof !== undefined && proofsEqual(expected, Buffer.from(proof, 'base64url'))) return;
  throw new FleetError('gateway_not_proven', 'this is not the gateway that made the code, or the code is mistyped', {
    hint: 'Check the address and the code. If both are right, somebody may stand between the machines.',
  });
}

function base64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}
