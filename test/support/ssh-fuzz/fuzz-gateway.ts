/** Fuzzing of the public port: hostile connections while an honest one is served, and what both came to. */
import type { Duplex } from 'node:stream';
import type { SshServerStats } from '../../../src/gateway/ssh/ssh-server.ts';
import { connectPeer, eventually, within } from '../../gateway/ssh/fixtures.ts';
import { SeededRandom } from '../chaos/seeded-random.ts';
import { attackGateway, PHASES } from './attack-gateway.ts';
import type { Vitals } from './self-watch.ts';
import { TargetProcess } from './target-process.ts';

/** Hostile connections at once. */
const AT_ONCE = 8;
/** Long enough for any machine; an honest peer that waits so long is not served. */
const SERVED_MS = 30_000;

export interface FuzzOptions {
  seed: number;
  /** Asked before each connection, with those already begun. */
  goesOn: (connections: number) => boolean;
}

export interface FuzzReport {
  connections: number;
  packets: number;
  /** Connections by the phase that they attacked. */
  phases: Record<string, number>;
  /** Echoes that the honest peer got, over connections of its own. */
  served: number;
  before: Vitals;
  after: Vitals;
  /** What the port says of itself, when all have left. */
  stats: SshServerStats;
}

/** @throws when the gateway ends, hangs, or does not serve the honest peer */
export async function fuzzGateway({ seed, goesOn }: FuzzOptions): Promise<FuzzReport> {
  const { target, first } = await TargetProcess.start('./target-gateway.ts');
  const port = Number(first);
  const random = new SeededRandom(seed);
  const report = {
    connections: 0,
    packets: 0,
    phases: Object.fromEntries(PHASES.map((phase) => [phase, 0])),
    served: 0,
  };
  try {
    report.served += await exchangeHonestly(port);
    // Compiled code and pools are there after the first connections; what comes later would be a leak.
    for (let count = 0; count < AT_ONCE * 4; count += 1) await attackGateway(port, random.fork());
    const { vitals: before } = await target.ask<object>();
    const attack = async (): Promise<void> => {
      while (target.death === undefined && goesOn(report.connections)) {
        report.connections += 1;
        const { phase, packets } = await attackGateway(port, random.fork());
        report.packets += packets;
        report.phases[phase] = (report.phases[phase] ?? 0) + 1;
      }
    };
    let over = false;
    const attacks = Promise.all(Array.from({ length: AT_ONCE }, attack)).finally(() => {
      over = true;
    });
    while (!over) report.served += await exchangeHonestly(port);
    await attacks;
    report.served += await exchangeHonestly(port);
    const { vitals: after, stats } = await settledVitals(target);
    return { ...report, before, after, stats };
  } catch (error) {
    throw new Error(target.death ?? 'the gateway lives, but', { cause: error });
  } finally {
    await target.stop();
  }
}

/** A connection, a channel and an echo, as a node would want them. */
async function exchangeHonestly(port: number): Promise<number> {
  const honest = await connectPeer(port, { connectTimeoutMs: SERVED_MS });
  const channel = await honest.openDirect('echo', 1);
  const question = Buffer.alloc(20_000, 'honest');
  channel.end(question);
  const answer = await within(SERVED_MS, readAll(channel), 'an echo for the honest peer');
  if (!answer.equals(question)) throw new Error(`an echo of ${answer.length} bytes that is not what was said`);
  honest.close();
  await honest.closed;
  return 1;
}

async function readAll(channel: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of channel) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** The vitals since the beginning of the attack, once every connection is gone. */
async function settledVitals(target: TargetProcess) {
  let last = await target.ask<{ stats: SshServerStats }>();
  const { maxLagMs, maxOwnStallMs } = last.vitals;
  let asking = false;
  await eventually(
    () => {
      if (last.stats.connections === 0) return true;
      if (!asking) {
        asking = true;
        void target.ask<{ stats: SshServerStats }>().then((next) => {
          last = next;
          asking = false;
        });
      }
      return false;
    },
    'all connections are gone',
    SERVED_MS,
  );
  return { stats: last.stats, vitals: { ...last.vitals, maxLagMs, maxOwnStallMs } };
}
