/** Where everything of one fleet home lies. Two homes never see each other. */
import path from 'node:path';
import { FleetError } from './errors.ts';

/** Longest path of a Unix socket: sun_path less its NUL (unix(7): 108 on Linux; 104 on macOS and BSD). */
const MAX_SOCKET_PATH_BYTES = process.platform === 'linux' ? 107 : 103;

export interface GatewayPaths {
  home: string;
  folder: string;
  socket: string;
  database: string;
  lock: string;
  hostKey: string;
  signingKey: string;
  retiredSigningKeys: string;
  apiToken: string;
  /** Where scheduled reports go that name no other place. */
  reports: string;
  log: string;
  /** Which machine's it is. */
  machine: string;
}

export function gatewayPaths(home: string): GatewayPaths {
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
    reports: path.join(home, 'reports'),
    log: path.join(folder, 'gateway.log'),
    machine: path.join(folder, 'machine'),
  };
}

export interface NodePaths {
  folder: string;
  socket: string;
  lock: string;
  key: string;
  nextKey: string;
  state: string;
  spool: string;
  log: string;
  shimSocket: string;
  shimLog: string;
  /** Which machine's it is. */
  machine: string;
}

/** All profiles of nodes of this home have a folder below this one. */
export function nodesFolder(home: string): string {
  return path.join(home, 'nodes');
}

export function nodePaths(home: string, profile: string): NodePaths {
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
    machine: path.join(folder, 'machine'),
  };
}

export interface PersonPaths {
  folder: string;
  /** This person's key, for all gateways. */
  key: string;
  /** One file for each gateway where this home has logged in. */
  logins: string;
  /** Names the gateway that is meant when none is. */
  defaultGateway: string;
}

export function personPaths(home: string): PersonPaths {
  const folder = path.join(home, 'person');
  return {
    folder,
    key: path.join(folder, 'id_ed25519'),
    logins: path.join(folder, 'gateways'),
    defaultGateway: path.join(folder, 'default'),
  };
}

export function configPath(home: string): string {
  return path.join(home, 'config.yaml');
}

function assertSocketPath(socket: string): string {
  const bytes = Buffer.byteLength(socket);
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    throw new FleetError('config_invalid', `the path of the socket is too long (${bytes} bytes): ${socket}`, {
      hint: `Choose a shorter --home; a Unix socket's path has at most ${MAX_SOCKET_PATH_BYTES} bytes.`,
    });
  }
  return socket;
}
