import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ShimLink } from '../../../src/node/runner/shim-link.ts';
import type { CommandEnd, CommandState, ShimEvent, ShimState } from '../../../src/node/shim/messages.ts';
import { systemClock } from '../../../src/shared/clock.ts';
import { cleanUp, DEADLINE_MS, temporaryFolder } from './support/harness.ts';

const timeout = { timeout: DEADLINE_MS };
const EXIT = { exitCode: 3, signal: null };
const COUNTERS = { stdoutBytes: 20, stderrBytes: 0, droppedBytes: 0 };
const END: CommandEnd = { exit: EXIT, drained: true, logBytes: 90, counters: COUNTERS, error: null };
const ENDED: ShimEvent = { run: 'a.0', event: 'end', end: END };

const command: CommandState = {
  run: 'a.0',
  pid: 4711,
  startedAt: 1,
  logBytes: 90,
  spaceBytes: 90,
  exit: EXIT,
  end: null,
};
const HELLO: ShimState = { protocol: 1, shim: 's', pid: 1, commands: [command] };

/** A link to a shim that says all this at once, in one packet, when it is greeted. */
async function linkTo(t: TestContext, ...said: readonly (ShimState | ShimEvent)[]): Promise<ShimLink> {
  const folder = await temporaryFolder(t);
  const socket = join(folder, 'shim.sock');
  const server = createServer((connection) => {
    connection.once('data', (hello) => {
      const { id } = JSON.parse(hello.toString()) as { id: number };
      const lines = said.map((message) => ('event' in message ? message : { re: id, value: message }));
      connection.write(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    });
    connection.on('error', () => {});
    cleanUp(t, () => connection.destroy());
  });
  server.listen(socket);
  await once(server, 'listening');
  cleanUp(t, () => server.close());
  return await ShimLink.open({
    socket,
    entry: '/nonexistent',
    folder,
    logFile: join(folder, 'shim.log'),
    env: {},
    clock: systemClock,
  });
}

const unheard = (event: ShimEvent): never => assert.fail(`told of ${event.event}`);

test('an end that comes together with the answer to the greeting is in what is claimed', timeout, async (t) => {
  const link = await linkTo(t, HELLO, ENDED);
  assert.deepEqual(link.claim('a.0', unheard)?.end, END);
});

test('so is one that overtakes it, because it came while the answer was made', timeout, async (t) => {
  const link = await linkTo(t, ENDED, HELLO);
  assert.deepEqual(link.claim('a.0', unheard)?.end, END);
});

test('what was told before the answer does not make it older', timeout, async (t) => {
  const told = { run: 'a.0', event: 'output', logBytes: 50, spaceBytes: 50 } as const;
  const link = await linkTo(t, told, HELLO, { run: 'b.0', event: 'exit', exit: EXIT });
  assert.deepEqual(link.unclaimed, ['a.0']);
  assert.deepEqual(link.claim('a.0', unheard), command);
});
