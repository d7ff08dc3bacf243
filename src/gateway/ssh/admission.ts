/** How many connections the public port holds, in total and for strangers; decided before ssh2 sees a socket. docs/adr/0016. */
import { addressKey } from '../../shared/address.ts';
import type { SshLimits } from '../../shared/ssh/limits.ts';

/** One admitted connection. Both calls are idempotent. */
export interface Admission {
  /** The peer has proven to be one that the gateway knows, and is a stranger no more. */
  known(): void;
  /** The socket is closed. */
  left(): void;
}

export interface AdmissionOptions {
  limits: Pick<SshLimits, 'maxConnections' | 'maxUnauthenticated' | 'maxUnauthenticatedPerAddress' | 'crowdedGraceMs'>;
  /** Monotonic ms. */
  now: () => number;
}

interface Stranger {
  since: number;
  /** Ends it, so that a newcomer can have its place. */
  evict: () => void;
}

export class AdmissionControl {
  readonly #limits: AdmissionOptions['limits'];
  readonly #now: () => number;
  /** By address; of each address in the order in which they came. */
  readonly #strangers = new Map<string, Set<Stranger>>();
  #connections = 0;
  #unauthenticated = 0;

  constructor({ limits, now }: AdmissionOptions) {
    this.#limits = limits;
    this.#now = now;
  }

  get connections(): number {
    return this.#connections;
  }

  /** Strangers: connections that have not authenticated, and those of keys that nobody has paired. */
  get unauthenticated(): number {
    return this.#unauthenticated;
  }

  /**
   * Undefined when a limit is reached and nobody has had time enough; else `evict` of the stranger whose place this one takes
   * has been called. In a crowd the oldest stranger of the address with the most of them goes, so that whoever fills the port
   * with idle connections keeps out nobody, neither other addresses nor honest machines behind his own.
   */
  enter(remoteAddress: string, evict: () => void): Admission | undefined {
    const key = addressKey(remoteAddress);
    const { maxConnections, maxUnauthenticated, maxUnauthenticatedPerAddress } = this.#limits;
    const ofAddress = this.#strangers.get(key);
    if (ofAddress !== undefined && ofAddress.size >= maxUnauthenticatedPerAddress) {
      if (!this.#makeRoom(key, ofAddress)) return undefined;
    } else if (this.#unauthenticated >= maxUnauthenticated || this.#connections >= maxConnections) {
      if (!this.#makeRoom(...this.#mostCrowded())) return undefined;
    }
    return this.#admit(key, { since: this.#now(), evict });
  }

  #admit(key: string, stranger: Stranger): Admission {
    this.#connections += 1;
    this.#unauthenticated += 1;
    const present = this.#strangers.get(key);
    if (present === undefined) this.#strangers.set(key, new Set([stranger]));
    else present.add(stranger);
    return {
      known: () => this.#forget(key, stranger),
      left: once(() => {
        this.#forget(key, stranger);
        this.#connections -= 1;
      }),
    };
  }

  /** Ends the oldest of these strangers, if it has had its time. Its socket closes a moment later; its place is free at once. */
  #makeRoom(key: string, strangers: ReadonlySet<Stranger>): boolean {
    const [oldest] = strangers;
    if (oldest === undefined || this.#now() - oldest.since < this.#limits.crowdedGraceMs) return false;
    this.#forget(key, oldest);
    oldest.evict();
    return true;
  }

  #mostCrowded(): [key: string, strangers: ReadonlySet<Stranger>] {
    let most: [string, ReadonlySet<Stranger>] = ['', new Set()];
    for (const entry of this.#strangers) if (entry[1].size > most[1].size) most = entry;
    return most;
  }

  #forget(key: string, stranger: Stranger): void {
    const strangers = this.#strangers.get(key);
    if (strangers?.delete(stranger) !== true) return;
    this.#unauthenticated -= 1;
    if (strangers.size === 0) this.#strangers.delete(key);
  }
}

function once(act: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    act();
  };
}
