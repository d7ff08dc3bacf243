/** What an invite for a person does with a key: a newcomer gets a name and a role, somebody known another role. */

import type { PersonRole } from '../../domain/vocabulary.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { actorOfKey } from '../audit/act.ts';
import { chooseName, newId } from './free-names.ts';
import { inviteInvalid } from './invites.ts';
import type { InviteRecord } from './invites-table.ts';
import type { KnownKey } from './known-key.ts';
import { knownAs } from './pairing-refusals.ts';
import type { IdentityStore } from './people-table.ts';

export interface JoinPersonOptions {
  store: IdentityStore;
  clock: Clock;
  logger: Logger;
  randomBytes: (size: number) => Uint8Array;
  publicKey: Buffer;
  /** Of the connection. */
  address: string;
  /** The key's person, if it has one. */
  known: KnownKey | undefined;
  invite: InviteRecord;
  /** Has shown that it is for a person. */
  role: PersonRole;
  wanted: { name: string; required: boolean };
}

/** Resolves with who the key is from now on. @throws FleetError `name_taken`, `invite_invalid`, `conflict`. */
export async function joinPerson(options: JoinPersonOptions): Promise<KnownKey> {
  const { store, clock, logger, publicKey, known, invite, role } = options;
  if (known !== undefined) {
    if (invite.name !== null && invite.name !== known.name) {
      throw new FleetError('conflict', `the code is for ${invite.name}, but this key is already ${known.name}`, {
        hint: 'Use another --home for another person.',
      });
    }
    // The same code again: the answer to the first time was lost, or somebody logs in twice. It is not used up by that.
    if (known.role === role || invite.usesLeft < 1) return known;
    await store.write(() => {
      if (!store.invites.use(invite.id, clock.now())) throw inviteInvalid();
      store.people.setRole(known.id, role);
      const actor = actorOfKey({ publicKey, remoteAddress: options.address }, known.name, known.role);
      const details = { person: known.name, id: known.id, role, before: known.role, invite: invite.id };
      store.audit.append({ actor, action: 'person.role', outcome: 'ok', details });
    });
    logger.warn({ person: known.name, role, before: known.role, invite: invite.id }, 'role changed by invite');
    return { ...known, role };
  }
  const person = await store.write(() => {
    // Two logins at once with a key that is new to both.
    const present = knownAs(store, publicKey, 'person', true);
    if (present !== undefined) return present;
    const required = invite.name !== null || options.wanted.required;
    const name = chooseName(store, role, invite.name ?? options.wanted.name, required);
    if (!store.invites.use(invite.id, clock.now())) throw inviteInvalid();
    const id = newId([store.nodes, store.people], options.randomBytes);
    store.people.insert({ id, name, role, publicKey, createdAt: clock.now() });
    store.people.setSeen(id, clock.now());
    const actor = actorOfKey({ publicKey, remoteAddress: options.address });
    const details = { person: name, id, role, invite: invite.id };
    store.audit.append({ actor, action: 'person.pair', outcome: 'ok', details });
    return { kind: 'person', id, name, role, revokedAt: null } satisfies KnownKey;
  });
  logger.info({ person: person.name, id: person.id, role, invite: invite.id }, 'person paired');
  return person;
}
