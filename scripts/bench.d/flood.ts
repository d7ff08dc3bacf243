/**
 * What strangers who flood the SSH port do to others: `scripts/bench flood [NODES] [RATE] [ADDRESSES]` prints, for each kind of
 * flood, how many nodes lost their tunnel, how long a new node took from a clean and from a flooding address, and what the gateway bore.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { TcpProxy } from '../../test/support/chaos/tcp-proxy.ts';
import { FleetWorld, until } from '../../test/support/fleet-processes.ts';
import { startWatchedGateway } from '../../test/support/ssh-fuzz/watched-gateway.ts';
import { Flooder, KINDS, type Kind } from './flooder.ts';

const NODES = Number(process.argv[2] ?? 10);
const RATE = Number(process.argv[3] ?? 400);
const ADDRESSES = Number(process.argv[4] ?? 20);
/** Until every place of the port is taken, ms: 256 of them, each kept for 2 s at least. */
const FILL_MS = 3_000;
/** Length of a flood, ms. */
const FLOOD_MS = 15_000;
/** By when everybody must be in, the flood being over, ms: the longest back-off is 30 s. */
const PATIENCE_MS = 60_000;
const CLEAN = '127.2.0.1';
const flooding = Array.from({ length: ADDRESSES }, (_, index) => `127.1.${index >> 8}.${(index & 0xff) + 1}`);
const [FLOODER = '127.1.0.1'] = flooding;

if (process.platform !== 'linux') {
  console.error('scripts/bench flood needs Linux, where all of 127.0.0.0/8 is loopback');
  process.exit(2);
}

interface NodeView {
  name: string;
  connectedSince: string | null;
}

const world = await FleetWorld.create();
const gateway = await startWatchedGateway(world);
const proxies = [CLEAN, FLOODER].map((address) => new TcpProxy(() => world.port, address));
const [cleanPort = 0, flooderPort = 0] = await Promise.all(proxies.map((proxy) => proxy.start()));
try {
  for (let index = 1; index <= NODES; index += 1) await world.startNode(`node-${index}`);
  for (const name of ['clean', 'flooder']) {
    const { child, exited } = await world.startNode(name);
    child.kill('SIGTERM');
    await exited;
  }
  const calm = [await comeIn('clean', cleanPort), await comeIn('flooder', flooderPort)];
  console.log(`${NODES} nodes; without a flood a new one is in after ${calm.map(inSeconds).join(' and ')}`);
  for (const kind of Object.keys(KINDS) as Kind[]) await measure(kind);
} finally {
  await Promise.all(proxies.map((proxy) => proxy.close()));
  await gateway.stop();
  await world.close();
}

async function measure(kind: Kind): Promise<void> {
  const sessions = await readSessions();
  const { vitals: before } = await gateway.ask<object>();
  const flooder = new Flooder({ kind, port: world.port, addresses: flooding, rate: RATE });
  const begun = performance.now();
  flooder.start();
  await sleep(FILL_MS);
  const newcomers = [comeIn('clean', cleanPort), comeIn('flooder', flooderPort)];
  await sleep(FLOOD_MS - FILL_MS);
  await flooder.stop();
  const perSecond = (flooder.connections / (performance.now() - begun)) * 1000;
  const times = await Promise.all(newcomers);
  const { vitals: after } = await gateway.ask<object>();
  const now = await readSessions();
  const lost = [...sessions].filter(([name, since]) => now.get(name) !== since).length;
  const [clean, fromFlooder] = times.map(
    (ms) => `${inSeconds(ms)}${ms > FLOOD_MS - FILL_MS ? ' (the flood was over)' : ''}`,
  );
  console.log(`${kind}: ${flooder.connections} connections from ${ADDRESSES} addresses, ${perSecond.toFixed(0)} a second
  nodes that lost their tunnel: ${lost} of ${NODES}
  a new node is in after ${clean}; from a flooding address after ${fromFlooder}
  memory ${inMiB(before.rssBytes)} → ${inMiB(after.rssBytes)} MiB, heap ${inMiB(before.heapBytes)} → ${inMiB(after.heapBytes)} MiB; longest lag ${after.maxLagMs.toFixed(0)} ms, of it by its own work ${after.maxOwnStallMs.toFixed(0)} ms`);
}

/** Starts a node that was paired before, through the proxy of its address; resolves with the time until it is in, ms, and ends it. */
async function comeIn(name: string, port: number): Promise<number> {
  const begun = performance.now();
  const args = ['node', 'up', '--gateway', `127.0.0.1:${port}`];
  const node = world.spawn(args, { home: world.nodeHome(name) });
  await until(() => node.stdout().includes('\n') || node.child.exitCode !== null, `${name} is in`, PATIENCE_MS);
  if (node.child.exitCode !== null) throw new Error(`${name} ended with ${node.child.exitCode}: ${node.stderr()}`);
  const ms = performance.now() - begun;
  node.child.kill('SIGTERM');
  await node.exited;
  return ms;
}

/** Since when each node that must stay has had its tunnel. */
async function readSessions(): Promise<Map<string, string | null>> {
  const nodes = await world.json<NodeView[]>(['nodes', '--json']);
  const staying = nodes.filter(({ name }) => name.startsWith('node-'));
  return new Map(staying.map(({ name, connectedSince }) => [name, connectedSince]));
}

function inSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function inMiB(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}
