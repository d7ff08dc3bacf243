/**
 * Pairing: turns an unknown key into a node, by invite or by approval, and gives known keys their tokens.
 *
 * Two messages, both over the SSH connection of the key in question: a challenge, and its proof. docs/pairing.md tells the why.
 */
import type { Labels } from '../../protocol/names.ts';
import type {
  PairChallengeAnswer,
  PairChallengeRequest,
  PairVerifyAnswer,
  PairVerifyRequest,
} from '../../protocol/node-messages.ts';
import {
  commitmentOf,
  comparisonCode,
  encodeTranscript,
  inviteProof,
  NONCE_BYTES,
  proofsEqual,
  type Transcript,
} from '../../protocol/pairing.ts';
import type { Role } from '../../protocol/roles.ts';
import { PROTOCOL_VERSION } from '../../protocol/version.ts';
import { randomBase32 } from '../../shared/base32.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { actorOfKey } from '../audit/actor-of-key.ts';
import type { Store } from '../store/store.ts';
import { type Invites, inviteInvalid, MAX_INVITE_FAILURES, nameTaken } from './invites.ts';
import { keyReplaced } from './key-rotation.ts';
import type { PendingNodes } from './pending-nodes.ts';
import type { KeyRing } from './signing-keys.ts';
import type { Tokens } from './tokens.ts';
import { verifyEd25519 } from './verify-ed25519.ts';

/** A challenge must be answered within this time, ms. */
const CHALLENGE_LIFETIME_MS = 30_000;
/** Open challenges of one connection; a node needs one. */
const MAX_CHALLENGES_PER_CONNECTION = 3;
/** A pending node asks again after this time, ms; it adds its own back-off. */
const PENDING_RETRY_MS = 2_000;

/** The connection that asks: its id and the key that SSH has authenticated. */
export interface PairingPeer {
  connection: string;
  publicKey: Buffer;
  address: string;
}

interface Challenge {
  connection: string;
  transcript: Buffer;
  nodeNonce: Buffer;
  inviteId: string | undefined;
  expiresAt: number;
}

export interface PairingOptions {
  store: Store;
  invites: Invites;
  pending: PendingNodes;
  tokens: Tokens;
  keys: KeyRing;
  /** SSH host key, wire format. */
  hostKey: Buffer;
  clock: Clock;
  logger: Logger;
  randomBytes: (size: number) => Uint8Array;
}

export class Pairing {
  readonly #options: PairingOptions;
  readonly #challenges = new Map<string, Challenge>();

  constructor(options: PairingOptions) {
    this.#options = options;
  }

  /** First message: fixes the transcript and, with an invite, proves that this gateway made it. */
  challenge(peer: PairingPeer, request: PairChallengeRequest): PairChallengeAnswer {
    const { store, clock, invites, hostKey, randomBytes } = this.#options;
    assertProtocol(request.protocol);
    const publicKey = Buffer.from(request.publicKey, 'base64url');
    if (!publicKey.equals(peer.publicKey)) {
      throw new FleetError('forbidden', 'the key in the request is not the key of this connection');
    }
    this.#prune();
    const own = [...this.#challenges.values()].filter((challenge) => challenge.connection === peer.connection);
    if (own.length >= MAX_CHALLENGES_PER_CONNECTION) throw new FleetError('busy', 'too many open challenges');
    const isPaired = store.nodes.byPublicKey(publicKey) !== undefined;
    const invite = request.invite === undefined ? undefined : invites.usable(request.invite, isPaired);
    const fields: Transcript = {
      hostKey,
      publicKey,
      nodeNonce: Buffer.from(request.nonce, 'base64url'),
      gatewayNonce: randomBytes(NONCE_BYTES),
      gatewayTimeMs: clock.now(),
      inviteId: invite?.id ?? '',
    };
    const transcript = encodeTranscript(fields);
    const id = randomBase32(16, randomBytes);
    this.#challenges.set(id, {
      connection: peer.connection,
      transcript,
      nodeNonce: Buffer.from(fields.nodeNonce),
      inviteId: invite?.id,
      expiresAt: clock.now() + CHALLENGE_LIFETIME_MS,
    });
    return {
      challenge: id,
      nonce: Buffer.from(fields.gatewayNonce).toString('base64url'),
      time: fields.gatewayTimeMs,
      ...(invite === undefined
        ? {}
        : { proof: inviteProof('gateway', invite.secret, transcript).toString('base64url') }),
    };
  }

  /** Second message: checks the cheap HMAC, then the signature, then lets the key in. A challenge is good for one try. */
  async verify(peer: PairingPeer, request: PairVerifyRequest): Promise<PairVerifyAnswer> {
    const challenge = this.#challenges.get(request.challenge);
    this.#challenges.delete(request.challenge);
    if (
      challenge === undefined ||
      challenge.connection !== peer.connection ||
      challenge.expiresAt < this.#options.clock.now()
    ) {
      throw new FleetError('token_invalid', 'the challenge is unknown or too old');
    }
    const opening = Buffer.from(request.opening, 'base64url');
    if (!proofsEqual(commitmentOf(opening), challenge.nodeNonce)) {
      throw new FleetError('forbidden', 'the opening does not fit the nonce');
    }
    if (challenge.inviteId !== undefined)
      await this.#checkProof(peer, challenge.inviteId, challenge.transcript, request);
    if (!verifyEd25519(peer.publicKey, challenge.transcript, Buffer.from(request.signature, 'base64url'))) {
      throw new FleetError('forbidden', 'the signature of the challenge is wrong');
    }
    const known = this.#options.store.nodes.byPublicKey(peer.publicKey);
    if (known !== undefined) return await this.#admit(peer, known, 'node');
    const former = this.#options.store.nodes.retiredName(peer.publicKey);
    if (former !== undefined) throw keyReplaced(former);
    if (challenge.inviteId !== undefined) return await this.#pairByInvite(peer, request, challenge.inviteId);
    return await this.#waitForApproval(peer, request, comparisonCode(challenge.transcript, opening));
  }

  async #checkProof(
    peer: PairingPeer,
    inviteId: string,
    transcript: Buffer,
    { proof }: PairVerifyRequest,
  ): Promise<void> {
    const { store, invites, logger } = this.#options;
    const invite = invites.usable(inviteId, store.nodes.byPublicKey(peer.publicKey) !== undefined);
    const expected = inviteProof('node', invite.secret, transcript);
    if (proof !== undefined && proofsEqual(expected, Buffer.from(proof, 'base64url'))) return;
    await store.write(() => {
      store.invites.countFailure(inviteId);
      const { failures } = store.invites.byId(inviteId) ?? invite;
      if (failures !== MAX_INVITE_FAILURES) return;
      const actor = actorOfKey({ publicKey: peer.publicKey, remoteAddress: peer.address });
      store.audit.append({ actor, action: 'invite.burn', outcome: 'ok', details: { invite: inviteId, failures } });
    });
    logger.warn({ invite: inviteId }, 'wrong proof for an invite');
    throw inviteInvalid();
  }

  async #pairByInvite(peer: PairingPeer, request: PairVerifyRequest, inviteId: string): Promise<PairVerifyAnswer> {
    const { store, invites, clock, pending } = this.#options;
    const invite = invites.usable(inviteId);
    if (invite.role !== 'node') {
      throw new FleetError('forbidden', `this code is for a person (${invite.role}), not for a node`);
    }
    const node = await store.write(() => {
      const name = this.#chooseName(invite.name ?? request.name, invite.name !== null || request.nameRequired);
      if (!store.invites.use(inviteId, clock.now())) throw inviteInvalid();
      return this.#insertNode(peer, name, invite.labels, request, { invite: inviteId });
    });
    pending.forget(peer.publicKey);
    return await this.#admit(peer, node, 'node');
  }

  async #waitForApproval(peer: PairingPeer, request: PairVerifyRequest, code: string): Promise<PairVerifyAnswer> {
    const { store, pending } = this.#options;
    const decision = pending.ask({
      publicKey: peer.publicKey,
      address: peer.address,
      name: request.name,
      labels: request.labels,
      facts: request.facts,
      code,
    });
    if (decision.state === 'waiting') return { status: 'pending', code: decision.code, retryAfterMs: PENDING_RETRY_MS };
    if (decision.state === 'rejected') {
      throw new FleetError('pairing_rejected', 'an operator of the gateway turned this node away');
    }
    const node = await store.write(() => {
      const name = this.#chooseName(
        decision.name ?? decision.asked,
        decision.name !== undefined || request.nameRequired,
      );
      return this.#insertNode(peer, name, decision.labels, request, { approved: true });
    });
    pending.forget(peer.publicKey);
    return await this.#admit(peer, node, 'node');
  }

  async #admit(
    peer: PairingPeer,
    subject: { id: string; name: string; revokedAt: number | null },
    role: Role,
  ): Promise<PairVerifyAnswer> {
    if (subject.revokedAt !== null) throw keyRevoked(subject.name);
    const { tokens, keys, clock } = this.#options;
    const { token, expiresAt } = await tokens.issue({ subject: subject.id, role, publicKey: peer.publicKey });
    return {
      status: 'paired',
      id: subject.id,
      name: subject.name,
      role,
      token,
      expiresAt,
      time: clock.now(),
      signingKeys: [...keys.acceptedRaw()],
    };
  }

  /** `wanted` itself, or with a number behind it when it is taken and was only a suggestion. */
  #chooseName(wanted: string, required: boolean): string {
    const { store } = this.#options;
    if (store.nodes.byName(wanted) === undefined) return wanted;
    if (required) throw nameTaken(wanted);
    for (let suffix = 2; ; suffix += 1) {
      const name = `${wanted.slice(0, 56)}-${suffix}`;
      if (store.nodes.byName(name) === undefined) return name;
    }
  }

  #insertNode(
    { publicKey, address }: PairingPeer,
    name: string,
    labels: Labels,
    { labels: ownLabels, facts }: PairVerifyRequest,
    how: { invite: string } | { approved: true },
  ) {
    const { store, clock, randomBytes, logger } = this.#options;
    const id = randomBase32(12, randomBytes);
    store.nodes.insert({ id, name, publicKey, ownLabels, labels, facts, createdAt: clock.now() });
    const actor = actorOfKey({ publicKey, remoteAddress: address });
    store.audit.append({ actor, action: 'node.pair', outcome: 'ok', details: { node: name, id, ...how, labels } });
    logger.info({ node: name, id }, 'node paired');
    return { id, name, revokedAt: null };
  }

  #prune(): void {
    const now = this.#options.clock.now();
    for (const [id, challenge] of this.#challenges) if (challenge.expiresAt < now) this.#challenges.delete(id);
  }
}

export function keyRevoked(name: string): FleetError {
  return new FleetError('key_revoked', `the key of ${name} was revoked on the gateway`, {
    hint: 'If that was a mistake: remove the node on the gateway (fleet nodes rm) and pair it again.',
  });
}

export function assertProtocol(version: number): void {
  if (version === PROTOCOL_VERSION) return;
  throw new FleetError('protocol_unsupported', `the node speaks protocol ${version}, the gateway ${PROTOCOL_VERSION}`, {
    hint: 'Install the same fleet version on both machines.',
  });
}
