/** Unknown machines that wait for an operator's approval. In memory only: after a restart of the gateway they ask again. */
import { isDeepStrictEqual } from 'node:util';
import type { Labels } from '../../domain/names.ts';
import type { NodeFacts } from '../../protocol/node-messages.ts';
import { COMPARISON_CODE } from '../../protocol/pairing.ts';
import { addressKey } from '../../shared/address.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';

/** Machines that may wait at once; the port is public, so anybody can ask. */
const MAX_PENDING = 48;
/** The same per address (IPv6: per /64), so that one stranger cannot take all places. */
const MAX_PENDING_PER_ADDRESS = 16;
/** A machine that has not asked for this long has given up, ms. */
const FORGET_AFTER_MS = 3 * 60_000;

interface PendingRequest {
  publicKey: Buffer;
  address: string;
  name: string;
  labels: Labels;
  facts: NodeFacts;
  code: string;
}

export interface PendingNode extends PendingRequest {
  since: number;
  /** On the monotonic clock, ms. */
  seenAt: number;
}

type Decision =
  | { state: 'waiting'; code: string }
  /** `name` and `labels` are the operator's choice; `asked` is what was shown to the operator. */
  | { state: 'approved'; name: string | undefined; asked: PendingRequest; labels: Labels }
  | { state: 'rejected' };

interface Entry extends PendingNode {
  decision: Decision | undefined;
}

export class PendingNodes {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Registers or refreshes a machine that asks, and returns the decision. The code changes when the machine asks for something else, so that
   * an operator who types a code approves exactly what was shown with it. @throws FleetError `busy`.
   */
  ask(request: PendingRequest): Decision {
    this.#prune();
    const key = request.publicKey.toString('hex');
    const present = this.#entries.get(key);
    if (present !== undefined) {
      present.seenAt = this.#clock.monotonic();
      // Its next start may ask for something else; a decision stays.
      if (present.decision === undefined) {
        const { code } = isDeepStrictEqual(requestedBy(present), requestedBy(request)) ? present : request;
        Object.assign(present, request, { code });
      }
      return present.decision ?? { state: 'waiting', code: present.code };
    }
    const from = addressKey(request.address);
    const sameAddress = [...this.#entries.values()].filter((entry) => addressKey(entry.address) === from);
    if (this.#entries.size >= MAX_PENDING || sameAddress.length >= MAX_PENDING_PER_ADDRESS) {
      throw new FleetError('busy', 'too many machines are waiting for approval', {
        hint: 'On the gateway: fleet nodes pending, then approve or reject; or pair with a code from fleet invite.',
      });
    }
    this.#entries.set(key, {
      ...request,
      since: this.#clock.now(),
      seenAt: this.#clock.monotonic(),
      decision: undefined,
    });
    return { state: 'waiting', code: request.code };
  }

  /** Undecided machines, oldest first. */
  list(): PendingNode[] {
    this.#prune();
    return [...this.#entries.values()].filter((entry) => entry.decision === undefined);
  }

  /** Matches for a name or code. A machine may take another's code as its name, so whatever looks like a code is only a code. */
  find(which: string): PendingNode[] {
    const waiting = this.list();
    const coded = waiting.filter((entry) => entry.code === which);
    return coded.length > 0 || COMPARISON_CODE.test(which) ? coded : waiting.filter((entry) => entry.name === which);
  }

  /** Decides on the machine with that name or comparison code, until {@link undecide}. @throws FleetError `not_found`, `ambiguous`. */
  decide(which: string, decision: 'approve' | 'reject', name?: string, labels: Labels = {}): PendingNode {
    const matching = this.find(which);
    const [entry] = matching;
    if (entry === undefined) {
      throw new FleetError('not_found', `no machine named ${which} is waiting for approval`, {
        hint: 'List those that are: fleet nodes pending. A machine waits only while its `fleet node up` runs.',
      });
    }
    if (matching.length > 1) {
      throw new FleetError('ambiguous', `${matching.length} machines call themselves ${which}`, {
        hint: `Use the comparison code instead, for example: fleet nodes approve ${entry.code}`,
      });
    }
    const stored = this.#entries.get(entry.publicKey.toString('hex'));
    if (stored !== undefined)
      stored.decision =
        decision === 'approve' ? { state: 'approved', name, asked: entry, labels } : { state: 'rejected' };
    return entry;
  }

  undecide({ publicKey }: PendingNode): void {
    const entry = this.#entries.get(publicKey.toString('hex'));
    if (entry !== undefined) entry.decision = undefined;
  }

  forget(publicKey: Buffer): void {
    this.#entries.delete(publicKey.toString('hex'));
  }

  #prune(): void {
    const limit = this.#clock.monotonic() - FORGET_AFTER_MS;
    for (const [key, entry] of this.#entries) if (entry.seenAt < limit) this.#entries.delete(key);
  }
}

/** What the operator approves. */
function requestedBy({ name, labels, facts }: PendingRequest): object {
  return { name, labels, capabilities: facts.capabilities };
}
