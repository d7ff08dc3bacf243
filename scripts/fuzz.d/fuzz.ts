/** The long form of the fuzz tests: as long as one likes, with figures; a crash, a hang or a peer that is not served ends it. */
import { parseArgs } from 'node:util';
import { fuzzGateway } from '../../test/support/ssh-fuzz/fuzz-gateway.ts';
import { fuzzNode } from '../../test/support/ssh-fuzz/fuzz-node.ts';
import type { Vitals } from '../../test/support/ssh-fuzz/self-watch.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: 'string' }, target: { type: 'string', default: 'both' } },
});
const seconds = Number(positionals[0] ?? 60);
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed);
if (!(seconds > 0) || !Number.isInteger(seed) || !['gateway', 'node', 'both'].includes(values.target)) {
  console.error('usage: scripts/fuzz [SECONDS] [--seed N] [--target gateway|node]');
  process.exit(2);
}
console.log(`seed ${seed}, ${seconds} s`);

if (values.target !== 'node') {
  const { before, after, ...rest } = await fuzzGateway({ seed, goesOn: until(seconds) });
  tell('gateway', rest, before, after);
}
if (values.target !== 'gateway') {
  const { before, after, ...rest } = await fuzzNode({ seed, goesOn: until(seconds) });
  tell('node', rest, before, after);
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
