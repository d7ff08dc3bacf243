/** Facts about this machine that do not change while it is up. */
import os from 'node:os';
import { agentCapability } from '../domain/agent/agent-capability.ts';
import type { NodeFacts } from '../protocol/node-messages.ts';
import type { RunSpec } from '../protocol/run-spec.ts';
import { FLEET_VERSION } from '../protocol/version.ts';
import { hashedMachineId } from '../shared/home-machine.ts';
import type { AgentConfig } from './runner/agents.ts';

/** `agents` are those of the node's config, `kinds` what its policy lets it do. */
export function readMachineFacts(
  agents: Readonly<Record<string, Pick<AgentConfig, 'maxParallel'>>>,
  kinds: readonly RunSpec['kind'][],
): NodeFacts {
  const limits = Object.entries(agents).flatMap(([name, { maxParallel }]) =>
    maxParallel ? [[name, maxParallel]] : [],
  );
  const machineId = hashedMachineId();
  return {
    hostname: os.hostname().slice(0, 255),
    os: process.platform,
    osRelease: os.release().slice(0, 255),
    arch: process.arch,
    version: FLEET_VERSION,
    agentVersion: FLEET_VERSION,
    ...(machineId !== undefined && { machineId }),
    capabilities: kinds.flatMap((kind) => (kind === 'shell' ? ['shell'] : Object.keys(agents).map(agentCapability))),
    ...(limits.length > 0 && { agentLimits: Object.fromEntries(limits) as Record<string, number> }),
  };
}
