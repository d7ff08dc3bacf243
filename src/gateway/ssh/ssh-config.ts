/** `gateway.ssh` in config.yaml: which of the public port's limits an owner may move, and how far. */
import { z } from 'zod';
import { intervalUpTo } from '../../shared/config.ts';
import { affordableConnections } from '../../shared/descriptors.ts';
import type { Logger } from '../../shared/logger.ts';
import { keepaliveIntervalSchema } from '../../shared/ssh/keepalive-config.ts';
import { SSH_LIMITS, type SshLimits } from '../../shared/ssh/limits.ts';

/** An honest handshake takes 3 KB, and every key that is tried up to 5 KB. */
const LEAST_UNAUTHENTICATED_BYTES = 16 * 1024;
/** Channels alone may fill half of it. */
const LEAST_UNREAD_BYTES = 2 * SSH_LIMITS.transmitHighWaterBytes;
/** Below this, exchanging keys would be most of the work. */
const LEAST_REKEY_BYTES = 1024 * 1024;
/** A node that comes back may be here before its old connection is gone. */
const LEAST_CONNECTIONS_PER_KEY = 2;

const count = z.number().int().positive();

export const sshConfigSchema = z
  .strictObject({
    maxUnauthenticated: count.default(SSH_LIMITS.maxUnauthenticated),
    maxUnauthenticatedPerAddress: count.default(SSH_LIMITS.maxUnauthenticatedPerAddress),
    maxConnections: count.default(SSH_LIMITS.maxConnections),
    maxConnectionsPerKey: count.min(LEAST_CONNECTIONS_PER_KEY).default(SSH_LIMITS.maxConnectionsPerKey),
    loginGrace: intervalUpTo('1h').default(SSH_LIMITS.graceMs),
    crowdedGrace: intervalUpTo('1h').default(SSH_LIMITS.crowdedGraceMs),
    maxAuthRequests: count.default(SSH_LIMITS.maxAuthEvents),
    maxUnauthenticatedBytes: count.min(LEAST_UNAUTHENTICATED_BYTES).default(SSH_LIMITS.maxUnauthenticatedBytes),
    maxUnreadBytes: count.min(LEAST_UNREAD_BYTES).default(SSH_LIMITS.transmitKillBytes),
    rekeyBytes: count.min(LEAST_REKEY_BYTES).default(SSH_LIMITS.rekeyBytes),
    rekeyInterval: intervalUpTo('7d').default(SSH_LIMITS.rekeyIntervalMs),
    rekeysPerSecond: z.number().positive().default(SSH_LIMITS.rekeysPerSecond),
    rekeyBurst: count.default(SSH_LIMITS.rekeyBurst),
    channelOpenTimeout: intervalUpTo('1h').default(SSH_LIMITS.openTimeoutMs),
    keepaliveInterval: keepaliveIntervalSchema,
    keepaliveCountMax: z.number().int().min(1).max(10).default(SSH_LIMITS.keepaliveCountMax),
  })
  .prefault({});

export type SshConfig = Readonly<z.output<typeof sshConfigSchema>>;

/** {@link sshLimitsOf}, with no more connections than there are file descriptors for. */
export function affordableSshLimits(config: SshConfig, logger: Pick<Logger, 'warn'>): Partial<SshLimits> {
  const maxConnections = affordableConnections(config.maxConnections, SSH_LIMITS.maxConnections, logger);
  return { ...sshLimitsOf(config), maxConnections };
}

/** The limits that a configuration sets, by the names that the port knows them by. */
export function sshLimitsOf(config: SshConfig): Partial<SshLimits> {
  const { loginGrace, crowdedGrace, maxAuthRequests, maxUnreadBytes, rekeyInterval, channelOpenTimeout, ...rest } =
    config;
  const { keepaliveInterval, ...sameName } = rest;
  return {
    ...sameName,
    graceMs: loginGrace,
    crowdedGraceMs: crowdedGrace,
    maxAuthEvents: maxAuthRequests,
    transmitKillBytes: maxUnreadBytes,
    rekeyIntervalMs: rekeyInterval,
    openTimeoutMs: channelOpenTimeout,
    keepaliveIntervalMs: keepaliveInterval,
  };
}
