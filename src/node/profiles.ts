/** Which of this home's nodes is meant: each has a folder, its profile; most machines have one. */
import { readdirSync } from 'node:fs';
import { sanitizeName } from '../protocol/sanitize-name.ts';
import { FleetError, systemErrorCode } from '../shared/errors.ts';
import { nodePaths, nodesFolder } from '../shared/home.ts';
import { hashedMachineId, otherMachine } from '../shared/home-machine.ts';
import { NodeStateFile } from './tunnel/node-state.ts';

/** The folder names of all nodes of the home. */
export function listProfiles(home: string): string[] {
  try {
    return readdirSync(nodesFolder(home), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
      .sort();
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/**
 * The profile for `fleet node up`: the one of that name (its own or the gateway's), else a new one; without a name the only
 * one there is, or the only one that is paired (an attempt that was refused leaves a folder, too), else one named for this machine.
 * @throws FleetError `usage`, `ambiguous` when several could be meant.
 */
export function chooseProfile(home: string, name: string | undefined, hostname: string): string {
  const all = listProfiles(home);
  // In a home that several machines share, each has its own.
  const machineId = hashedMachineId();
  const own = all.filter((profile) => otherMachine(nodePaths(home, profile).machine, machineId) === undefined);
  const profiles = name === undefined && own.length > 0 ? own : all;
  if (name === undefined) {
    if (profiles.length > 1) {
      const [paired, second] = profiles.filter((profile) => gatewayNameOf(home, profile) !== undefined);
      if (paired !== undefined && second === undefined) return paired;
      throw new FleetError('usage', `this home has several nodes: ${profiles.join(', ')}`, {
        hint: 'Say which with --name.',
      });
    }
    return profiles[0] ?? sanitizeName(hostname);
  }
  // One that was never let in has no other name.
  if (profiles.includes(name) && gatewayNameOf(home, name) === undefined) return name;
  const [profile = name, another] = profiles.filter((each) => each === name || gatewayNameOf(home, each) === name);
  if (another === undefined) return profile;
  throw new FleetError('ambiguous', `${name} is the folder of one node of this home and the name of another`, {
    hint: `Their folders are ${profile} and ${another}: rename one of the nodes, fleet nodes rename`,
  });
}

function gatewayNameOf(home: string, profile: string): string | undefined {
  return new NodeStateFile(nodePaths(home, profile).state).current?.pairing?.name;
}
