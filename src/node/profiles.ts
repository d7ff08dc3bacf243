/** The nodes of a home. Each has a folder, its profile; most machines have one. */
import { existsSync, readdirSync } from 'node:fs';
import { sanitizeName } from '../domain/vocabulary.ts';
import { FleetError } from '../shared/errors.ts';
import { nodePaths, nodesFolder } from '../shared/home.ts';
import { hashedMachineId, otherMachine } from '../shared/home-machine.ts';
import { NodeStateFile } from './tunnel/node-state.ts';

export function listProfiles(home: string): string[] {
  const folder = nodesFolder(home);
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { withFileTypes: true });
  return entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
}

/**
 * The profile for `fleet node up`: the one with that name (the folder's or the gateway's), else a new one. Without a name: the only one, or
 * the only paired one (a refused attempt leaves a folder, too), else a new one named after this machine.
 * @throws FleetError `usage`, `ambiguous` when several match.
 */
export function chooseProfile(home: string, name: string | undefined, hostname: string): string {
  const all = listProfiles(home);
  // Several machines may share a home.
  const machineId = hashedMachineId();
  const own = all.filter((profile) => otherMachine(nodePaths(home, profile).machine, machineId) === undefined);
  const profiles = name === undefined && own.length > 0 ? own : all;
  if (name === undefined) {
    if (profiles.length > 1) {
      const [paired, second] = profiles.filter((profile) => gatewayNameOf(home, profile) !== undefined);
      if (paired !== undefined && second === undefined) return paired;
      throw new FleetError('usage', `this home has several nodes: ${profiles.join(', ')}`, {
        hint: 'Choose one with --name.',
      });
    }
    return profiles[0] ?? sanitizeName(hostname);
  }
  // An unpaired node has no other name.
  if (profiles.includes(name) && gatewayNameOf(home, name) === undefined) return name;
  const [profile = name, another] = profiles.filter((each) => each === name || gatewayNameOf(home, each) === name);
  if (another === undefined) return profile;
  throw new FleetError('ambiguous', `${name} is the folder of one node in this home and the name of another`, {
    hint: `Their folders are ${profile} and ${another}: rename one of the nodes, fleet nodes rename`,
  });
}

function gatewayNameOf(home: string, profile: string): string | undefined {
  return new NodeStateFile(nodePaths(home, profile).state).current?.pairing?.name;
}
