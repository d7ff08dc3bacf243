/** The connections of each key: what they take together is bounded, and when the key ends they end at once, all of them. */
import type { Sharing } from './harden-connection.ts';

export interface KeyConnection extends Sharing {
  /** Ends it at once: nothing that the peer has sent is heard any more. The first reason stays. */
  cut(reason: string): void;
}

export class KeyConnections {
  readonly #connections = new Map<string, Set<KeyConnection>>();

  /** Keeps it until `closed` resolves; gives all of its key, itself included, as they are at any time. */
  add(publicKey: Buffer, connection: KeyConnection, closed: Promise<unknown>): ReadonlySet<KeyConnection> {
    const key = publicKey.toString('hex');
    const connections = this.#connections.get(key) ?? new Set();
    this.#connections.set(key, connections.add(connection));
    void closed.then(() => {
      connections.delete(connection);
      if (connections.size === 0 && this.#connections.get(key) === connections) this.#connections.delete(key);
    });
    return connections;
  }

  /** Those that are not being closed. */
  count(publicKey: Buffer): number {
    return [...(this.#connections.get(publicKey.toString('hex')) ?? [])].filter(({ isOpen }) => isOpen).length;
  }

  /** Also those that came before the key was known, or that only wait for their pairing. `except` one of them. */
  cut(publicKey: Buffer, reason: string, except?: Pick<KeyConnection, 'cut'>): void {
    for (const connection of [...(this.#connections.get(publicKey.toString('hex')) ?? [])]) {
      if (connection !== except) connection.cut(reason);
    }
  }
}
