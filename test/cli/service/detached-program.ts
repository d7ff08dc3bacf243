/** What detach.test.ts starts in the background: the command line with a service that does what SCENARIO says. */
import { FleetError } from '../../../src/shared/errors.ts';
import { TestWorld } from '../test-world.ts';

const world = new TestWorld('/nonexistent');
world.pid = process.pid;
world.reportToParent = (message) => new Promise((resolve) => void process.send?.(message, () => resolve()));
const { SCENARIO } = process.env;
world.services.startNode = async ({ onPending, onBegun, flags, signal }) => {
  if (SCENARIO === 'die') process.exit(9);
  if (SCENARIO === 'fail') throw new FleetError('key_revoked', 'the key was revoked', { hint: 'Ask.' });
  if (SCENARIO === 'trying' || SCENARIO === 'slow') {
    process.on('SIGTERM', () => world.signal('SIGTERM'));
    const guard = setTimeout(() => process.exit(1), 60_000);
    signal.addEventListener('abort', () => clearTimeout(guard));
    process.send?.({ note: `${process.pid}\n` });
    // The 10 s pass at once, or never.
    const { after } = world.clock;
    world.clock.after = (delayMs, ...more) =>
      after(delayMs === 10_000 ? (SCENARIO === 'trying' ? 1 : 1e9) : delayMs, ...more);
    const trouble = new FleetError('gateway_unreachable', 'cannot resolve gatway.example.com', { hint: 'Spell it.' });
    onBegun({ trouble: () => trouble });
    await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('asked to end'))));
  }
  if (SCENARIO === 'pending') onPending({ code: '1234-5678', gateway: 'gw', name: 'pi' });
  const timer = setTimeout(() => process.exit(1), 60_000);
  process.once('SIGTERM', () => world.signal('SIGTERM'));
  // Nobody learns its pid, to end it.
  if (SCENARIO === 'pending') process.once('disconnect', () => world.signal('SIGTERM'));
  return {
    readyLine: `${flags.name} is online`,
    info: { argv: process.argv.slice(2) },
    ended: new Promise(() => {}),
    close: async () => clearTimeout(timer),
  };
};
process.exitCode = (await world.run(...process.argv.slice(2))).exitCode;
