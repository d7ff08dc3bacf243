/** The long form of the fuzz tests: as long as one likes, with figures; a crash, a hang or a peer that is not served ends it. */
import { availableParallelism, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { fuzzGateway } from '../../test/support/ssh-fuzz/fuzz-gateway.ts';
import { fuzzNode } from '../../test/support/ssh-fuzz/fuzz-node.ts';
import { startFleetTarget, startPortTarget } from '../../test/support/ssh-fuzz/gateway-target.ts';
import type { Vitals } from '../../test/support/ssh-fuzz/self-watch.ts';

const TARGETS = ['gateway', 'port', 'node'] as const;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: 'string' }, target: { type: 'string', multiple: true, default: ['gateway', 'node'] } },
});
const seconds = Number(positionals[0] ?? 60);
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed);
const unknown = values.target.filter((target) => !TARGETS.some((known) => known === target));
if (!(seconds > 0) || !Number.isInteger(seed) || unknown.length > 0) {
  console.error(`usage: scripts/fuzz [SECONDS] [--seed N] [--target ${TARGETS.join('|')}]…`);
  process.exit(2);
}
console.log(
  `seed ${seed}, ${seconds} s each, load ${loadavg()[0]?.toFixed(1)} on ${availableParallelism()} processors`,
);

for (const target of values.target) {
  const goesOn = until(seconds);
  const startTarget = target === 'port' ? startPortTarget : startFleetTarget;
  const report =
    target === 'node' ? await fuzzNode({ seed, goesOn }) : await fuzzGateway({ seed, goesOn, startTarget });
  const { before, after, ...rest } = report;
  tell(target, rest, before, after);
}

function until(wholeSeconds: number): () => boolean {
  const end = performance.now() + wholeSeconds * 1000;
  return () => performance.now() < end;
}

function tell(target: string, counts: object, before: Vitals, after: Vitals): void {
  console.log(`${target}: ${JSON.stringify(counts)}`);
  console.log(
    `  longest lag of the event loop ${after.maxLagMs.toFixed(0)} ms, of it by its own work ${after.maxOwnStallMs.toFixed(0)} ms`,
  );
  console.log(
    `  memory ${inMiB(before.rssBytes)} → ${inMiB(after.rssBytes)} MiB, heap ${inMiB(before.heapBytes)} → ${inMiB(after.heapBytes)} MiB`,
  );
}

function inMiB(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}
