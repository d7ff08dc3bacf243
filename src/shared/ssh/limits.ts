/** How much one SSH peer may cost us, on the public port and on a node that faces a hostile gateway. */

export interface SshLimits {
  /** TCP connections of the server at once. */
  maxConnections: number;
  /** Strangers, in total: connections that have not authenticated yet, and those of keys that nobody has paired. */
  maxUnauthenticated: number;
  /** The same from one address (IPv6: from one /64). */
  maxUnauthenticatedPerAddress: number;
  /** Connections of one key that is paired. */
  maxConnectionsPerKey: number;
  /** From TCP accept to authenticated, ms. */
  graceMs: number;
  /** How long a server waits for the client's list of algorithms before it shows its own, ms. */
  kexInitHoldMs: number;
  /** When strangers fill their limit: how long one is safe from being replaced by the next, ms. */
  crowdedGraceMs: number;
  /** Authentication requests in one connection: `none`, each key probe and each signature count. */
  maxAuthEvents: number;
  /** Bytes that a stranger may send: until it has authenticated, and after that with a key that nobody has paired. */
  maxUnauthenticatedBytes: number;
  /** Global forwards (`tcpip-forward`) that one peer may hold. */
  maxForwards: number;
  /** Unsent bytes of all connections of one key, besides 64 KiB of each. */
  keyTransmitBytes: number;
  /** Unread and granted bytes of all channels that one key has opened, besides 64 KiB of each. */
  keyReceiveBytes: number;
  /** Channels, in both directions together, that a gateway may keep open on a node or operator. */
  maxChannelsFromGateway: number;
  /** Smallest `maximum packet size` that a peer may ask for, bytes. */
  minPacketBytes: number;
  /** Largest payload that we put into one packet, bytes. */
  maxPacketBytes: number;
  /** Channels stop writing when this many bytes wait in the socket. */
  transmitHighWaterBytes: number;
  /** The connection is cut when this many bytes wait: only replies that the peer provokes and never reads get past the high-water mark. */
  transmitKillBytes: number;
  /** The connection is cut when this many packets wait for the end of a key exchange. */
  maxQueuedPackets: number;
  /** Key exchanges of the peer's making that are tolerated in the long run. */
  rekeysPerSecond: number;
  /** Key exchanges of the peer's making that are tolerated at once. */
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
  /** From asking for a channel or a forward to its answer, ms. */
  openTimeoutMs: number;
  /** From a polite goodbye to destroying the socket, ms. */
  closeGraceMs: number;
}

/** Channels that a node may have open at once, over all its connections: runs, their output streams and heartbeats. */
export const NODE_MAX_CHANNELS = 64;
/** Connections of a node: it needs one; one that came back may have left a dead one behind, and its key may be in rotation. */
export const NODE_MAX_CONNECTIONS = 4;
/** Channels that a person may have open at once, over all connections: two for each of a hundred commands that run at once. */
export const PERSON_MAX_CHANNELS = 256;
/** Channels that each connection may have whatever others of its key hold: a node that comes back must be able to say so. */
export const RESERVED_CHANNELS = 2;

export const SSH_LIMITS: Readonly<SshLimits> = Object.freeze({
  // Above 10,000 nodes with room for operators; `nofile` must be higher.
  maxConnections: 20_000,
  // One handshake costs 0.6 ms of CPU: 256 keep the event loop under 40 ms even when 5,000 nodes come back at once.
  maxUnauthenticated: 256,
  // A site of nodes behind one NAT address still gets all in, by their back-off.
  maxUnauthenticatedPerAddress: 32,
  // A person's script may run a hundred commands at once. Of a node there are fewer.
  maxConnectionsPerKey: 128,
  graceMs: 10_000,
  // The client's list comes one round trip after its identification: 0.7 s over a satellite, one more if a packet has to be sent again.
  kexInitHoldMs: 2_000,
  // Four round trips over a satellite take about that.
  crowdedGraceMs: 2_000,
  // An agent with many keys probes them one by one.
  maxAuthEvents: 12,
  // OpenSSH needs 2 KB for its handshake and less than 1 KB for each key that its agent offers, large certificates 5 KB; pairing takes 3 KB.
  maxUnauthenticatedBytes: 128 * 1024,
  maxForwards: 16,
  // Two connections at their high-water mark; the others go on with what the kernel holds.
  keyTransmitBytes: 8 * 1024 * 1024,
  // Ten uploads at full speed over a long line.
  keyReceiveBytes: 16 * 1024 * 1024,
  maxChannelsFromGateway: 64,
  // ssh2 loops for ever on 0, and small sizes multiply our work per byte.
  minPacketBytes: 1024,
  // RFC 4253, 6.1: every implementation takes 32,768.
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

/** The defaults with some replaced. */
export function resolveLimits(overrides: Partial<SshLimits> = {}): Readonly<SshLimits> {
  return Object.freeze({ ...SSH_LIMITS, ...overrides });
}
