/** Holds a gateway to one host key for the whole life of a connection. */
import { FleetError } from '../errors.ts';

/** Asks the caller once, and holds the gateway to the same key in every later key exchange. */
export class HostKeyCheck {
  readonly #verify: (blob: Buffer) => void;
  /** What the caller threw. */
  refusal: unknown;
  #accepted: Buffer | undefined;

  constructor(verify: (blob: Buffer) => void) {
    this.#verify = verify;
  }

  get accepted(): Buffer {
    if (this.#accepted === undefined) throw new FleetError('internal', 'an SSH connection without a verified host key');
    return this.#accepted;
  }

  verify(blob: Buffer): boolean {
    if (this.#accepted !== undefined) return this.#accepted.equals(blob);
    try {
      // A copy: ssh2 hands out a view of its packet buffer.
      const copy = Buffer.from(blob);
      this.#verify(copy);
      this.#accepted = copy;
      return true;
    } catch (error) {
      this.refusal = error;
      return false;
    }
  }
}
