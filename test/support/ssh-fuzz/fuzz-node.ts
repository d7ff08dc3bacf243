/** Fuzzing of the dialling end: a gateway that lets everybody in and then sends what it likes. */
import { createServer } from 'node:net';
import type { Connection } from 'ssh2';
import { SERVER_ALGORITHMS } from '../../../src/shared/ssh/algorithms.ts';
import { internalsOf } from '../../../src/shared/ssh/patches/internals.ts';
import { Server } from '../../../src/shared/ssh/patches/ssh2.ts';
import { eventually, newKeyText, sendPacket } from '../../gateway/ssh/fixtures.ts';
import { SeededRandom } from '../chaos/seeded-random.ts';
import { plainPacket, somePayload } from './mutate-packet.ts';
import type { Vitals } from './self-watch.ts';
import { TargetProcess } from './target-process.ts';

/** Connections before the first vitals: compiled code and pools are there after them. */
const WARM_UP = 20;
const PATIENCE_MS = 30_000;

export interface NodeFuzzOptions {
  seed: number;
  /** Asked again and again, with the connections so far. */
  goesOn: (connections: number) => boolean;
}

export interface NodeFuzzReport {
  connections: number;
  packets: number;
  /** Of the node's attempts, those in which it was let in. */
  connected: number;
  before: Vitals;
  after: Vitals;
}

/** @throws when the node's process ends or stops dialling */
export async function fuzzNode({ seed, goesOn }: NodeFuzzOptions): Promise<NodeFuzzReport> {
  const random = new SeededRandom(seed);
  const counts = { connections: 0, packets: 0 };
  const ssh = new Server({ hostKeys: [newKeyText()], algorithms: SERVER_ALGORITHMS }, (connection) =>
    attackNode(connection, random.fork(), counts),
  );
  const tcp = createServer((socket) => {
    counts.connections += 1;
    socket.on('error', () => {});
    if (random.chance(0.15)) socket.write(plainPacket(random, somePayload(random)));
    ssh.injectSocket(socket);
  });
  await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve));
  const { port } = tcp.address() as { port: number };
  const { target } = await TargetProcess.start(new URL('./target-node.ts', import.meta.url), {
    args: [String(port)],
  });
  const reach = async (isEnough: () => boolean): Promise<void> => {
    for (let last = -1; !isEnough() && target.death === undefined; ) {
      last = counts.connections;
      await eventually(() => counts.connections > last || target.death !== undefined, 'the node dials', PATIENCE_MS);
    }
  };
  try {
    await reach(() => counts.connections >= WARM_UP);
    const { vitals: before } = await target.ask<object>();
    await reach(() => !goesOn(counts.connections));
    const { vitals: after, connected } = await target.ask<{ connected: number }>();
    return { ...counts, connected, before, after };
  } catch (error) {
    throw new Error(target.death ?? 'the node lives, but', { cause: error });
  } finally {
    await target.stop();
    tcp.close();
  }
}

/** Packets in a moment that chance chooses, and then, mostly, the end. */
function attackNode(connection: Connection, random: SeededRandom, counts: { packets: number }): void {
  connection.on('error', () => {});
  connection.on('authentication', (context) => context.accept());
  connection.on('request', (accept) => (random.chance(0.8) ? accept?.() : undefined));
  connection.on('tcpip', (accept) =>
    accept()
      .resume()
      .on('error', () => {}),
  );
  const internals = internalsOf(connection);
  const fire = (): void => {
    try {
      for (let left = random.int(1, 40); left > 0 && internals._sock.writable; left -= 1) {
        counts.packets += 1;
        if (random.chance(0.03)) internals._protocol.rekey();
        else sendPacket(internals, somePayload(random));
      }
    } catch {
      // Its own ssh2 has given up; so has this connection.
    }
    if (random.chance(0.7)) internals._sock.end();
  };
  if (random.chance(0.3)) connection.once('handshake', fire);
  else connection.once('ready', () => setImmediate(fire));
}
