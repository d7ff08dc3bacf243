import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type GatewayConfig, resolveGatewayConfig } from '../../src/gateway/config.ts';
import { ConfigReload, changedOptions } from '../../src/gateway/config-reload.ts';
import type { AlertSettings } from '../../src/gateway/monitoring/alerts/config.ts';
import { FleetError } from '../../src/shared/errors.ts';
import { silentLogger } from '../../src/shared/logger.ts';
import { FakeClock } from '../support/fake-clock.ts';

const configOf = (section: object): GatewayConfig => resolveGatewayConfig(section, {}, 'test');
const SECRET = 'https://example.org/very-secret';
const HOOK = { name: 'hook', kind: 'webhook', url: SECRET };
const RULE = { name: 'away', when: { status: 'offline' }, on: 'web-[1-3]' };

function setUp(section: object) {
  const clock = new FakeClock();
  const logged: unknown[] = [];
  const log = (...line: unknown[]): void => void logged.push(line);
  const file = { section };
  const world = {
    clock,
    logged,
    /** What it says by now. */
    file,
    used: [] as AlertSettings[],
    rows: [] as unknown[],
    fail: undefined as Error | undefined,
    reloading: new ConfigReload({
      config: configOf(section),
      read: () => configOf(file.section),
      alerts: {
        use: async (settings, alsoStore) => {
          if (world.fail !== undefined) throw world.fail;
          alsoStore?.();
          world.used.push(settings);
        },
      },
      audit: { describe: (action, details) => void world.rows.push([action, details]) },
      clock,
      logger: { ...silentLogger, info: log, warn: log, error: log },
    }),
  };
  return world;
}

test('options that differ, by name: two levels deep, and what is not there on one side counts', () => {
  const before = configOf({ alerts: { notify: [HOOK], rules: [RULE] }, api: '127.0.0.1:1' });
  assert.deepEqual(changedOptions(before, before), []);
  assert.deepEqual(
    changedOptions(before, configOf({ alerts: { notify: [HOOK], rules: [RULE] }, api: '127.0.0.1:1' })),
    [],
  );
  const after = configOf({ alerts: { notify: [], groupWait: '1s' }, ssh: { loginGrace: '3s' }, listen: ':1' });
  assert.deepEqual(changedOptions(before, after).sort(), [
    'alerts.groupWait',
    'alerts.notify',
    'alerts.rules',
    'api',
    'listen',
    'ssh.loginGrace',
  ]);
});

test('alerts count at once; the rest is said to need a restart, until it is as it was or there was one', async () => {
  const world = setUp({ alerts: { notify: [HOOK] } });
  world.file.section = { alerts: { notify: [HOOK], rules: [RULE] }, retention: '1d' };
  await world.clock.advance(1_000);
  const view = { changed: ['alerts.rules'], restartNeeded: ['retention'] };
  assert.deepEqual(await world.reloading.reload(), view);
  assert.deepEqual(world.rows, [['gateway.reload', view]]);
  assert.deepEqual(
    world.used[0]?.rules.map(({ name }) => name),
    ['away'],
  );
  assert.deepEqual(world.reloading.view, {
    readAt: new Date(world.clock.now()).toISOString(),
    fault: null,
    restartNeeded: ['retention'],
  });
  assert.deepEqual(await world.reloading.reload(), { changed: [], restartNeeded: ['retention'] });
  world.file.section = { alerts: { notify: [HOOK], rules: [RULE] } };
  assert.deepEqual(await world.reloading.reload(), { changed: [], restartNeeded: [] });
});

test('the built-in rules stay at the limits at which nodes are called limited, which need a restart', async () => {
  const world = setUp({});
  world.file.section = { thresholds: { diskUsedPct: 50 } };
  assert.deepEqual(await world.reloading.reload(), { changed: [], restartNeeded: ['thresholds.diskUsedPct'] });
  const disk = world.used[0]?.rules.find(({ name }) => name === 'disk');
  assert.deepEqual(disk?.when, { metric: 'diskUsedPct', above: 90 });
});

test('a file that is wrong changes nothing, is shown until it is right, and no value of it is told', async () => {
  const world = setUp({ alerts: { notify: [HOOK] } });
  const begun = world.reloading.view.readAt;
  await world.clock.advance(1_000);
  world.file.section = { alerts: { notify: [{ ...HOOK, url: 'very-secret' }] } };
  await assert.rejects(world.reloading.reload(), { code: 'config_invalid' });
  assert.equal(world.used.length, 0);
  assert.match(world.reloading.view.fault ?? '', /gateway\.alerts\.notify\.0\.url/);
  assert.equal(world.reloading.view.readAt, begun);
  world.file.section = { alerts: { notify: [{ ...HOOK, url: `${SECRET}-2` }] } };
  assert.deepEqual((await world.reloading.reload()).changed, ['alerts.notify']);
  assert.equal(world.reloading.view.fault, null);
  assert.ok(world.logged.length >= 2);
  assert.doesNotMatch(JSON.stringify(world.logged), /very-secret/);
});

test('what could not be taken over is not said to be in force', async () => {
  const world = setUp({});
  world.file.section = { alerts: { rules: [RULE] } };
  world.fail = new FleetError('storage_failed', 'the disk is full');
  await assert.rejects(world.reloading.reload(), { code: 'storage_failed' });
  world.fail = undefined;
  assert.deepEqual((await world.reloading.reload()).changed, ['alerts.rules']);
});
