/** What the fuzzing of the public port aims at: the port alone in a process of its own, or a whole `fleet gateway up` with a node. */
import { readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { GATEWAY_API } from '../../../src/domain/limits.ts';
import { personPaths } from '../../../src/shared/home.ts';
import { connectPeer, newKeyText, within } from '../../gateway/ssh/fixtures.ts';
import { FleetWorld } from '../fleet-processes.ts';
import type { Vitals } from './self-watch.ts';
import { TargetProcess } from './target-process.ts';
import { startWatchedGateway } from './watched-gateway.ts';

/** Long enough for any machine; an honest peer that waits so long is not served. */
export const SERVED_MS = 30_000;
/** Between two commands of the honest person, ms: each is a process that takes from the same processors. */
const PAUSE_MS = 500;

export interface ConnectionCounts {
  connections: number;
  unauthenticated: number;
}

export interface GatewayTarget {
  port: number;
  /** Where a channel of an attacker gets anywhere. */
  destination: string;
  /** Private keys that attackers may have. */
  keys: readonly [string, ...string[]];
  /** Undefined while it lives; else how it ended. */
  death(): string | undefined;
  /** Since the last question. */
  vitals(): Promise<Vitals>;
  /** What the port holds apart from honest peers. */
  counts(): Promise<ConnectionCounts>;
  /** Serves an honest peer from its beginning to its end. @throws when it is not served. */
  serve(): Promise<void>;
  close(): Promise<void>;
}

/** `SshServer` with an echo: fast, and nothing else disturbs the figures. */
export async function startPortTarget(): Promise<GatewayTarget> {
  const { target, first } = await TargetProcess.start(new URL('./target-gateway.ts', import.meta.url));
  const port = Number(first);
  return {
    port,
    destination: 'echo',
    keys: [newKeyText()],
    death: () => target.death,
    vitals: async () => (await target.ask<object>()).vitals,
    counts: async () => {
      const { connections, unauthenticated } = (await target.ask<{ stats: ConnectionCounts }>()).stats;
      return { connections, unauthenticated };
    },
    serve: () => exchangeEcho(port),
    close: () => target.stop(),
  };
}

/**
 * The built `fleet gateway up`, with a node that must keep its tunnel and a person who runs commands on it over SSH. Attackers have
 * a key that nobody knows, or an operator's. Needs `node scripts/build.ts`.
 */
export async function startFleetTarget(): Promise<GatewayTarget> {
  const world = await FleetWorld.create();
  let target: TargetProcess | undefined;
  try {
    // The attacker sits on one address, and comes more often than any node.
    target = await startWatchedGateway(world, 'gateway:\n  ssh:\n    maxUnauthenticatedPerAddress: 256\n');
    await world.startNode('node-1');
    const laptop = await logIn(world, 'laptop');
    const stolen = await logIn(world, 'stolen');
    return fleetTarget(world, target, laptop, [newKeyText(), readFileSync(personPaths(stolen).key, 'utf8')]);
  } catch (error) {
    await target?.stop();
    await world.close();
    throw error;
  }
}

function fleetTarget(
  world: FleetWorld,
  target: TargetProcess,
  laptop: string,
  keys: readonly [string, ...string[]],
): GatewayTarget {
  let connectedSince: string | undefined;
  return {
    port: world.port,
    destination: GATEWAY_API.host,
    keys,
    death: () => target.death,
    vitals: async () => (await target.ask<object>()).vitals,
    counts: async () => {
      const { connections, unauthenticated } = await readCounts(path.join(world.home, 'gateway.sock'));
      // The node's tunnel.
      return { connections: connections - 1, unauthenticated };
    },
    serve: async () => {
      await sleep(PAUSE_MS);
      const { code, text, stderr } = await world.fleet(['run', 'node-1', 'printf honest'], {
        home: laptop,
        deadlineMs: SERVED_MS,
      });
      if (code !== 0 || text !== 'honest') throw new Error(`an honest command ended with ${code}: ${text}${stderr}`);
      const [node] = await world.json<{ connectedSince: string }[]>(['nodes', '--json']);
      connectedSince ??= node?.connectedSince;
      if (node?.connectedSince !== connectedSince) throw new Error('the node has lost its tunnel');
    },
    close: async () => {
      await target.stop();
      await world.close();
    },
  };
}

/** A person's home, paired as an operator. */
async function logIn(world: FleetWorld, name: string): Promise<string> {
  const home = path.join(world.folder, name);
  const { code } = await world.json<{ code: string }>(['invite', '--role', 'operator', '--json']);
  const { code: exit, stderr } = await world.fleet(['login', `127.0.0.1:${world.port}`, '--code', code], { home });
  if (exit !== 0) throw new Error(`fleet login ended with ${exit}: ${stderr}`);
  return home;
}

async function readCounts(socketPath: string): Promise<ConnectionCounts> {
  const text = await new Promise<string>((resolve, reject) => {
    const request = http.get({ socketPath, path: '/metrics' }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve(Buffer.concat(chunks).toString()));
    });
    request.on('error', reject);
    request.setTimeout(SERVED_MS, () => request.destroy(new Error('the gateway answers nothing')));
  });
  const read = (name: string): number => Number(text.match(new RegExp(`^fleet_gateway_ssh_${name} (\\d+)$`, 'm'))?.[1]);
  return { connections: read('connections'), unauthenticated: read('unauthenticated_connections') };
}

/** A connection, a channel and an echo, as a node would want them. */
async function exchangeEcho(port: number): Promise<void> {
  const honest = await connectPeer(port, { connectTimeoutMs: SERVED_MS });
  const channel = await honest.openDirect('echo', 1);
  const question = Buffer.alloc(20_000, 'honest');
  channel.end(question);
  const answer = await within(SERVED_MS, readAll(channel), 'an echo for the honest peer');
  if (!answer.equals(question)) throw new Error(`an echo of ${answer.length} bytes that is not what was said`);
  honest.close();
  await honest.closed;
}

async function readAll(channel: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of channel) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
