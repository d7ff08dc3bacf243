/** Invites: made by an admin, proven by a newcomer, used up by pairing. */

import type { Labels } from '../../domain/names.ts';
import type { Role } from '../../domain/vocabulary.ts';
import { formatInviteCode, INVITE_LENGTHS, LONG_INVITE_FROM_MS } from '../../protocol/pairing.ts';
import { randomBase32 } from '../../shared/base32.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import type { Ages } from '../store/durable-store.ts';
import { assertNameFree } from './free-names.ts';
import { type InviteRecord, MAX_INVITE_FAILURES } from './invites-table.ts';
import type { IdentityStore } from './people-table.ts';

/** After an invite has expired, whoever paired by it may repeat the code for so long, ms: as long as a run is kept by default. */
const REPEATABLE_MS = 30 * 86_400_000;

export interface NewInvite {
  name?: string | undefined;
  role: Role;
  labels: Labels;
  ephemeral?: boolean | undefined;
  ttlMs: number;
  uses: number;
  /** Name of the caller. */
  createdBy: string;
}

export interface InvitesOptions {
  store: IdentityStore;
  ages: Ages;
  clock: Clock;
  randomBytes: (size: number) => Uint8Array;
}

export class Invites {
  readonly #options: InvitesOptions;

  constructor(options: InvitesOptions) {
    this.#options = options;
  }

  async create(invite: NewInvite): Promise<{ code: string; expiresAt: number }> {
    const { store, ages, clock, randomBytes } = this.#options;
    if (invite.name !== undefined && invite.uses > 1) {
      throw new FleetError('usage', 'an invite with a name can be used only once', {
        hint: 'Leave --name or --uses out.',
      });
    }
    if (invite.role !== 'node' && (invite.ephemeral || Object.keys(invite.labels).length > 0)) {
      throw new FleetError('usage', 'labels and --ephemeral are for nodes, not for people');
    }
    const createdAt = clock.now();
    const expiresAt = createdAt + invite.ttlMs;
    return await store.write(() => {
      store.invites.prune(ages.cutoff(REPEATABLE_MS));
      if (invite.name !== undefined) assertNameFree(store, invite.role, invite.name);
      let id = randomBase32(INVITE_LENGTHS.id, randomBytes);
      while (store.invites.byId(id) !== undefined) id = randomBase32(INVITE_LENGTHS.id, randomBytes);
      const length = invite.ttlMs > LONG_INVITE_FROM_MS ? INVITE_LENGTHS.longSecret : INVITE_LENGTHS.secret;
      const secret = randomBase32(length, randomBytes);
      const { role, labels, uses, name = null, ephemeral = false, createdBy } = invite;
      store.invites.insert({
        id,
        secret,
        name,
        role,
        labels,
        ephemeral,
        usesLeft: uses,
        createdAt,
        createdBy,
        expiresAt,
      });
      store.audit.describe('invite.create', { invite: id });
      return { code: formatInviteCode({ id, secret }), expiresAt };
    });
  }

  /**
   * The invite if it can still be used. The refusal does not tell an unknown one from a spent one. For a key that is already
   * paired it may be spent, expired, burned or revoked: that node never heard the answer to its own pairing, and asks again with the
   * same code. It gains nothing by it but the proof that this is the gateway.
   * @throws FleetError `invite_invalid`.
   */
  usable(id: string, forPairedKey = false): InviteRecord {
    const invite = this.#options.store.invites.byId(id);
    if (invite === undefined || !(forPairedKey || this.#isOpen(invite))) throw inviteInvalid();
    return invite;
  }

  /** Those that can still be used, oldest first. */
  open(): InviteRecord[] {
    return this.#options.store.invites.all().filter((invite) => this.#isOpen(invite));
  }

  /** Nobody can use it from now on; who has, stays. @throws FleetError `not_found`. */
  async revoke(id: string): Promise<InviteRecord> {
    const { store, clock } = this.#options;
    const invite = this.open().find((open) => open.id === id);
    if (invite === undefined) {
      throw new FleetError('not_found', `there is no open invite ${id}`, { hint: 'See them all: fleet invites list' });
    }
    await store.write(() => store.invites.revoke(id, clock.now()));
    return invite;
  }

  #isOpen({ usesLeft, expiresAt, failures }: InviteRecord): boolean {
    return usesLeft > 0 && expiresAt > this.#options.clock.now() && failures < MAX_INVITE_FAILURES;
  }
}

export function inviteInvalid(): FleetError {
  return new FleetError('invite_invalid', 'the gateway does not accept this code: mistyped, expired or already used', {
    hint: 'Ask for a new one: run `fleet invite` on the gateway.',
  });
}
