/** How much one SSH peer may cost us: a client of a server, or a gateway that is hostile to its nodes. */

/** Channels that each connection may have whatever others of its key hold, so that a node that comes back can announce itself. */
export const RESERVED_CHANNELS = 2;

export const SSH_LIMITS = Object.freeze({
  /** Connections of one known key. A person's script may run a hundred commands at once. */
  maxConnectionsPerKey: 128,
  /** From TCP accept to authenticated, ms. */
  graceMs: 10_000,
  /**
   * Longest wait of a server for the client's list of algorithms before it shows its own, ms. The client's list comes one round trip after
   * its identification: 0.7 s over a satellite, one more if a packet has to be sent again.
   */
  kexInitHoldMs: 2_000,
  /**
   * Authentication requests in one connection: `none`, each key probe and each signature count. An agent with many keys probes them one by
   * one.
   */
  maxAuthEvents: 12,
  /**
   * Bytes that a stranger may send: before it has authenticated, and afterwards with an unknown key. OpenSSH needs 2 KB for its handshake
   * and less than 1 KB for each key that its agent offers, large certificates 5 KB; pairing takes 3 KB.
   */
  maxUnauthenticatedBytes: 128 * 1024,
  /** Global forwards (`tcpip-forward`) that one peer may hold. */
  maxForwards: 16,
  /**
   * Unsent bytes of all connections of one key, on top of 64 KiB each. Two connections at their high-water mark; the others continue with
   * what the kernel holds.
   */
  keyTransmitBytes: 8 * 1024 * 1024,
  /**
   * Unread and granted bytes of all channels that one key has opened, on top of 64 KiB each. Ten uploads at full speed over a long line.
   */
  keyReceiveBytes: 16 * 1024 * 1024,
  /** Channels that a gateway may keep open on a node or operator, both directions together. */
  maxChannelsFromGateway: 64,
  /**
   * Smallest `maximum packet size` that a peer may ask for, bytes. ssh2 loops forever on 0, and small packets multiply our work per byte.
   */
  minPacketBytes: 1024,
  /** Largest payload that we put into one packet, bytes. RFC 4253, 6.1: every implementation accepts 32,768. */
  maxPacketBytes: 32_768,
  /** Channels stop writing when this many bytes wait in the socket. */
  transmitHighWaterBytes: 4 * 1024 * 1024,
  /** The connection is cut when this many bytes wait; only replies that the peer provokes and never reads exceed the high-water mark. */
  transmitKillBytes: 16 * 1024 * 1024,
  /** The connection is cut when this many packets wait for the end of a key exchange. */
  maxQueuedPackets: 16_384,
  /** Key exchanges started by the peer that are tolerated in the long run. */
  rekeysPerSecond: 1,
  /** Key exchanges started by the peer that are tolerated at once. */
  rekeyBurst: 10,
  /** We exchange keys after this many bytes in both directions. RFC 4253, 9: after each gigabyte or hour. */
  rekeyBytes: 1024 * 1024 * 1024,
  /** We exchange keys after this time, ms, ±10 %. */
  rekeyIntervalMs: 3_600_000,
  /** Longest key exchange, ms. A slow line may have megabytes in flight before the peer's answer. */
  rekeyTimeoutMs: 60_000,
  /** Silence until a keepalive is sent, ms. 10 s × (2 + 1): a dead peer is gone after 30 s. */
  keepaliveIntervalMs: 10_000,
  /** Unanswered keepalives after which the peer is dead: gone after (count + 1) × interval. */
  keepaliveCountMax: 2,
  /** From requesting a channel or forward to its answer, ms. */
  openTimeoutMs: 10_000,
  /** From the goodbye to destroying the socket, ms. */
  closeGraceMs: 2_000,
});

export type SshLimits = Readonly<Record<keyof typeof SSH_LIMITS, number>>;

export function resolveLimits(overrides: Partial<SshLimits> = {}): SshLimits {
  return Object.freeze({ ...SSH_LIMITS, ...overrides });
}
