/** What a server lets a peer open, and which connections belong to one key. */
import type { Duplex } from 'node:stream';
import type { Sharing } from '../patches/internals.ts';

/** Takes an accepted channel, as a socket that was accepted. */
export type ChannelHandler = (channel: Duplex) => void;

/** What a peer may open (RFC 4254). What is absent, and what a function answers with false or undefined, is administratively prohibited. */
export interface PeerAccess {
  /** `tcpip-forward` (7.1). */
  forward?(name: { host: string; port: number }): boolean;
  /** `direct-tcpip` (7.2). */
  direct?(destination: { host: string; port: number }): ChannelHandler | undefined;
  /** A program on a session channel (6.5): `command` is undefined for a shell. */
  session?(program: { command: string | undefined }): ChannelHandler | undefined;
  /** A subsystem on a session channel (6.5), such as `sftp`. */
  subsystem?(name: string): ChannelHandler | undefined;
  /** Its key is unknown: it counts as a stranger for as long as it is connected, because anybody can make a key. */
  isStranger?: boolean;
  /** Most channels of its key, both directions together. */
  maxChannels: number;
  /** Most connections of its key, if fewer than the server's own limit. */
  maxConnections?: number;
  /** Ends the connection after this time, ms. */
  lifetimeMs?: number;
}

export interface KeyConnection extends Sharing {
  /** Ends it at once: nothing that the peer has sent has any effect, and its channels break off. */
  cut(reason: string): void;
}

/** The connections of each key: their combined use is limited, and they all end when the key is revoked. */
export class KeyConnections {
  readonly #connections = new Map<string, Set<KeyConnection>>();

  /** Keeps it until `closed` resolves; returns a live view of all connections of its key, itself included. */
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

  /** Those that are not closing. */
  count(publicKey: Buffer): number {
    return [...(this.#connections.get(publicKey.toString('hex')) ?? [])].filter(({ isOpen }) => isOpen).length;
  }

  /** Also those from before the key was known, or that only wait for their pairing. `except` one of them. */
  cut(publicKey: Buffer, reason: string, except?: Pick<KeyConnection, 'cut'>): void {
    for (const connection of [...(this.#connections.get(publicKey.toString('hex')) ?? [])]) {
      if (connection !== except) connection.cut(reason);
    }
  }
}
