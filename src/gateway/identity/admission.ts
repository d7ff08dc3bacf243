/** Admits a key that has proven itself: by an invite or by an operator's approval, as a node or as a person. */
import type { Labels } from '../../domain/names.ts';
import type { PersonRole } from '../../domain/vocabulary.ts';
import type { NodeFacts, PairVerifyAnswer, PairVerifyRequest } from '../../protocol/node-messages.ts';
import { FleetError } from '../../shared/errors.ts';
import { actorOfKey } from '../audit/act.ts';
import type { PendingNodes } from '../nodes/pending-nodes.ts';
import { inviteInvalid } from './invites.ts';
import { type KnownKey, ownerOf } from './keys.ts';
import { chooseName, newId } from './names.ts';
import type { IdentityContext, InviteRecord } from './tables.ts';

/** Time after which a pending node asks again, ms; it adds its own back-off. */
const PENDING_RETRY_MS = 2_000;

/** The connection that pairs, and the key that SSH has authenticated. */
export interface PairingPeer {
  connection: string;
  publicKey: Buffer;
  address: string;
}

export interface AdmissionOptions extends IdentityContext {
  pending: PendingNodes;
}

/** @throws FleetError `forbidden` if the invite is for the other kind; `name_taken`, `invite_invalid`, `conflict`. */
export async function admitByInvite(
  options: AdmissionOptions,
  peer: PairingPeer,
  request: PairVerifyRequest,
  invite: InviteRecord,
  known: KnownKey | undefined,
): Promise<KnownKey> {
  const { role } = invite;
  if (request.as === 'person') {
    if (role === 'node') throw wrongKind('a node, not for a person', 'fleet node up --gateway HOST --code CODE');
    return known === undefined
      ? await addPerson(options, peer, request, { ...invite, role })
      : await changeRole(options, peer, known, { ...invite, role });
  }
  if (role !== 'node') throw wrongKind(`a person (${role}), not for a node`, 'fleet login HOST --code CODE');
  if (known !== undefined) return known;
  const facts = factsOf(request);
  return await addNode(options, peer, {
    invite,
    name: invite.name ?? request.name,
    isNameRequired: invite.name !== null || request.nameRequired,
    claimed: request.labels,
    labels: invite.labels,
    facts,
    capabilities: facts.capabilities,
  });
}

/** A node that is not known yet: registered as pending until an operator decides. @throws FleetError `pairing_rejected`, `name_taken`. */
export async function admitByApproval(
  options: AdmissionOptions,
  peer: PairingPeer,
  request: PairVerifyRequest,
  code: string,
): Promise<KnownKey | Extract<PairVerifyAnswer, { status: 'pending' }>> {
  const { publicKey, address } = peer;
  const { name, labels, nameRequired } = request;
  const facts = factsOf(request);
  const decision = options.pending.ask({ publicKey, address, name, labels, facts, code });
  if (decision.state === 'waiting') return { status: 'pending', code: decision.code, retryAfterMs: PENDING_RETRY_MS };
  if (decision.state === 'rejected')
    throw new FleetError('pairing_rejected', 'an operator of the gateway rejected this node');
  // What the operator saw, not what the node claims now: the next hello makes that a change to be approved.
  const { asked } = decision;
  return await addNode(options, peer, {
    invite: undefined,
    name: decision.name ?? asked.name,
    isNameRequired: decision.name !== undefined || nameRequired,
    claimed: asked.labels,
    labels: decision.labels,
    facts,
    capabilities: asked.facts.capabilities,
  });
}

interface NewNode {
  /** Undefined for one that an operator has approved. */
  invite: InviteRecord | undefined;
  name: string;
  isNameRequired: boolean;
  /** Labels that the node claims. */
  claimed: Labels;
  /** Labels that the invite or the operator sets. */
  labels: Labels;
  facts: NodeFacts;
  capabilities: string[];
}

async function addNode(
  { store, pending, clock, logger }: AdmissionOptions,
  { publicKey, address }: PairingPeer,
  { invite, claimed, labels, facts, capabilities, ...wanted }: NewNode,
): Promise<KnownKey> {
  const node = await store.write((): KnownKey => {
    const present = ownerOf(store, publicKey, 'node', invite !== undefined);
    if (present !== undefined) return present;
    const name = chooseName(store, 'node', wanted.name, wanted.isNameRequired);
    if (invite !== undefined && !store.invites.use(invite.id, clock.now())) throw inviteInvalid();
    const id = newId([store.nodes, store.people]);
    const ephemeral = invite?.ephemeral ?? false;
    // Keys that the invite or the operator sets are not the node's, now or later.
    const ownLabels = Object.fromEntries(Object.entries(claimed).filter(([key]) => !Object.hasOwn(labels, key)));
    const createdAt = clock.now();
    store.nodes.insert({ id, name, publicKey, ownLabels, labels, facts, capabilities, ephemeral, createdAt });
    const how = invite === undefined ? { approved: true } : { invite: invite.id };
    store.audit.append({
      actor: actorOfKey({ publicKey, remoteAddress: address }),
      action: 'node.pair',
      outcome: 'ok',
      details: { node: name, id, ...how, labels, ownLabels },
    });
    logger.info({ node: name, id, ephemeral }, 'node paired');
    return { kind: 'node', id, name, role: 'node', revokedAt: null };
  });
  pending.forget(publicKey);
  return node;
}

type PersonInvite = InviteRecord & { role: PersonRole };

async function addPerson(
  { store, clock, logger }: AdmissionOptions,
  { publicKey, address }: PairingPeer,
  { name: wanted, nameRequired }: PairVerifyRequest,
  { id: invite, role, name: fixedName }: PersonInvite,
): Promise<KnownKey> {
  const person = await store.write((): KnownKey => {
    // Two logins at once with a key that is new to both.
    const present = ownerOf(store, publicKey, 'person', true);
    if (present !== undefined) return present;
    const name = chooseName(store, role, fixedName ?? wanted, fixedName !== null || nameRequired);
    if (!store.invites.use(invite, clock.now())) throw inviteInvalid();
    const id = newId([store.nodes, store.people]);
    store.people.insert({ id, name, role, publicKey, createdAt: clock.now() });
    store.people.setSeen({ id, at: clock.now() });
    store.audit.append({
      actor: actorOfKey({ publicKey, remoteAddress: address }),
      action: 'person.pair',
      outcome: 'ok',
      details: { person: name, id, role, invite },
    });
    return { kind: 'person', id, name, role, revokedAt: null };
  });
  logger.info({ person: person.name, id: person.id, role, invite }, 'person paired');
  return person;
}

async function changeRole(
  { store, clock, logger }: AdmissionOptions,
  { publicKey, address }: PairingPeer,
  known: KnownKey,
  { id: invite, role, name, usesLeft }: PersonInvite,
): Promise<KnownKey> {
  if (name !== null && name !== known.name) {
    throw new FleetError('conflict', `the code is for ${name}, but this key belongs to ${known.name}`, {
      hint: 'Use a separate --home for another person.',
    });
  }
  // A repetition, because the answer was lost or the person logs in twice; it does not use up the code.
  if (known.role === role || usesLeft < 1) return known;
  await store.write(() => {
    if (!store.invites.use(invite, clock.now())) throw inviteInvalid();
    store.people.setRole({ id: known.id, role });
    store.audit.append({
      actor: actorOfKey({ publicKey, remoteAddress: address }, known.name, known.role),
      action: 'person.role',
      outcome: 'ok',
      details: { person: known.name, id: known.id, role, before: known.role, invite },
    });
  });
  logger.warn({ person: known.name, role, before: known.role, invite }, 'role changed by invite');
  return { ...known, role };
}

function wrongKind(what: string, command: string): FleetError {
  return new FleetError('forbidden', `this code is for ${what}`, { hint: `Use it with: ${command}` });
}

function factsOf({ facts }: PairVerifyRequest): NodeFacts {
  if (facts === undefined) throw new FleetError('bad_request', 'a node that pairs must report facts about its machine');
  return facts;
}
