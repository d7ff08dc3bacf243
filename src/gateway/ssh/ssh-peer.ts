/** What the gateway sees of one authenticated SSH connection, and what it lets the other side do. */
import type { Duplex } from 'node:stream';

export interface SshPeer {
  /** Random, of this connection. */
  readonly id: string;
  /** Raw Ed25519 key, 32 bytes; its owner has signed this connection with it. */
  readonly publicKey: Buffer;
  /** User name that the peer gave; proves nothing. */
  readonly user: string;
  readonly remoteAddress: string;
  /** Wall clock, ms since the epoch. */
  readonly connectedAt: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /**
   * A `forwarded-tcpip` channel (RFC 4254, 7.2) on exactly what the peer asked for with `tcpip-forward`, as a socket that was dialled.
   * @throws FleetError `channel_open_failed` when refused or never asked for | `timeout` | `connection_lost` | `busy`
   */
  openForwarded(host: string, port: number): Promise<Duplex>;
  /** Says goodbye, and destroys the socket at the latest after 2 s. Idempotent: the first reason stays. */
  close(reason: string): void;
  /** Ends it at once: nothing that the peer has sent is heard any more, and what goes on over its channels breaks off. */
  cut(reason: string): void;
  /** Resolves with the reason, never rejects, when the socket is closed; all channels are destroyed by then. */
  readonly closed: Promise<string>;
}

export interface PeerHandlers {
  /** Its key is nobody's: it counts against the limits of strangers for as long as it is connected. Anybody can make a key. */
  isStranger?: boolean;
  /** Most channels of its key, both directions together. */
  maxChannels: number;
  /** Most connections of its key, where that is less than the port's own limit. */
  maxConnections?: number;
  /** Ends the connection after this time, ms. */
  lifetimeMs?: number;
  /** `direct-tcpip`: a function that receives the accepted channel, as a socket that was accepted; undefined refuses it as administratively prohibited. */
  onDirectTcpip?(destination: { host: string; port: number }): ((channel: Duplex) => void) | undefined;
  /** `tcpip-forward`: true accepts. */
  onForward?(forward: { host: string; port: number }): boolean;
}
