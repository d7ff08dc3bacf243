/** Invites: created by an admin, proven by a newcomer, used up by pairing. */
import { randomBytes } from 'node:crypto';
import { formatInviteCode, INVITE_LENGTHS, LONG_INVITE_FROM_MS } from '../../protocol/pairing.ts';
import { randomBase32 } from '../../shared/base32.ts';
import { FleetError } from '../../shared/errors.ts';
import type { Ages } from '../store/durable-store.ts';
import { assertNameFree } from './names.ts';
import { type IdentityContext, type InviteRecord, MAX_INVITE_FAILURES } from './tables.ts';

/** Time after an invite's end in which a key that it paired may repeat the code, ms. */
const REPEATABLE_MS = 30 * 86_400_000;

interface NewInvite extends Pick<InviteRecord, 'role' | 'labels' | 'createdBy'> {
  name?: string | undefined;
  ephemeral?: boolean | undefined;
  ttlMs: number;
  uses: number;
}

interface InvitesOptions extends Pick<IdentityContext, 'store' | 'clock'> {
  ages: Ages;
}

export class Invites {
  readonly #options: InvitesOptions;

  constructor(options: InvitesOptions) {
    this.#options = options;
  }

  /** @throws FleetError `usage`, `name_taken`. */
  async create(invite: NewInvite): Promise<{ code: string; expiresAt: number }> {
    const { store, ages, clock } = this.#options;
    const { name = null, role, labels, ephemeral = false, ttlMs, uses, createdBy } = invite;
    if (name !== null && uses > 1) {
      throw new FleetError('usage', 'an invite with a name is single use', { hint: 'Leave out --name or --uses.' });
    }
    if (role !== 'node' && (ephemeral || Object.keys(labels).length > 0)) {
      throw new FleetError('usage', 'labels and --ephemeral are for nodes, not for people');
    }
    const createdAt = clock.now();
    const expiresAt = createdAt + ttlMs;
    return await store.write(() => {
      store.invites.prune(ages.cutoff(REPEATABLE_MS));
      if (name !== null) assertNameFree(store, role, name);
      let id = randomBase32(INVITE_LENGTHS.id, randomBytes);
      while (store.invites.byId(id) !== undefined) id = randomBase32(INVITE_LENGTHS.id, randomBytes);
      const length = ttlMs > LONG_INVITE_FROM_MS ? INVITE_LENGTHS.longSecret : INVITE_LENGTHS.secret;
      const secret = randomBase32(length, randomBytes);
      const record = { id, secret, name, role, labels, ephemeral, usesLeft: uses, createdAt, createdBy, expiresAt };
      store.invites.insert(record);
      store.audit.describe('invite.create', { invite: id });
      return { code: formatInviteCode({ id, secret }), expiresAt };
    });
  }

  /**
   * The invite if it can still be used. The refusal does not distinguish unknown from spent ones. For a key that is already paired
   * it may be spent, expired, invalidated or revoked: that node lost the answer to its own pairing and repeats the code. All it
   * gains is the proof that this is the gateway.
   * @throws FleetError `invite_invalid`.
   */
  usable(id: string, forPairedKey = false): InviteRecord {
    const invite = this.#options.store.invites.byId(id);
    if (invite === undefined || !(forPairedKey || this.#isOpen(invite))) throw inviteInvalid();
    return invite;
  }

  /** Usable ones, oldest first. */
  open(): InviteRecord[] {
    return this.#options.store.invites.all().filter((invite) => this.#isOpen(invite));
  }

  /** Keys that it has admitted stay. @throws FleetError `not_found`. */
  async revoke(id: string): Promise<InviteRecord> {
    const { store, clock } = this.#options;
    const invite = this.open().find((open) => open.id === id);
    if (invite === undefined) {
      throw new FleetError('not_found', `there is no open invite ${id}`, { hint: 'List them: fleet invites list' });
    }
    await store.write(() => store.invites.revoke({ id, now: clock.now() }));
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
