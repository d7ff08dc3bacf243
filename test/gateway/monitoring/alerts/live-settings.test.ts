import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settle } from '../../../support/deadline.ts';
import { AWAY, alertWorld, CHAT, HOOK, OFFLINE } from './fixtures.ts';

const MINUTE_MS = 60_000;

test('a receiver with a new URL gets everything there, including what was tried at the old one', async (t) => {
  const world = alertWorld(t, { rules: [AWAY], notify: [HOOK] });
  const urls: string[] = [];
  world.answer = ({ url }) => {
    urls.push(url);
    return url.includes('new') ? { kind: 'delivered' } : { kind: 'failed', error: 'HTTP 503' };
  };
  world.addNode('a');
  await world.boot();
  world.health.set('id-a', OFFLINE);
  await world.pass(2 * MINUTE_MS);
  assert.ok(urls.length > 0);
  world.receivers = [{ name: 'hook', kind: 'webhook', url: 'http://new.example/' }];
  await world.deliveries.dropUnknown();
  await world.pass(10 * MINUTE_MS);
  assert.equal(urls.at(-1), 'http://new.example/');
  assert.equal(urls.filter((url) => url.includes('new')).length, 1);
  assert.equal(new Set(world.sent.map(({ id }) => id)).size, 1, 'the same message');
});

test('a removed receiver gets nothing more, which is recorded; a new one gets events from then on', async (t) => {
  const world = alertWorld(t, { rules: [AWAY], notify: [HOOK] });
  world.answer = () => ({ kind: 'failed', error: 'HTTP 503' });
  for (const name of ['a', 'b']) world.addNode(name);
  await world.boot();
  world.health.set('id-a', OFFLINE);
  await world.pass(2 * MINUTE_MS);
  world.answer = () => ({ kind: 'delivered' });
  world.receivers = [{ name: 'chat', kind: 'slack', url: CHAT.url }];
  await world.deliveries.dropUnknown();
  const { length } = world.sent;
  await world.pass(10 * MINUTE_MS);
  assert.equal(world.sent.length, length);
  const [alert] = world.store.alerts.active();
  assert.match(world.store.deliveries.ofAlert(alert?.id ?? '')[0]?.error ?? '', /no longer in the configuration/);
  world.health.set('id-b', OFFLINE);
  await world.pass(3 * MINUTE_MS);
  assert.deepEqual(world.told().slice(length), ['chat alert.firing b']);
});

test('a rule that is removed or has other receivers: the resolution goes to those notified before', async (t) => {
  const rules = [
    { ...AWAY, name: 'gone', notify: ['chat'] },
    { ...AWAY, name: 'moved', notify: ['chat'] },
  ];
  const world = alertWorld(t, { rules, notify: [HOOK, CHAT] });
  world.addNode('a');
  await world.boot();
  world.health.set('id-a', OFFLINE);
  await world.pass(2 * MINUTE_MS);
  assert.deepEqual(world.told(), ['chat alert.firing a', 'chat alert.firing a']);
  world.rules = world.rules.filter(({ name }) => name === 'moved').map((rule) => ({ ...rule, notify: ['hook'] }));
  await world.pass(MINUTE_MS);
  assert.deepEqual(world.told().slice(2), ['chat alert.resolved a']);
  world.health.delete('id-a');
  await world.pass(2 * MINUTE_MS);
  assert.deepEqual(world.told().slice(3), ['chat alert.resolved a']);
});

test('a new rule applies from the next evaluation, also one with a selector', async (t) => {
  const world = alertWorld(t, { rules: [AWAY], notify: [HOOK] });
  const more = alertWorld(t, { rules: [{ ...AWAY, name: 'more', for: 0, on: 'a' }], notify: [] });
  await more.boot();
  for (const name of ['a', 'b']) world.addNode(name);
  world.health.set('id-a', OFFLINE).set('id-b', OFFLINE);
  await world.boot();
  world.rules = more.rules;
  await world.pass(30_000);
  await settle();
  assert.deepEqual(
    world.store.alerts.active().map(({ rule, nodeName }) => `${rule} ${nodeName}`),
    ['more a'],
  );
});
