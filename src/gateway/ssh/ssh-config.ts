/** `gateway.ssh` in config.yaml: which limits of the public port are configurable, and within what bounds. */
import { z } from 'zod';
import { intervalUpTo } from '../../shared/config.ts';
import { affordableConnections } from '../../shared/descriptors.ts';
import type { Logger } from '../../shared/logger.ts';
import { PORT_LIMITS, type PortLimits } from './admission.ts';

/** An honest handshake takes 3 KB, and each key probe up to 5 KB. */
const LEAST_UNAUTHENTICATED_BYTES = 16 * 1024;
/** Channels alone may fill half of this. */
const LEAST_UNREAD_BYTES = 2 * PORT_LIMITS.transmitHighWaterBytes;
/** Below this, key exchanges would be most of the work. */
const LEAST_REKEY_BYTES = 1024 * 1024;
/** A node may reconnect before its old connection is gone. */
const LEAST_CONNECTIONS_PER_KEY = 2;

const count = z.number().int().positive();

export const sshConfigSchema = z
  .strictObject({
    maxUnauthenticated: count.default(PORT_LIMITS.maxUnauthenticated),
    maxUnauthenticatedPerAddress: count.default(PORT_LIMITS.maxUnauthenticatedPerAddress),
    maxConnections: count.default(PORT_LIMITS.maxConnections),
    maxConnectionsPerKey: count.min(LEAST_CONNECTIONS_PER_KEY).default(PORT_LIMITS.maxConnectionsPerKey),
    loginGrace: intervalUpTo('1h').default(PORT_LIMITS.graceMs),
    crowdedGrace: intervalUpTo('1h').default(PORT_LIMITS.crowdedGraceMs),
    maxAuthRequests: count.default(PORT_LIMITS.maxAuthEvents),
    maxUnauthenticatedBytes: count.min(LEAST_UNAUTHENTICATED_BYTES).default(PORT_LIMITS.maxUnauthenticatedBytes),
    maxUnreadBytes: count.min(LEAST_UNREAD_BYTES).default(PORT_LIMITS.transmitKillBytes),
    rekeyBytes: count.min(LEAST_REKEY_BYTES).default(PORT_LIMITS.rekeyBytes),
    rekeyInterval: intervalUpTo('7d').default(PORT_LIMITS.rekeyIntervalMs),
    rekeysPerSecond: z.number().positive().default(PORT_LIMITS.rekeysPerSecond),
    rekeyBurst: count.default(PORT_LIMITS.rekeyBurst),
    channelOpenTimeout: intervalUpTo('1h').default(PORT_LIMITS.openTimeoutMs),
    // ssh2 passes it to setInterval, which takes more than 24 days for 1 ms.
    keepaliveInterval: intervalUpTo('1h').default(PORT_LIMITS.keepaliveIntervalMs),
    keepaliveCountMax: z.number().int().min(1).max(10).default(PORT_LIMITS.keepaliveCountMax),
  })
  .prefault({});

type SshConfig = Readonly<z.output<typeof sshConfigSchema>>;

/** {@link sshLimitsOf}, with no more connections than there are file descriptors. */
export function affordableSshLimits(config: SshConfig, logger: Pick<Logger, 'warn'>): Partial<PortLimits> {
  const maxConnections = affordableConnections(config.maxConnections, PORT_LIMITS.maxConnections, logger);
  return { ...sshLimitsOf(config), maxConnections };
}

/** Limits that differ in name from their option. */
const LIMIT_OF: Readonly<Record<string, keyof PortLimits>> = {
  loginGrace: 'graceMs',
  crowdedGrace: 'crowdedGraceMs',
  maxAuthRequests: 'maxAuthEvents',
  maxUnreadBytes: 'transmitKillBytes',
  rekeyInterval: 'rekeyIntervalMs',
  channelOpenTimeout: 'openTimeoutMs',
  keepaliveInterval: 'keepaliveIntervalMs',
};

/** The configured limits under the port's names. */
export function sshLimitsOf(config: SshConfig): Partial<PortLimits> {
  return Object.fromEntries(Object.entries(config).map(([option, value]) => [LIMIT_OF[option] ?? option, value]));
}
