/** How much one SSH peer may cost us: a client of a server, or a gateway that is hostile to its nodes. */

export interface SshLimits {
  /** Connections of one known key. */
  maxConnectionsPerKey: number;
  /** From TCP accept to authenticated, ms. */
  graceMs: number;
  /** Longest wait of a server for the client's list of algorithms before it shows its own, ms. */
  kexInitHoldMs: number;
  /** Authentication requests in one connection: `none`, each key probe and each signature count. */
  maxAuthEvents: number;
  /** Bytes that a stranger may send: before it has authenticated, and afterwards with an unknown key. */
  maxUnauthenticatedBytes: number;
  /** Global forwards (`tcpip-forward`) that one peer may hold. */
  maxForwards: number;
  /** Unsent bytes of all connections of one key, on top of 64 KiB each. */
  keyTransmitBytes: number;
  /** Unread and granted bytes of all channels that one key has opened, on top of 64 KiB each. */
  keyReceiveBytes: number;
  /** Channels that a gateway may keep open on a node or operator, both directions together. */
  maxChannelsFromGateway: number;
  /** Smallest `maximum packet size` that a peer may ask for, bytes. */
  minPacketBytes: number;
  /** Largest payload that we put into one packet, bytes. */
  maxPacketBytes: number;
  /** Channels stop writing when this many bytes wait in the socket. */
  transmitHighWaterBytes: number;
  /** The connection is cut when this many bytes wait; only replies that the peer provokes and never reads exceed the high-water mark. */
  transmitKillBytes: number;
  /** The connection is cut when this many packets wait for the end of a key exchange. */
  maxQueuedPackets: number;
  /** Key exchanges started by the peer that are tolerated in the long run. */
  rekeysPerSecond: number;
  /** Key exchanges started by the peer that are tolerated at once. */
  rekeyBurst: number;
  /** We exchange keys after this many bytes in both directions. */
  rekeyBytes: number;
  /** We exchange keys after this time, ms, ±10 %. */
  rekeyIntervalMs: number;
  /** Longest key exchange, ms. */
  rekeyTimeoutMs: number;
  /** Silence until a keepalive is sent, ms. */
  keepaliveIntervalMs: number;
  /** Unanswered keepalives after which the peer is dead: gone after (count + 1) × interval. */
  keepaliveCountMax: number;
  /** From requesting a channel or forward to its answer, ms. */
  openTimeoutMs: number;
  /** From the goodbye to destroying the socket, ms. */
  closeGraceMs: number;
}

/** Channels that each connection may have whatever others of its key hold, so that a node that comes back can announce itself. */
export const RESERVED_CHANNELS = 2;

export const SSH_LIMITS: Readonly<SshLimits> = Object.freeze({
  // A person's script may run a hundred commands at once. Of a node there are fewer.
  maxConnectionsPerKey: 128,
  graceMs: 10_000,
  // The client's list comes one round trip after its identification: 0.7 s over a satellite, one more if a packet has to be sent again.
  kexInitHoldMs: 2_000,
  // An agent with many keys probes them one by one.
  maxAuthEvents: 12,
  // OpenSSH needs 2 KB for its handshake and less than 1 KB for each key that its agent offers, large certificates 5 KB; pairing takes 3 KB.
  maxUnauthenticatedBytes: 128 * 1024,
  maxForwards: 16,
  // Two connections at their high-water mark; the others continue with what the kernel holds.
  keyTransmitBytes: 8 * 1024 * 1024,
  // Ten uploads at full speed over a long line.
  keyReceiveBytes: 16 * 1024 * 1024,
  maxChannelsFromGateway: 64,
  // ssh2 loops for ever on 0, and small packets multiply our work per byte.
  minPacketBytes: 1024,
  // RFC 4253, 6.1: every implementation accepts 32,768.
  maxPacketBytes: 32_768,
  transmitHighWaterBytes: 4 * 1024 * 1024,
  transmitKillBytes: 16 * 1024 * 1024,
  maxQueuedPackets: 16_384,
  rekeysPerSecond: 1,
  rekeyBurst: 10,
  // RFC 4253, 9: after each gigabyte or hour.
  rekeyBytes: 1024 * 1024 * 1024,
  rekeyIntervalMs: 3_600_000,
  // A slow line may have megabytes in flight before the peer's answer.
  rekeyTimeoutMs: 60_000,
  // 10 s × (2 + 1): a dead peer is gone after 30 s.
  keepaliveIntervalMs: 10_000,
  keepaliveCountMax: 2,
  openTimeoutMs: 10_000,
  closeGraceMs: 2_000,
});

export function resolveLimits(overrides: Partial<SshLimits> = {}): Readonly<SshLimits> {
  return Object.freeze({ ...SSH_LIMITS, ...overrides });
}
