/** Alerts with real processes: a node dies and comes back, the receiver is down at first, the gateway is killed in between. */
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { AlertTestView, AlertView } from '../../src/protocol/alerts.ts';
import type { GatewayView, HealthView } from '../../src/protocol/views.ts';
import { FleetWorld, kill9, type Service, until } from '../support/fleet-processes.ts';
import { WebhookReceiver } from '../support/webhook-receiver.ts';

const PATIENCE_MS = 60_000;

describe('alerts', () => {
  let world: FleetWorld;
  let receiver: WebhookReceiver;
  let node: Service;
  let config: { gateway: { heartbeatInterval: string; alerts: object } };
  const writeConfig = (gateway: object) =>
    writeFile(path.join(world.home, 'config.yaml'), JSON.stringify({ gateway }), { mode: 0o600 });
  const alerts = (...args: string[]) => world.json<AlertView[]>(['alerts', '--json', ...args]);

  before(async () => {
    world = await FleetWorld.create();
    receiver = await new WebhookReceiver().listen();
    await mkdir(world.home, { mode: 0o700 });
    config = {
      gateway: {
        // Long enough that a slow machine does not look offline.
        heartbeatInterval: '3s',
        alerts: {
          groupWait: '1s',
          rules: [{ name: 'away', when: { status: 'offline' }, severity: 'critical' }],
          notify: [
            { name: 'hook', kind: 'webhook', url: receiver.url, secret: 'a secret of some length' },
            { name: 'script', kind: 'command', command: ['sh', '-c', `env > ${world.folder}/env-$FLEET_ALERT_EVENT`] },
          ],
        },
      },
    };
    await writeConfig(config.gateway);
    await world.startGateway();
    node = await world.startNode('node-1');
  });

  after(async () => {
    await world.close();
    await receiver.close();
  });

  it('tells each receiver of a test, and says what came back', async () => {
    receiver.answer = () => 500;
    const failed = await world.json<AlertTestView[]>(['alerts', 'test', '--json'], 255);
    assert.deepEqual(
      failed.map(({ receiver: name, delivered, error }) => [name, delivered, error]),
      [
        ['hook', false, 'HTTP 500'],
        ['script', true, null],
      ],
    );
    receiver.answer = () => 204;
    const [passed] = await world.json<AlertTestView[]>(['alerts', 'test', 'hook', '--json']);
    assert.equal(passed?.delivered, true);
    assert.match(await readFile(path.join(world.folder, 'env-test'), 'utf8'), /^FLEET_ALERT_RULE=test$/m);
  });

  it('fires once when a node was killed, although receiver and gateway fail in between, and tells the end', async () => {
    let refuse = true;
    receiver.answer = () => (refuse ? 500 : 204);
    await kill9(node);
    await until(
      () => receiver.received.some(({ body }) => body.includes('alert.firing')),
      'the first attempt to tell',
      PATIENCE_MS,
    );
    const [firing] = await alerts('--active');
    assert.deepEqual([firing?.rule, firing?.node, firing?.state], ['away', 'node-1', 'firing']);
    // The rule does not hold its breath while nobody takes the message.
    const health = await world.fleet(['health', '--json']);
    assert.equal(health.code, 2);
    assert.deepEqual(
      (JSON.parse(health.text) as HealthView).alerts.map(({ id }) => id),
      [firing?.id],
    );
    if (world.gateway !== undefined) await kill9(world.gateway);
    refuse = false;
    await world.startGateway();
    await until(() => receiver.taken('away').length > 0, 'the alert after the restart', PATIENCE_MS);
    node = await world.resumeNode('node-1');
    await until(() => receiver.taken('away').length > 1, 'the end of the alert', PATIENCE_MS);

    const taken = receiver.taken('away');
    assert.deepEqual(
      taken.map(({ type, data }) => [type, data.alert, data.node]),
      [
        ['alert.firing', firing?.id, 'node-1'],
        ['alert.resolved', firing?.id, 'node-1'],
      ],
    );
    const firingIds = new Set(
      receiver.received.filter(({ body }) => body.includes('alert.firing')).map(({ id }) => id),
    );
    assert.equal(firingIds.size, 1, 'every attempt has the same id');
    await until(
      async () => (await alerts())[0]?.deliveries.every(({ outcome }) => outcome === 'delivered') ?? false,
      'the record',
    );
    const [over, ...others] = await alerts();
    assert.deepEqual(others, []);
    assert.equal(over?.state, 'resolved');
    assert.deepEqual(over?.deliveries.map(({ receiver: name, event }) => `${name} ${event}`).sort(), [
      'hook firing',
      'hook resolved',
      'script firing',
      'script resolved',
    ]);
    assert.match(await readFile(path.join(world.folder, 'env-resolved'), 'utf8'), /^FLEET_ALERT_NODE=node-1$/m);
    assert.equal((await world.fleet(['health'])).code, 0);
  });

  it('does not tell of what is silenced, shows it, and tells when the silence ends while it still fires', async () => {
    const before = receiver.received.length;
    const silenced = await world.fleet(['alerts', 'silence', 'node-1', '--for', '1h', '--reason', 'moving house']);
    assert.equal(silenced.text, 'node node-1: silenced for 1h\n');
    await kill9(node);
    await until(async () => (await alerts('--active'))[0]?.state === 'firing', 'the silenced alert', PATIENCE_MS);
    const [firing] = await alerts('--active');
    assert.notEqual(firing?.silencedUntil, null);
    assert.deepEqual(firing?.deliveries, []);
    assert.equal(receiver.received.length, before);
    assert.equal((await world.fleet(['alerts', 'unsilence', 'node-1'])).code, 0);
    await until(() => receiver.received.length > before, 'the alert after the silence', PATIENCE_MS);
    assert.equal(receiver.taken('away').at(-1)?.data.alert, firing?.id);
    assert.equal((await world.fleet(['nodes', 'revoke', 'node-1'])).code, 0);
    await until(() => receiver.taken('away').at(-1)?.type === 'alert.resolved', 'the end of the alert', PATIENCE_MS);
    assert.match((await alerts())[0]?.reason ?? '', /revoked/);
  });

  it('takes over other rules while it runs, by command and by SIGHUP; a wrong file changes nothing, and is shown', async () => {
    const status = () => world.json<GatewayView>(['gateway', 'status', '--json']);
    await world.startNode('node-2');
    const { gateway } = config;
    const always = { name: 'always', when: { metric: 'cpuPct', above: 0 }, notify: ['hook'] };
    await writeConfig({ ...gateway, retention: '1d', alerts: { ...gateway.alerts, rules: [always] } });
    assert.deepEqual(await world.json(['gateway', 'reload', '--json']), {
      changed: ['alerts.rules'],
      restartNeeded: ['retention'],
    });
    await until(() => receiver.taken('always').length === 1, 'an alert of the new rule', PATIENCE_MS);
    const before = (await status()).config;

    await writeConfig({ ...gateway, alerts: { rules: [{ name: 'broken' }] } });
    const refused = await world.fleet(['gateway', 'reload']);
    assert.equal(refused.code, 78);
    assert.match(refused.stderr, /gateway\.alerts\.rules\.0\.when/);
    const { fault, readAt } = (await status()).config;
    assert.match(fault ?? '', /gateway\.alerts\.rules\.0\.when/);
    assert.equal(readAt, before.readAt);

    await writeConfig({ ...gateway, alerts: { ...gateway.alerts, rules: [] } });
    world.gateway?.child.kill('SIGHUP');
    await until(async () => (await status()).config.fault === null, 'the reading after SIGHUP', PATIENCE_MS);
    await until(() => receiver.taken('always').length === 2, 'the end of the alert of that rule', PATIENCE_MS);
    assert.equal(receiver.taken('always')[1]?.data.reason, 'the rule was removed');
    const audited = await world.fleet(['audit', '--action', 'gateway.reload', '--jsonl']);
    const rows = audited.text.trimEnd().split('\n');
    assert.equal(rows.filter((row) => row.includes('"outcome":"ok"')).length, 2, audited.text);
  });
});
