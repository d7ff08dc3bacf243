/**
 * A process that hosts a runner, for tests that kill it. Arguments: the runner's folder, and JSON of the specs to accept, one each.
 * Prints a line of JSON for each thing that its parent wants to know, and lives until it is killed, or closes on SIGTERM. Cancels all
 * runs on SIGUSR2.
 */
import { Runner } from '../../../../src/node/runner/runner.ts';
import { runSpecSchema } from '../../../../src/protocol/run-spec.ts';
import { runnerOptions } from './harness.ts';

const [folder = '', ...specs] = process.argv.slice(2);
const say = (fact: object): void => void process.stdout.write(`${JSON.stringify(fact)}\n`);

const runner = new Runner(runnerOptions(folder));
process.on('SIGTERM', () => {
  runner.close().then(() => {
    say({ closed: true });
    clearInterval(alive);
  }, say);
});
process.on('SIGUSR2', () => void runner.stopAll());
// Its default is to end the process; with a listener the write itself fails, as on a full disk.
process.on('SIGXFSZ', () => {});
const alive = setInterval(() => {}, 1000);
try {
  await runner.start();
  for (const spec of specs) say(runner.accept(runSpecSchema.parse(JSON.parse(spec))));
  say({ active: runner.active, shim: runner.shimPid });
} catch (error) {
  say({ code: error instanceof Error && 'code' in error ? error.code : String(error) });
  clearInterval(alive);
}
