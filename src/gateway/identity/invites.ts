/** Invites: made by an admin, proven by a newcomer, used up by pairing. */

import type { Labels } from '../../protocol/names.ts';
import { formatInviteCode, INVITE_LENGTHS } from '../../protocol/pairing.ts';
import type { Role } from '../../protocol/roles.ts';
import { randomBase32 } from '../../shared/base32.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import type { InviteRecord } from '../store/invites-table.ts';
import type { Store } from '../store/store.ts';

/** That many wrong proofs burn an invite: it was seen by somebody who should not have. */
export const MAX_INVITE_FAILURES = 5;

export interface NewInvite {
  name?: string | undefined;
  role: Role;
  labels: Labels;
  ttlMs: number;
  uses: number;
}

export interface InvitesOptions {
  store: Store;
  clock: Clock;
  randomBytes: (size: number) => Uint8Array;
}

export class Invites {
  readonly #options: InvitesOptions;

  constructor(options: InvitesOptions) {
    this.#options = options;
  }

  async create(invite: NewInvite): Promise<{ code: string; expiresAt: number }> {
    const { store, clock, randomBytes } = this.#options;
    if (invite.name !== undefined && invite.uses > 1) {
      throw new FleetError('usage', 'an invite with a name can be used only once', {
        hint: 'Leave --name or --uses out.',
      });
    }
    const createdAt = clock.now();
    const expiresAt = createdAt + invite.ttlMs;
    return await store.write(() => {
      store.invites.prune(createdAt, MAX_INVITE_FAILURES);
      if (invite.name !== undefined && store.nodes.byName(invite.name) !== undefined) throw nameTaken(invite.name);
      let id = randomBase32(INVITE_LENGTHS.id, randomBytes);
      while (store.invites.byId(id) !== undefined) id = randomBase32(INVITE_LENGTHS.id, randomBytes);
      const secret = randomBase32(INVITE_LENGTHS.secret, randomBytes);
      const { role, labels, uses, name } = invite;
      store.invites.insert({ id, secret, name: name ?? null, role, labels, usesLeft: uses, createdAt, expiresAt });
      store.audit.describe('invite.create', { invite: id });
      return { code: formatInviteCode({ id, secret }), expiresAt };
    });
  }

  /**
   * The invite if it can still be used. The refusal does not tell an unknown one from a spent one. For a key that is already
   * paired it may be spent: that node never heard the answer to its own pairing, and asks again with the same code.
   * @throws FleetError `invite_invalid`.
   */
  usable(id: string, forPairedKey = false): InviteRecord {
    const invite = this.#options.store.invites.byId(id);
    const now = this.#options.clock.now();
    if (
      invite === undefined ||
      (invite.usesLeft < 1 && !forPairedKey) ||
      invite.expiresAt <= now ||
      invite.failures >= MAX_INVITE_FAILURES
    ) {
      throw inviteInvalid();
    }
    return invite;
  }
}

export function inviteInvalid(): FleetError {
  return new FleetError('invite_invalid', 'the gateway does not accept this code: mistyped, expired or already used', {
    hint: 'Ask for a new one: run `fleet invite` on the gateway.',
  });
}

export function nameTaken(name: string): FleetError {
  return new FleetError('name_taken', `there is already a node called ${name}`, {
    hint: 'Choose another with --name, or remove the old one: fleet nodes rm NAME.',
  });
}
