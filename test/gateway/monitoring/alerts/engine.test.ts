import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AWAY, alertWorld, CHAT, HOOK, OFFLINE, SETTLING_MS } from './fixtures.ts';

const MINUTE_MS = 60_000;

test('one alert per rule and node: pending, firing with one notification, resolved with another', async (t) => {
  const world = alertWorld(t, { rules: [AWAY], notify: [HOOK, CHAT] });
  world.addNode('a');
  world.addNode('b');
  await world.boot();
  world.health.set('id-a', OFFLINE);
  await world.pass(45_000);
  assert.deepEqual(
    world.store.alerts.active().map(({ nodeName, state }) => [nodeName, state]),
    [['a', 'pending']],
  );
  assert.deepEqual(world.told(), []);
  await world.pass(10 * MINUTE_MS);
  assert.deepEqual(world.told(), ['hook alert.firing a', 'chat alert.firing a']);
  world.health.delete('id-a');
  await world.pass(10 * MINUTE_MS);
  assert.deepEqual(world.told().slice(2), ['hook alert.resolved a', 'chat alert.resolved a']);
  assert.deepEqual(
    world.store.alerts.latest(10).map(({ state, rule, severity, summary }) => [state, rule, severity, summary]),
    [['resolved', 'away', 'critical', 'offline: no session']],
  );
});

test('a pending alert that clears in time leaves no record', async (t) => {
  const world = alertWorld(t, { rules: [AWAY], notify: [HOOK] });
  world.addNode('a');
  await world.boot();
  for (let spell = 0; spell < 3; spell += 1) {
    world.health.set('id-a', OFFLINE);
    await world.pass(45_000);
    world.health.delete('id-a');
    await world.pass(30_000);
  }
  assert.deepEqual([world.told(), world.store.alerts.latest(10)], [[], []]);
});

test('a gateway that is killed neither forgets a firing alert nor fires it again', async (t) => {
  const world = alertWorld(t, { rules: [AWAY], notify: [HOOK] });
  world.addNode('a');
  await world.boot();
  world.health.set('id-a', OFFLINE);
  await world.pass(2 * MINUTE_MS);
  const [before] = world.store.alerts.active();
  await world.crash();
  await world.pass(5 * MINUTE_MS);
  assert.deepEqual(world.store.alerts.active(), before === undefined ? [] : [before]);
  assert.deepEqual(world.told(), ['hook alert.firing a']);
  world.health.delete('id-a');
  await world.crash();
  await world.pass(MINUTE_MS);
  assert.deepEqual(world.told(), ['hook alert.firing a', 'hook alert.resolved a']);
});

test('after a start no node counts as offline before it had time to reconnect', async (t) => {
  const world = alertWorld(t, { rules: [{ ...AWAY, for: 0 }], notify: [HOOK] });
  world.addNode('a');
  world.addNode('b');
  world.health.set('id-a', OFFLINE).set('id-b', OFFLINE);
  await world.boot(SETTLING_MS);
  await world.pass(SETTLING_MS - 30_000);
  assert.deepEqual(world.store.alerts.active(), []);
  world.health.delete('id-b');
  await world.pass(MINUTE_MS);
  assert.deepEqual(world.told(), ['hook alert.firing a']);
});

test('an alert ends with its node, its rule or its coverage, and says why', async (t) => {
  const rules = ['removed', 'revoked', 'moved', 'dropped'].map((name) => ({ ...AWAY, name, on: { why: name } }));
  const world = alertWorld(t, { rules, notify: [HOOK] });
  for (const { name } of rules) {
    world.addNode(name, { why: name });
    world.health.set(`id-${name}`, OFFLINE);
  }
  await world.boot();
  await world.pass(2 * MINUTE_MS);
  assert.equal(world.store.alerts.active().length, 4);
  await world.store.write(() => {
    world.store.nodes.remove('id-removed', 1);
    world.store.nodes.revoke('id-revoked', world.clock.now());
    world.store.nodes.changeLabels('id-moved', { why: 'elsewhere' });
  });
  world.rules = world.rules.filter(({ name }) => name !== 'dropped');
  await world.crash();
  await world.pass(MINUTE_MS);
  assert.deepEqual(
    world.sent
      .filter(({ message }) => message.type === 'alert.resolved')
      .map(({ message }) => `${message.data.node}: ${message.data.reason}`)
      .sort(),
    [
      'dropped: the rule was removed',
      'moved: the rule no longer covers the node',
      'removed: the node was removed or revoked',
      'revoked: the node was removed or revoked',
    ],
  );
});

test('a rule covers only the nodes of its selector, and notifies only its own receivers', async (t) => {
  const world = alertWorld(t, { rules: [{ ...AWAY, on: 'web-*', notify: ['chat'] }], notify: [HOOK, CHAT] });
  for (const name of ['web-1', 'db-1']) {
    world.addNode(name);
    world.health.set(`id-${name}`, OFFLINE);
  }
  await world.boot();
  await world.pass(2 * MINUTE_MS);
  assert.deepEqual(world.told(), ['chat alert.firing web-1']);
});

test('a silence: no notification while it lasts; one for what still fires at its end; a resolution for those notified before', async (t) => {
  const world = alertWorld(t, { rules: [AWAY], notify: [HOOK] });
  world.addNode('a');
  world.addNode('b');
  await world.boot();
  const silence = (nodeId: string, forMs: number) =>
    world.store.silences.put({
      id: nodeId,
      kind: 'node',
      target: nodeId,
      label: nodeId,
      until: world.clock.now() + forMs,
      reason: null,
      createdBy: 'x',
      createdAt: world.clock.now(),
    });
  silence('id-a', 10 * MINUTE_MS);
  world.health.set('id-a', OFFLINE).set('id-b', OFFLINE);
  await world.pass(5 * MINUTE_MS);
  assert.deepEqual(world.told(), ['hook alert.firing b']);
  silence('id-b', 10 * MINUTE_MS);
  world.health.delete('id-b');
  await world.pass(MINUTE_MS);
  assert.deepEqual(world.told().slice(1), ['hook alert.resolved b']);
  await world.pass(5 * MINUTE_MS);
  assert.deepEqual(world.told().slice(2), ['hook alert.firing a']);
});

test('an alert that began and ended in a silence notifies nobody', async (t) => {
  const world = alertWorld(t, { rules: [AWAY], notify: [HOOK] });
  world.addNode('a');
  await world.boot();
  world.store.silences.put({
    id: 's',
    kind: 'rule',
    target: 'away',
    label: 'away',
    until: world.clock.now() + 3_600_000,
    reason: null,
    createdBy: 'x',
    createdAt: 0,
  });
  world.health.set('id-a', OFFLINE);
  await world.pass(5 * MINUTE_MS);
  world.health.delete('id-a');
  await world.pass(MINUTE_MS);
  assert.deepEqual(world.told(), []);
  assert.equal(world.store.alerts.latest(1)[0]?.state, 'resolved');
});

test('a full store loses nothing: the next evaluation with room finds the same', async (t) => {
  const world = alertWorld(t, { rules: [AWAY], notify: [HOOK] });
  world.addNode('a');
  await world.boot();
  const write = world.store.write.bind(world.store);
  world.store.write = () => Promise.reject(new Error('disk full'));
  world.health.set('id-a', OFFLINE);
  await world.pass(5 * MINUTE_MS);
  assert.deepEqual(world.told(), []);
  world.store.write = write;
  await world.pass(2 * MINUTE_MS);
  assert.deepEqual(world.told(), ['hook alert.firing a']);
});

test('old alerts and messages are deleted after 30 days; firing ones stay', async (t) => {
  const world = alertWorld(t, { rules: [AWAY], notify: [HOOK] });
  world.addNode('a');
  world.addNode('b');
  await world.boot();
  world.health.set('id-a', OFFLINE).set('id-b', OFFLINE);
  await world.pass(2 * MINUTE_MS);
  world.health.delete('id-a');
  await world.pass(2 * MINUTE_MS);
  assert.equal(world.store.alerts.latest(10).length, 2);
  world.clock.jumpWall(31 * 86_400_000);
  await world.pass(11 * MINUTE_MS);
  assert.deepEqual(
    world.store.alerts.latest(10).map(({ nodeName, state }) => [nodeName, state]),
    [['b', 'firing']],
  );
});
