/**
 * Pairing: admits an unknown key as a node or a person, by invite or (a node) by approval, and renews the tokens of known keys.
 * Two messages, both over the SSH connection of that key: a challenge, and its proof. docs/pairing.md says why.
 */
import { randomBytes } from 'node:crypto';
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
} from '../../protocol/pairing.ts';
import { PROTOCOL_VERSION } from '../../protocol/version.ts';
import { addressKey } from '../../shared/address.ts';
import { randomBase32 } from '../../shared/base32.ts';
import { FleetError } from '../../shared/errors.ts';
import { actorOfKey } from '../audit/act.ts';
import { type AdmissionOptions, admitByApproval, admitByInvite, type PairingPeer } from './admission.ts';
import { type Invites, inviteInvalid } from './invites.ts';
import { findKey, type KnownKey, keyRevoked, ownerOf, verifyEd25519 } from './keys.ts';
import type { KeyRing } from './signing-keys.ts';
import { type InviteRecord, MAX_INVITE_FAILURES } from './tables.ts';
import type { Tokens } from './tokens.ts';
import { WindowLimit } from './window-limit.ts';

/** Time to answer a challenge, ms. */
const CHALLENGE_LIFETIME_MS = 30_000;
/** Open challenges per connection; a node needs one. */
const MAX_CHALLENGES_PER_CONNECTION = 3;
/**
 * Unknown ids of invites per address and window, ms; several people may mistype behind one NAT. An id has 20 bits, few enough to be found by
 * trial; five failed attempts with one invalidate that invite, though nobody can use it that way.
 */
const MAX_UNKNOWN_IDS = 20;
const UNKNOWN_IDS_WINDOW_MS = 60_000;

interface Challenge {
  connection: string;
  transcript: Buffer;
  nodeNonce: Buffer;
  inviteId: string | undefined;
  /** On the monotonic clock, ms. */
  expiresAt: number;
}

interface PairingOptions extends AdmissionOptions {
  invites: Invites;
  tokens: Tokens;
  keys: KeyRing;
  /** SSH host key, wire format. */
  hostKey: Buffer;
}

export class Pairing {
  readonly #options: PairingOptions;
  readonly #challenges = new Map<string, Challenge>();
  /** By network address. */
  readonly #unknownIds: WindowLimit;

  constructor(options: PairingOptions) {
    this.#options = options;
    this.#unknownIds = new WindowLimit(options.clock, MAX_UNKNOWN_IDS, UNKNOWN_IDS_WINDOW_MS);
  }

  /** First message: fixes the transcript and, for an invite, proves that this gateway made it. */
  challenge(peer: PairingPeer, request: PairChallengeRequest): PairChallengeAnswer {
    const { clock, hostKey } = this.#options;
    assertProtocol(request.protocol);
    const publicKey = Buffer.from(request.publicKey, 'base64url');
    if (!publicKey.equals(peer.publicKey)) {
      throw new FleetError('forbidden', 'the key in the request is not the key of this connection');
    }
    this.#prune();
    const own = [...this.#challenges.values()].filter((challenge) => challenge.connection === peer.connection);
    if (own.length >= MAX_CHALLENGES_PER_CONNECTION) throw new FleetError('busy', 'too many open challenges');
    const invite = request.invite === undefined ? undefined : this.#findInvite(peer, request.invite);
    const nodeNonce = Buffer.from(request.nonce, 'base64url');
    const gatewayNonce = randomBytes(NONCE_BYTES);
    const gatewayTimeMs = clock.now();
    const inviteId = invite?.id;
    const fields = { hostKey, publicKey, nodeNonce, gatewayNonce, gatewayTimeMs, inviteId: inviteId ?? '' };
    const transcript = encodeTranscript(fields);
    const id = randomBase32(16, randomBytes);
    const expiresAt = clock.monotonic() + CHALLENGE_LIFETIME_MS;
    this.#challenges.set(id, { connection: peer.connection, transcript, nodeNonce, inviteId, expiresAt });
    const proof = invite && inviteProof('gateway', invite.secret, transcript).toString('base64url');
    return {
      challenge: id,
      nonce: gatewayNonce.toString('base64url'),
      time: gatewayTimeMs,
      ...(proof === undefined ? {} : { proof }),
    };
  }

  /** Second message: checks the cheap HMAC, then the signature, then admits the key. A challenge is good for one attempt. */
  async verify(peer: PairingPeer, request: PairVerifyRequest): Promise<PairVerifyAnswer> {
    const { store, clock, invites } = this.#options;
    const challenge = this.#challenges.get(request.challenge);
    this.#challenges.delete(request.challenge);
    const isOpen = challenge?.connection === peer.connection && challenge.expiresAt >= clock.monotonic();
    if (!isOpen) throw new FleetError('token_invalid', 'the challenge is unknown or too old');
    const { transcript, inviteId } = challenge;
    const opening = Buffer.from(request.opening, 'base64url');
    if (!proofsEqual(commitmentOf(opening), challenge.nodeNonce)) {
      throw new FleetError('forbidden', 'the opening does not match the nonce');
    }
    if (inviteId !== undefined) await this.#checkProof(peer, inviteId, transcript, request.proof);
    if (!verifyEd25519(peer.publicKey, transcript, Buffer.from(request.signature, 'base64url'))) {
      throw new FleetError('forbidden', 'the signature of the challenge is wrong');
    }
    const known = ownerOf(store, peer.publicKey, request.as, inviteId !== undefined);
    // A known key keeps what it is: it repeats its code because the answer was lost. Only a person's role can change.
    if (inviteId !== undefined) {
      const invite = invites.usable(inviteId, known !== undefined);
      return await this.#answer(peer, await admitByInvite(this.#options, peer, request, invite, known));
    }
    if (known !== undefined) return await this.#answer(peer, known);
    if (request.as === 'person') {
      throw new FleetError('not_paired', 'the gateway does not know this key', {
        hint: 'Log in with a code: fleet login HOST --code CODE. An admin creates one: fleet invite --role operator.',
      });
    }
    const admitted = await admitByApproval(this.#options, peer, request, comparisonCode(transcript, opening));
    return 'status' in admitted ? admitted : await this.#answer(peer, admitted);
  }

  #findInvite(peer: PairingPeer, id: string): InviteRecord {
    const address = addressKey(peer.address);
    if (this.#unknownIds.isReached(address)) {
      throw new FleetError('busy', 'too many wrong codes from this address', { hint: 'Wait a minute and try again.' });
    }
    try {
      return this.#options.invites.usable(id, findKey(this.#options.store, peer.publicKey) !== undefined);
    } catch (error) {
      this.#unknownIds.count(address);
      throw error;
    }
  }

  async #checkProof(peer: PairingPeer, inviteId: string, transcript: Buffer, proof: string | undefined): Promise<void> {
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

  async #answer(peer: PairingPeer, subject: KnownKey): Promise<PairVerifyAnswer> {
    if (subject.revokedAt !== null) throw keyRevoked(subject);
    const { id, name, role } = subject;
    const { tokens, keys, clock } = this.#options;
    const { token, expiresAt } = await tokens.issue({ subject: id, role, publicKey: peer.publicKey });
    const signingKeys = [...keys.acceptedRaw()];
    return { status: 'paired', id, name, role, token, expiresAt, time: clock.now(), signingKeys };
  }

  #prune(): void {
    const now = this.#options.clock.monotonic();
    for (const [id, challenge] of this.#challenges) if (challenge.expiresAt < now) this.#challenges.delete(id);
  }
}

export function assertProtocol(version: number): void {
  if (version === PROTOCOL_VERSION) return;
  throw new FleetError('protocol_unsupported', `the node speaks protocol ${version}, the gateway ${PROTOCOL_VERSION}`, {
    hint: 'Install the same fleet version on both machines.',
  });
}
