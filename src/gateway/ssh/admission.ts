/** How many connections the public port holds, in total and for strangers; decided before ssh2 sees a socket. */
import { isIPv6 } from 'node:net';
import type { SshLimits } from '../../shared/ssh/limits.ts';

/** One admitted connection. Both calls are idempotent. */
export interface Admission {
  /** The peer has authenticated and is a stranger no more. */
  authenticated(): void;
  /** The socket is closed. */
  left(): void;
}

export class AdmissionControl {
  readonly #limits: Pick<SshLimits, 'maxConnections' | 'maxUnauthenticated' | 'maxUnauthenticatedPerAddress'>;
  readonly #strangersByAddress = new Map<string, number>();
  #connections = 0;
  #unauthenticated = 0;

  constructor(limits: Pick<SshLimits, 'maxConnections' | 'maxUnauthenticated' | 'maxUnauthenticatedPerAddress'>) {
    this.#limits = limits;
  }

  get connections(): number {
    return this.#connections;
  }

  get unauthenticated(): number {
    return this.#unauthenticated;
  }

  /** Undefined when a limit is reached. */
  enter(remoteAddress: string): Admission | undefined {
    const key = addressKey(remoteAddress);
    const strangers = this.#strangersByAddress.get(key) ?? 0;
    const { maxConnections, maxUnauthenticated, maxUnauthenticatedPerAddress } = this.#limits;
    if (this.#connections >= maxConnections || this.#unauthenticated >= maxUnauthenticated) return undefined;
    if (strangers >= maxUnauthenticatedPerAddress) return undefined;

    this.#connections += 1;
    this.#unauthenticated += 1;
    this.#strangersByAddress.set(key, strangers + 1);
    const authenticated = once(() => {
      this.#unauthenticated -= 1;
      const left = (this.#strangersByAddress.get(key) ?? 1) - 1;
      if (left === 0) this.#strangersByAddress.delete(key);
      else this.#strangersByAddress.set(key, left);
    });
    const left = once(() => {
      this.#connections -= 1;
      authenticated();
    });
    return { authenticated, left };
  }
}

/** An IPv6 customer has a whole /64 to dial from, so that is one address; RFC 4291, 2.5.4. */
export function addressKey(address: string): string {
  const [bare = ''] = address.split('%');
  if (!isIPv6(bare) || bare.includes('.')) return address;
  const [head = '', tail] = bare.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  const groups = [...before, ...Array.from({ length: zeros }, () => '0'), ...after];
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}

function once(act: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    act();
  };
}
