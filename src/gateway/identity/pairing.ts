/**
 * Pairing: turns an unknown key into a node or a person, by invite or (a node) by approval, and gives known keys their tokens.
 *
 * Two messages, both over the SSH connection of the key in question: a challenge, and its proof. docs/pairing.md tells the why.
 */

import type { Labels } from '../../domain/names.ts';
import type {
  NodeFacts,
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
import { PROTOCOL_VERSION } from '../../protocol/version.ts';
import { randomBase32 } from '../../shared/base32.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { actorOfKey } from '../audit/act.ts';
import type { PendingNodes } from '../nodes/pending-nodes.ts';
import { chooseName, newId } from './free-names.ts';
import { GuessLimit } from './guess-limit.ts';
import { type Invites, inviteInvalid } from './invites.ts';
import { type InviteRecord, MAX_INVITE_FAILURES } from './invites-table.ts';
import { joinPerson } from './join-person.ts';
import { findKey, type KnownKey, keyRevoked } from './known-key.ts';
import { knownAs, personUnknown, wrongKind } from './pairing-refusals.ts';
import type { IdentityStore } from './people-table.ts';
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
  /** On the monotonic clock, ms. */
  expiresAt: number;
}

export interface PairingOptions {
  store: IdentityStore;
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
  readonly #guesses: GuessLimit;

  constructor(options: PairingOptions) {
    this.#options = options;
    this.#guesses = new GuessLimit(options.clock);
  }

  /** First message: fixes the transcript and, with an invite, proves that this gateway made it. */
  challenge(peer: PairingPeer, request: PairChallengeRequest): PairChallengeAnswer {
    const { clock, hostKey, randomBytes } = this.#options;
    assertProtocol(request.protocol);
    const publicKey = Buffer.from(request.publicKey, 'base64url');
    if (!publicKey.equals(peer.publicKey)) {
      throw new FleetError('forbidden', 'the key in the request is not the key of this connection');
    }
    this.#prune();
    const own = [...this.#challenges.values()].filter((challenge) => challenge.connection === peer.connection);
    if (own.length >= MAX_CHALLENGES_PER_CONNECTION) throw new FleetError('busy', 'too many open challenges');
    const invite = request.invite === undefined ? undefined : this.#findInvite(peer, request.invite);
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
      expiresAt: clock.monotonic() + CHALLENGE_LIFETIME_MS,
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
      challenge.expiresAt < this.#options.clock.monotonic()
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
    const known = knownAs(this.#options.store, peer.publicKey, request.as, challenge.inviteId !== undefined);
    if (challenge.inviteId !== undefined) return await this.#pairByInvite(peer, request, challenge.inviteId, known);
    if (known !== undefined) return await this.#admit(peer, known);
    if (request.as === 'person') throw personUnknown();
    return await this.#waitForApproval(peer, request, comparisonCode(challenge.transcript, opening));
  }

  #findInvite(peer: PairingPeer, id: string): InviteRecord {
    this.#guesses.check(peer.address);
    try {
      return this.#options.invites.usable(id, findKey(this.#options.store, peer.publicKey) !== undefined);
    } catch (error) {
      this.#guesses.miss(peer.address);
      throw error;
    }
  }

  async #checkProof(
    peer: PairingPeer,
    inviteId: string,
    transcript: Buffer,
    { proof }: PairVerifyRequest,
  ): Promise<void> {
    const { store, invites, logger } = this.#options;
    const invite = invites.usable(inviteId, findKey(store, peer.publicKey) !== undefined);
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

  /** A known key keeps what it is: it repeats its code because it never heard the answer. Only a person's role can change. */
  async #pairByInvite(
    peer: PairingPeer,
    request: PairVerifyRequest,
    inviteId: string,
    known: KnownKey | undefined,
  ): Promise<PairVerifyAnswer> {
    const { store, invites, clock, pending } = this.#options;
    const invite = invites.usable(inviteId, known !== undefined);
    const { role } = invite;
    if (request.as === 'person') {
      if (role === 'node') throw wrongKind('a node, not for a person', 'fleet node up --gateway HOST --code CODE');
      const { name, nameRequired: required } = request;
      const { publicKey } = peer;
      const person = await joinPerson({
        ...this.#options,
        publicKey,
        address: peer.address,
        known,
        invite,
        role,
        wanted: { name, required },
      });
      return await this.#admit(peer, person);
    }
    if (role !== 'node') throw wrongKind(`a person (${role}), not for a node`, 'fleet login HOST --code CODE');
    if (known !== undefined) return await this.#admit(peer, known);
    const node = await store.write(() => {
      const present = knownAs(store, peer.publicKey, 'node', true);
      if (present !== undefined) return present;
      const required = invite.name !== null || request.nameRequired;
      const name = chooseName(store, 'node', invite.name ?? request.name, required);
      if (!store.invites.use(inviteId, clock.now())) throw inviteInvalid();
      const facts = factsOf(request);
      const said = { labels: request.labels, facts, capabilities: facts.capabilities };
      return this.#insertNode(peer, name, said, invite, { invite: inviteId });
    });
    pending.forget(peer.publicKey);
    return await this.#admit(peer, node);
  }

  async #waitForApproval(peer: PairingPeer, request: PairVerifyRequest, code: string): Promise<PairVerifyAnswer> {
    const { store, pending } = this.#options;
    const decision = pending.ask({
      publicKey: peer.publicKey,
      address: peer.address,
      name: request.name,
      labels: request.labels,
      facts: factsOf(request),
      code,
    });
    if (decision.state === 'waiting') return { status: 'pending', code: decision.code, retryAfterMs: PENDING_RETRY_MS };
    if (decision.state === 'rejected') {
      throw new FleetError('pairing_rejected', 'an operator of the gateway turned this node away');
    }
    const node = await store.write(() => {
      const present = knownAs(store, peer.publicKey, 'node', false);
      if (present !== undefined) return present;
      const required = decision.name !== undefined || request.nameRequired;
      const { asked, labels } = decision;
      const name = chooseName(store, 'node', decision.name ?? asked.name, required);
      // Not what it says now: the operator has not seen that. The next hello makes it a change to be approved.
      const said = { labels: asked.labels, facts: factsOf(request), capabilities: asked.facts.capabilities };
      return this.#insertNode(peer, name, said, { labels, ephemeral: false }, { approved: true });
    });
    pending.forget(peer.publicKey);
    return await this.#admit(peer, node);
  }

  async #admit(peer: PairingPeer, subject: KnownKey): Promise<PairVerifyAnswer> {
    if (subject.revokedAt !== null) throw keyRevoked(subject);
    const { role } = subject;
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

  #insertNode(
    { publicKey, address }: PairingPeer,
    name: string,
    said: { labels: Labels; facts: NodeFacts; capabilities: string[] },
    { labels, ephemeral }: { labels: Labels; ephemeral: boolean },
    how: { invite: string } | { approved: true },
  ): KnownKey {
    const { store, clock, randomBytes, logger } = this.#options;
    const id = newId([store.nodes, store.people], randomBytes);
    const { facts, capabilities } = said;
    // Keys that the invite or the operator fixes are not the node's, now or later.
    const ownLabels = Object.fromEntries(Object.entries(said.labels).filter(([key]) => !Object.hasOwn(labels, key)));
    store.nodes.insert({
      id,
      name,
      publicKey,
      ownLabels,
      labels,
      facts,
      capabilities,
      ephemeral,
      createdAt: clock.now(),
    });
    const actor = actorOfKey({ publicKey, remoteAddress: address });
    store.audit.append({
      actor,
      action: 'node.pair',
      outcome: 'ok',
      details: { node: name, id, ...how, labels, ownLabels },
    });
    logger.info({ node: name, id, ephemeral }, 'node paired');
    return { kind: 'node', id, name, role: 'node', revokedAt: null };
  }

  #prune(): void {
    const now = this.#options.clock.monotonic();
    for (const [id, challenge] of this.#challenges) if (challenge.expiresAt < now) this.#challenges.delete(id);
  }
}

function factsOf({ facts }: PairVerifyRequest): NodeFacts {
  if (facts === undefined) throw new FleetError('bad_request', 'a node that pairs tells facts about its machine');
  return facts;
}

export function assertProtocol(version: number): void {
  if (version === PROTOCOL_VERSION) return;
  throw new FleetError('protocol_unsupported', `the node speaks protocol ${version}, the gateway ${PROTOCOL_VERSION}`, {
    hint: 'Install the same fleet version on both machines.',
  });
}
