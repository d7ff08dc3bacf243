/** The files of a fleet home. Two homes never see each other. */
import path from 'node:path';
import { FleetError } from './errors.ts';

/** Longest path of a Unix socket: sun_path less its NUL (unix(7): 108 on Linux; 104 on macOS and BSD). */
const MAX_SOCKET_PATH_BYTES = process.platform === 'linux' ? 107 : 103;

export type GatewayPaths = ReturnType<typeof gatewayPaths>;

export function gatewayPaths(home: string) {
  const folder = path.join(home, 'gateway');
  return {
    home,
    folder,
    socket: assertSocketPath(path.join(home, 'gateway.sock')),
    database: path.join(folder, 'fleet.db'),
    lock: path.join(folder, 'lock'),
    hostKey: path.join(folder, 'host_ed25519'),
    signingKey: path.join(folder, 'signing_ed25519'),
    retiredSigningKeys: path.join(folder, 'signing_retired.json'),
    apiToken: path.join(folder, 'api.token'),
    /** For scheduled reports without another destination. */
    reports: path.join(home, 'reports'),
    log: path.join(folder, 'gateway.log'),
    /** Names the machine that the folder belongs to. */
    machine: path.join(folder, 'machine'),
  };
}

/** Has a folder for each node profile of this home. */
export function nodesFolder(home: string): string {
  return path.join(home, 'nodes');
}

export type NodePaths = ReturnType<typeof nodePaths>;

export function nodePaths(home: string, profile: string) {
  const folder = path.join(nodesFolder(home), profile);
  return {
    folder,
    socket: assertSocketPath(path.join(folder, 'node.sock')),
    lock: path.join(folder, 'lock'),
    key: path.join(folder, 'id_ed25519'),
    nextKey: path.join(folder, 'id_ed25519.next'),
    state: path.join(folder, 'state.json'),
    spool: path.join(folder, 'spool'),
    log: path.join(folder, 'node.log'),
    shimSocket: assertSocketPath(path.join(folder, 'shim.sock')),
    shimLog: path.join(folder, 'shim.log'),
    /** Names the machine that the folder belongs to. */
    machine: path.join(folder, 'machine'),
  };
}

export type PersonPaths = ReturnType<typeof personPaths>;

export function personPaths(home: string) {
  const folder = path.join(home, 'person');
  return {
    folder,
    /** This person's key, for all gateways. */
    key: path.join(folder, 'id_ed25519'),
    /** One file for each gateway that this home has logged in to. */
    logins: path.join(folder, 'gateways'),
    defaultGateway: path.join(folder, 'default'),
  };
}

export function configPath(home: string): string {
  return path.join(home, 'config.yaml');
}

function assertSocketPath(socket: string): string {
  const bytes = Buffer.byteLength(socket);
  if (bytes <= MAX_SOCKET_PATH_BYTES) return socket;
  throw new FleetError('config_invalid', `the path of the socket is too long (${bytes} bytes): ${socket}`, {
    hint: `Choose a shorter --home; a Unix socket's path has at most ${MAX_SOCKET_PATH_BYTES} bytes.`,
  });
}
