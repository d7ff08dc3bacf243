/** Time is the gateway's: real nodes whose clocks are wrong, or jump while they run. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { HealthView, NodeDetailView } from '../../src/protocol/views.ts';
import { FleetWorld, type Service, until as untilWithin } from '../support/fleet-processes.ts';

const until = (condition: () => boolean | Promise<boolean>, what: string) => untilWithin(condition, what, 90_000);
const DAY_MS = 86_400_000;
/** Tolerance for what passes between two readings on a busy machine, ms. */
const NEAR_MS = 60_000;

describe('wrong clocks', () => {
  let world: FleetWorld;

  /** A node whose Date is wrong by so much, and by the rest after a SIGUSR2. */
  const start = async (name: string, skewMs: number, jumpMs = 0): Promise<Service> => {
    const preload = path.join(import.meta.dirname, '../support/skewed-date.mjs');
    const { code } = await world.json<{ code: string }>(['invite', '--name', name, '--json']);
    const env = { NODE_OPTIONS: `--import=${preload}`, TEST_SKEW_MS: String(skewMs), TEST_JUMP_MS: String(jumpMs) };
    const node = world.spawn(['node', 'up', '--gateway', `127.0.0.1:${world.port}`, '--code', code], {
      home: world.nodeHome(name),
      env,
    });
    await until(() => node.stdout().includes('is online'), `${name} to be online; it says ${node.stderr()}`);
    return node;
  };
  const show = (name: string): Promise<NodeDetailView> => world.json(['nodes', 'show', name, '--json']);
  const skewOf = async (name: string): Promise<number> => (await show(name)).skewMs ?? Number.NaN;

  before(async () => {
    world = await FleetWorld.create();
    await world.startGateway();
  });

  after(() => world.close());

  for (const [name, skewMs] of [
    ['a-day-behind', -DAY_MS],
    ['a-day-ahead', DAY_MS],
    ['years-ahead', 20 * 365 * DAY_MS],
    ['without-a-battery', -Date.now()],
  ] as const) {
    it(`a node that is ${name} takes and times its runs by the clock of the gateway, and its skew is shown`, async () => {
      const node = await start(name, skewMs);
      const from = Date.now();
      const run = await world.json<{ stdout: string; startedAt: string; endedAt: string }>([
        ...['run', name, '--timeout', '30s', '--json', 'echo well'],
      ]);
      assert.equal(run.stdout, 'well\n');
      for (const time of [run.startedAt, run.endedAt]) {
        assert.ok(Math.abs(Date.parse(time) - from) < NEAR_MS, `${time} is the time of the node`);
      }
      assert.ok(Math.abs((await skewOf(name)) - skewMs) < NEAR_MS, `its skew is ${await skewOf(name)}`);
      const health = await world.fleet(['health', name, '--json']);
      const [{ status, reasons } = { status: '', reasons: [] }] = (JSON.parse(health.text) as HealthView).nodes;
      assert.equal(status, 'limited');
      assert.match(reasons.join(), skewMs < 0 ? /clock [\d.]+ s behind/ : /clock [\d.]+ s ahead/);
      node.child.kill('SIGTERM');
      assert.equal((await node.exited).code, 0);
    });
  }

  it('a clock that jumps while the node runs ends nothing: it is told, and runs go on', async () => {
    const node = await start('jumpy', 0, -3 * DAY_MS);
    const running = world.fleet(['run', 'jumpy', '--timeout', '60s', 'sleep 1; echo ended']);
    await until(async () => (await world.fleet(['jobs'])).text.includes('running'), 'the run');
    node.child.kill('SIGUSR2');
    assert.equal((await running).text, 'ended\n');
    await until(async () => {
      // The node sends a heartbeat when it is nudged.
      node.child.kill('SIGHUP');
      return Math.abs((await skewOf('jumpy')) + 3 * DAY_MS) < NEAR_MS;
    }, 'the skew');
    assert.equal((await world.fleet(['run', 'jumpy', 'echo well'])).text, 'well\n');
  });
});
