/** Rounds of chaos, each with its own seed: counts what happened, and reports what must not happen. */
import { parseArgs } from 'node:util';
import { type RoundReport, runChaosRound } from '../../test/support/chaos/chaos-round.ts';

/** A run for a node that is away comes back with it: its back-off ends at 30 s. */
const SETTLE_MS = 90_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    jobs: { type: 'string', default: '200' },
    seed: { type: 'string' },
    'no-node-kills': { type: 'boolean', default: false },
  },
});
const rounds = Number(positionals[0] ?? 20);
const jobs = Number(values.jobs);
const firstSeed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed);
const total = new Map<string, number>();
let faultyRounds = 0;

for (let round = 0; round < rounds; round += 1) {
  const seed = (firstSeed + round) >>> 0;
  const report = await runChaosRound({ seed, jobs, nodeKills: !values['no-node-kills'], settleMs: SETTLE_MS });
  const counts = countsOf(report);
  for (const [name, count] of Object.entries(counts)) total.set(name, (total.get(name) ?? 0) + count);
  console.log(`round ${round + 1}, seed ${seed}: ${inWords(counts)}`);
  for (const fault of report.faults) console.log(`  WRONG ${fault}`);
  if (report.faults.length > 0) faultyRounds += 1;
}
console.log(`${rounds} rounds, ${faultyRounds} with faults: ${inWords(Object.fromEntries(total))}`);
process.exitCode = faultyRounds === 0 ? 0 : 1;

function countsOf(report: RoundReport): Record<string, number> {
  return {
    jobs: report.jobs,
    runs: report.runs,
    ...report.states,
    'gateway kills': report.gatewayKills,
    'node kills': report.nodeKills,
    'shim kills': report.shimKills,
    'CLI kills': report.cliKills,
    cuts: report.cuts,
    stalls: report.stalls,
    'never accepted': report.neverAccepted,
    'storm s': Math.round(report.stormMs / 1000),
    'settle s': Math.round(report.settleMs / 1000),
    faults: report.faults.length,
  };
}

function inWords(counts: Record<string, number>): string {
  return Object.entries(counts)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}
