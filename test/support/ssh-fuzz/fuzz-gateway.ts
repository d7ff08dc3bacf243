/** Fuzzing of the public port: hostile connections while an honest peer is served, and what both came to. */
import { SeededRandom } from '../chaos/seeded-random.ts';
import { until } from '../fleet-processes.ts';
import { attackGateway, PHASES } from './attack-gateway.ts';
import { type ConnectionCounts, type GatewayTarget, SERVED_MS } from './gateway-target.ts';
import type { Vitals } from './self-watch.ts';

/** Hostile connections at once. */
const AT_ONCE = 8;

export interface FuzzOptions {
  seed: number;
  /** Asked before each connection, with those already begun. */
  goesOn: (connections: number) => boolean;
  startTarget: () => Promise<GatewayTarget>;
}

export interface FuzzReport {
  connections: number;
  packets: number;
  /** Connections by the phase that they attacked. */
  phases: Record<string, number>;
  /** How often the honest peer was served meanwhile. */
  served: number;
  before: Vitals;
  after: Vitals;
  /** What the port still held of the attackers when all had left. */
  left: ConnectionCounts;
}

/** @throws when the gateway ends, hangs, or does not serve the honest peer */
export async function fuzzGateway({ seed, goesOn, startTarget }: FuzzOptions): Promise<FuzzReport> {
  const target = await startTarget();
  const random = new SeededRandom(seed);
  const report = {
    connections: 0,
    packets: 0,
    phases: Object.fromEntries(PHASES.map((phase) => [phase, 0])),
    served: 0,
  };
  const serve = async (): Promise<void> => {
    await target.serve();
    report.served += 1;
  };
  try {
    await serve();
    // Compiled code and pools are there after the first connections; what comes later would be a leak.
    for (let count = 0; count < AT_ONCE * 4; count += 1) await attackGateway(target, random.fork());
    const before = await target.vitals();
    const attack = async (): Promise<void> => {
      while (target.death() === undefined && goesOn(report.connections)) {
        report.connections += 1;
        const { phase, packets } = await attackGateway(target, random.fork());
        report.packets += packets;
        report.phases[phase] = (report.phases[phase] ?? 0) + 1;
      }
    };
    let over = false;
    const attacks = Promise.all(Array.from({ length: AT_ONCE }, attack)).finally(() => {
      over = true;
    });
    while (!over) await serve();
    await attacks;
    await serve();
    // Of the time of the attack; the memory, once everybody is gone.
    const { maxLagMs, maxOwnStallMs } = await target.vitals();
    const left = await countsAfterwards(target);
    const after = { ...(await target.vitals()), maxLagMs, maxOwnStallMs };
    return { ...report, before, after, left };
  } catch (error) {
    throw new Error(target.death() ?? 'the gateway lives, but', { cause: error });
  } finally {
    await target.close();
  }
}

async function countsAfterwards(target: GatewayTarget): Promise<ConnectionCounts> {
  let counts = await target.counts();
  const areGone = async (): Promise<boolean> => {
    counts = await target.counts();
    return counts.connections === 0;
  };
  await until(areGone, 'the end of all hostile connections', SERVED_MS);
  return counts;
}
