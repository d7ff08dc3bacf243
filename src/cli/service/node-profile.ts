/** Finds a node on this machine by name. */
import { readdirSync, readFileSync } from 'node:fs';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import { type NodePaths, nodePaths, nodesFolder } from '../../shared/home.ts';

interface NodeProfile {
  /** Name of its folder. */
  profile: string;
  /** Its name on the gateway, once paired. */
  name: string | undefined;
  paths: NodePaths;
}

/**
 * The node with that folder name or name on the gateway; without a name, the only node, or the only paired one.
 * @throws FleetError `not_found` if there is none, `usage` if there are several and no name.
 */
export function findNodeProfile(home: string, name: string | undefined): NodeProfile {
  const profiles = listNodeProfiles(home);
  const known = profiles.map((found) => found.profile).join(', ');
  const found = name === undefined ? profiles : profiles.filter((one) => one.profile === name || one.name === name);
  const [only, another] = found;
  if (only === undefined) {
    throw new FleetError('not_found', `there is no node ${name === undefined ? '' : `${name} `}in ${home}`, {
      hint: profiles.length === 0 ? 'Start one: fleet node up --gateway HOST --code CODE' : `Available: ${known}`,
    });
  }
  if (another === undefined) return only;
  if (name === undefined) {
    const [paired, second] = found.filter((one) => one.name !== undefined);
    if (paired !== undefined && second === undefined) return paired;
    throw new FleetError('usage', `there are several nodes in ${home}: ${known}`, { hint: 'Choose one: --name NAME' });
  }
  const [folder, paired] = only.profile === name ? [only, another] : [another, only];
  // Never paired, so it has no other name.
  if (folder.name === undefined) return folder;
  throw new FleetError('ambiguous', `${name} is the folder of one node in ${home} and the name of another`, {
    hint: `Use --name ${folder.name} or --name ${paired.profile}, or rename one of them: fleet nodes rename`,
  });
}

function listNodeProfiles(home: string): NodeProfile[] {
  let entries: string[];
  try {
    entries = readdirSync(nodesFolder(home), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw unreadable(nodesFolder(home), error);
  }
  return entries.sort().map((profile) => {
    const paths = nodePaths(home, profile);
    return { profile, name: readName(paths.state), paths };
  });
}

/** The name in state.json; undefined while the node is not paired. */
function readName(file: string): string | undefined {
  try {
    const { pairing } = JSON.parse(readFileSync(file, 'utf8')) as { pairing?: { name?: unknown } };
    return typeof pairing?.name === 'string' ? pairing.name : undefined;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw unreadable(file, error);
  }
}

function unreadable(what: string, error: unknown): FleetError {
  const why = error instanceof Error ? error.message : String(error);
  return new FleetError('storage_failed', `cannot read ${what}: ${systemErrorCode(error) ?? why}`, { cause: error });
}
