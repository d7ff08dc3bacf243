/** How many connections the public port holds, in total and from strangers; decided before ssh2 sees a socket. docs/adr/0016. */
import { addressKey } from '../../shared/address.ts';
import { SSH_LIMITS } from '../../shared/ssh/limits.ts';

export const PORT_LIMITS = Object.freeze({
  ...SSH_LIMITS,
  /** TCP connections at once: above 10,000 nodes, with room for operators. `nofile` must be higher. */
  maxConnections: 20_000,
  /**
   * Strangers in total: connections that have not authenticated, and those of keys that nobody has paired. A handshake costs 0.6 ms of
   * CPU: 256 keep the event loop under 40 ms even when 5,000 nodes come back at once.
   */
  maxUnauthenticated: 256,
  /** Strangers from one address (IPv6: from one /64). A site of nodes behind one NAT address still gets all in, thanks to their back-off. */
  maxUnauthenticatedPerAddress: 32,
  /** When strangers fill their limit: how long each is safe from being replaced by the next, ms. About four round trips over a satellite. */
  crowdedGraceMs: 2_000,
});

export type PortLimits = Readonly<Record<keyof typeof PORT_LIMITS, number>>;
type AdmissionLimits = Omit<PortLimits, keyof typeof SSH_LIMITS>;

/** One admitted connection. Both calls are idempotent. */
export interface Admission {
  /** Its key has turned out to be known: no stranger any more. */
  known: () => void;
  /** Its socket is closed. */
  left: () => void;
}

interface Stranger {
  address: string;
  since: number;
  evict: () => void;
}

export class AdmissionControl {
  readonly #limits: AdmissionLimits;
  /** Monotonic ms. */
  readonly #now: () => number;
  /** The oldest first. */
  readonly #strangers = new Set<Stranger>();
  #connections = 0;

  constructor(limits: AdmissionLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  get connections(): number {
    return this.#connections;
  }

  /** Connections of strangers. */
  get unauthenticated(): number {
    return this.#strangers.size;
  }

  /**
   * Undefined when a limit is reached and nobody can be replaced yet; otherwise `evict` of the replaced stranger has been called. In a crowd
   * the oldest stranger of the address with the most of them goes, so that filling the port with idle connections keeps nobody out: no
   * other address, and no honest machine behind the same one.
   */
  enter(remoteAddress: string, evict: () => void): Admission | undefined {
    const address = addressKey(remoteAddress);
    const { maxConnections, maxUnauthenticated, maxUnauthenticatedPerAddress } = this.#limits;
    const ofAddress = [...this.#strangers].filter((stranger) => stranger.address === address);
    if (ofAddress.length >= maxUnauthenticatedPerAddress) {
      if (!this.#makeRoom(ofAddress[0])) return undefined;
    } else if (this.#strangers.size >= maxUnauthenticated || this.#connections >= maxConnections) {
      if (!this.#makeRoom(this.#oldestInLargestGroup())) return undefined;
    }
    const stranger = { address, since: this.#now(), evict };
    this.#strangers.add(stranger);
    this.#connections += 1;
    let hasLeft = false;
    return {
      known: () => void this.#strangers.delete(stranger),
      left: () => {
        if (hasLeft) return;
        hasLeft = true;
        this.#strangers.delete(stranger);
        this.#connections -= 1;
      },
    };
  }

  /** Evicts this stranger, if it has had its time. Its socket closes a moment later; its place is free at once. */
  #makeRoom(stranger: Stranger | undefined): boolean {
    if (stranger === undefined || this.#now() - stranger.since < this.#limits.crowdedGraceMs) return false;
    this.#strangers.delete(stranger);
    stranger.evict();
    return true;
  }

  #oldestInLargestGroup(): Stranger | undefined {
    let largest: Stranger[] = [];
    const groups = Map.groupBy(this.#strangers, ({ address }) => address);
    for (const group of groups.values()) if (group.length > largest.length) largest = group;
    return largest[0];
  }
}
