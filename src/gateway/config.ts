/** The gateway's section of config.yaml: its schema, its defaults, and how flags override it. */
import { z } from 'zod';
import {
  DEFAULT_AUDIT_RETENTION_MS,
  DEFAULT_GATEWAY_PORT,
  DEFAULT_HEARTBEAT_INTERVAL_MS,
  DEFAULT_MAX_OUTPUT_BYTES,
  DEFAULT_NODE_CONCURRENCY,
  DEFAULT_RETENTION_MS,
  HEARTBEATS_UNTIL_OFFLINE,
  LEAST_MAX_OUTPUT_BYTES,
} from '../domain/limits.ts';
import {
  addressSchema,
  dialAddressTextSchema,
  durationSchema,
  intervalSchema,
  intervalUpTo,
  parseConfigSection,
} from '../shared/config.ts';
import { alertsConfigSchema } from './monitoring/alerts/config.ts';
import { DISK_HISTORY_MS } from './monitoring/history/disk-history.ts';
import type { HistoryRetention } from './monitoring/judge/history-keeper.ts';
import { DEFAULT_HEALTH_THRESHOLDS, type HealthThresholds, SETTLE_HEARTBEATS } from './monitoring/judge/limits.ts';
import { sshConfigSchema } from './ssh/ssh-config.ts';

const LEAST_KEY_GRACE_MS = 10 * 60_000;
/** Twice the lifetime of a token, ms. */
const DEFAULT_KEY_GRACE_MS = 48 * 3_600_000;

const DAY_MS = 86_400_000;
/** A threshold that nothing reaches. */
const off = z.literal('off').transform(() => Number.POSITIVE_INFINITY);
const percent = z.union([z.number().min(0).max(100), off], 'a percentage, or off');

export const gatewayConfigSchema = z.strictObject({
  listen: addressSchema(DEFAULT_GATEWAY_PORT).default({ host: '0.0.0.0', port: DEFAULT_GATEWAY_PORT }),
  api: addressSchema(18_789).optional(),
  // Without a port, that of `listen`.
  advertise: dialAddressTextSchema.optional(),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  heartbeatInterval: intervalUpTo('1d').default(DEFAULT_HEARTBEAT_INTERVAL_MS),
  heartbeatRetention: intervalSchema.default(DAY_MS),
  fiveMinuteRetention: intervalSchema.default(30 * DAY_MS),
  hourlyRetention: intervalSchema.default(365 * DAY_MS),
  /** Over all nodes. */
  maxRunsInFlight: z.number().int().min(1).default(2_000),
  // Less than a node's 64 channels; each run takes one or two.
  concurrencyPerNode: z.number().int().min(1).max(30).default(DEFAULT_NODE_CONCURRENCY),
  maxOutputBytes: z.number().int().min(LEAST_MAX_OUTPUT_BYTES).default(DEFAULT_MAX_OUTPUT_BYTES),
  retention: intervalSchema.default(DEFAULT_RETENTION_MS),
  auditRetention: z
    .union([z.literal('forever').transform(() => undefined), intervalSchema], 'forever, or a duration such as 365d')
    .default(DEFAULT_AUDIT_RETENTION_MS),
  // Nodes need time to learn the new key.
  keyGrace: durationSchema
    .refine((ms) => ms >= LEAST_KEY_GRACE_MS, 'must be 10m or longer')
    .default(DEFAULT_KEY_GRACE_MS),
  /** Whether capabilities that a node gains after pairing, such as an agent, need an admin's approval. */
  approveCapabilities: z.boolean().default(false),
  /** Time offline after which an ephemeral node is removed. */
  ephemeralGrace: intervalSchema.default(3_600_000),
  ssh: sshConfigSchema,
  thresholds: z
    .strictObject({
      cpuPct: percent.default(DEFAULT_HEALTH_THRESHOLDS.cpuPct),
      memUsedPct: percent.default(DEFAULT_HEALTH_THRESHOLDS.memUsedPct),
      diskUsedPct: percent.default(DEFAULT_HEALTH_THRESHOLDS.diskUsedPct),
      skew: durationSchema.default(DEFAULT_HEALTH_THRESHOLDS.skewMs),
      temperatureC: z.union([z.number(), off], 'degrees, or off').default(DEFAULT_HEALTH_THRESHOLDS.temperatureC),
      batteryPct: percent.default(DEFAULT_HEALTH_THRESHOLDS.batteryPct),
      eventLoopLag: durationSchema.default(DEFAULT_HEALTH_THRESHOLDS.eventLoopLagMs),
    })
    .prefault({}),
  alerts: alertsConfigSchema,
});

export type GatewayConfig = Readonly<z.output<typeof gatewayConfigSchema>>;

/** How long each part of the health history is kept, ms. */
export function historyRetentionOf(config: GatewayConfig): HistoryRetention {
  return {
    raw: config.heartbeatRetention,
    '5m': config.fiveMinuteRetention,
    '1h': config.hourlyRetention,
    disks: DISK_HISTORY_MS,
  };
}

/** Time without a heartbeat after which a node counts as offline, ms. */
export function offlineAfterMs(config: GatewayConfig): number {
  return config.heartbeatInterval * HEARTBEATS_UNTIL_OFFLINE;
}

/** Where `limited` and `offline` begin. */
export function healthThresholdsOf(config: GatewayConfig): HealthThresholds {
  const { skew, eventLoopLag, ...rest } = config.thresholds;
  return {
    ...rest,
    skewMs: skew,
    eventLoopLagMs: eventLoopLag,
    offlineAfterMs: offlineAfterMs(config),
    settleMs: config.heartbeatInterval * SETTLE_HEARTBEATS,
  };
}

/** Flags override the file, which overrides the defaults. @throws FleetError `config_invalid` with all faults at once. */
export function resolveGatewayConfig(section: unknown, flags: Record<string, unknown>, file: string): GatewayConfig {
  return parseConfigSection(gatewayConfigSchema, 'gateway', section, flags, file);
}
