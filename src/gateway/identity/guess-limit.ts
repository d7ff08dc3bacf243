/**
 * Slows down whoever tries ids of invites. An id has 20 bits, enough to tell invites apart and few enough to be found by trying;
 * who has found one can burn it with five wrong proofs, though never use it. So an address gets a few wrong ids a minute.
 */

import { addressKey } from '../../shared/address.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';

/** Wrong ids of one address in {@link WINDOW_MS}: a room of people may mistype behind one NAT. */
const MAX_MISSES = 20;
const WINDOW_MS = 60_000;
/** Addresses that are remembered; an attacker with more of them is not stopped by counting. */
const MAX_ADDRESSES = 10_000;

export class GuessLimit {
  readonly #clock: Clock;
  readonly #misses = new Map<string, { count: number; endsAt: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @throws FleetError `busy` for an address that was wrong too often. */
  check(address: string): void {
    const present = this.#misses.get(addressKey(address));
    if (present === undefined || present.count < MAX_MISSES || present.endsAt <= this.#clock.monotonic()) return;
    throw new FleetError('busy', 'too many wrong codes from this address', { hint: 'Wait a minute and try again.' });
  }

  miss(address: string): void {
    const now = this.#clock.monotonic();
    const key = addressKey(address);
    const present = this.#misses.get(key);
    if (present !== undefined && present.endsAt > now) {
      present.count += 1;
      return;
    }
    if (this.#misses.size >= MAX_ADDRESSES) this.#prune(now);
    this.#misses.set(key, { count: 1, endsAt: now + WINDOW_MS });
  }

  /** Those whose minute is over; else the oldest. */
  #prune(now: number): void {
    for (const [key, { endsAt }] of this.#misses) if (endsAt <= now) this.#misses.delete(key);
    const [oldest] = this.#misses.keys();
    if (this.#misses.size >= MAX_ADDRESSES && oldest !== undefined) this.#misses.delete(oldest);
  }
}
