/** The node's section of config.yaml: its schema, its defaults, and how flags override it. */
import { z } from 'zod';
import {
  DEFAULT_GATEWAY_PORT,
  DEFAULT_KILL_GRACE_MS,
  DEFAULT_MAX_OUTPUT_BYTES,
  DEFAULT_RETENTION_MS,
  LEAST_MAX_OUTPUT_BYTES,
} from '../domain/limits.ts';
import { labelsSchema, nodeNameSchema } from '../domain/names.ts';
import { environmentSchema } from '../protocol/run-spec.ts';
import { dialAddressSchema, durationUpTo, intervalSchema, intervalUpTo, parseConfigSection } from '../shared/config.ts';
import { SSH_LIMITS } from '../shared/ssh/limits.ts';
import { policyConfigSchema } from './policy/policy.ts';
import { agentsConfigSchema } from './runner/agents.ts';

/** Disk that the logs of runs may take on a node, bytes. */
const DEFAULT_SPOOL_BYTES = 1024 * 1024 * 1024;

export const nodeConfigSchema = z.strictObject({
  gateway: dialAddressSchema(DEFAULT_GATEWAY_PORT).optional(),
  name: nodeNameSchema.optional(),
  labels: labelsSchema.default({}),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  shell: z.string().startsWith('/', 'not an absolute path').optional(),
  env: environmentSchema.default({}),
  killGrace: durationUpTo('1d').default(DEFAULT_KILL_GRACE_MS),
  agents: agentsConfigSchema.default({}),
  policy: policyConfigSchema.optional(),
  maxSpoolBytes: z.number().int().positive().default(DEFAULT_SPOOL_BYTES),
  maxOutputBytes: z.number().int().min(LEAST_MAX_OUTPUT_BYTES).default(DEFAULT_MAX_OUTPUT_BYTES),
  retention: intervalSchema.default(DEFAULT_RETENTION_MS),
  keepaliveInterval: intervalUpTo('1h').default(SSH_LIMITS.keepaliveIntervalMs),
  keepaliveCountMax: z.number().int().min(1).max(10).default(SSH_LIMITS.keepaliveCountMax),
});

export type NodeConfig = Readonly<z.output<typeof nodeConfigSchema>>;

/** Flags over file over default. @throws FleetError `config_invalid` with all faults at once. */
export function resolveNodeConfig(section: unknown, flags: Record<string, unknown>, file: string): NodeConfig {
  return parseConfigSection(nodeConfigSchema, 'node', section, flags, file);
}
