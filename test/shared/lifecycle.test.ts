import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Lifecycle } from '../../src/shared/lifecycle.ts';

/** A life of the parts a, b and c, each of which takes until it is let; and what happened to them. */
function threeParts() {
  const life = new Lifecycle((error) => assert.fail(String(error)));
  const happened: string[] = [];
  const gates = {
    a: Promise.withResolvers<void>(),
    b: Promise.withResolvers<void>(),
    c: Promise.withResolvers<void>(),
  };
  const started = life.start(async () => {
    for (const part of ['a', 'b', 'c'] as const) {
      await gates[part].promise;
      happened.push(`+${part}`);
      life.opened(async () => void happened.push(`-${part}`));
    }
  });
  return { life, happened, gates, started };
}

test('what was opened is closed in reverse, once', async () => {
  const { life, happened, gates, started } = threeParts();
  for (const gate of Object.values(gates)) gate.resolve();
  await started;
  await Promise.all([life.close(), life.close()]);
  assert.deepEqual(happened, ['+a', '+b', '+c', '-c', '-b', '-a']);
});

test('a part that is being opened when the close comes is closed, too, and no other is opened', async () => {
  const { life, happened, gates, started } = threeParts();
  const refused = assert.rejects(started, { code: 'not_running' });
  gates.a.resolve();
  await gates.a.promise;
  const closed = life.close();
  gates.b.resolve();
  gates.c.resolve();
  await closed;
  assert.deepEqual(happened, ['+a', '-a', '+b', '-b']);
  await refused;
});

test('when a part cannot be opened, those before it are closed before the start fails', async () => {
  const { happened, gates, started } = threeParts();
  gates.a.resolve();
  gates.b.reject(new Error('no b'));
  await assert.rejects(started, /no b/);
  assert.deepEqual(happened, ['+a', '-a']);
});

test('what was closed before it was started opens nothing', async () => {
  const life = new Lifecycle((error) => assert.fail(String(error)));
  await life.close();
  await assert.rejects(
    life.start(() => assert.fail('opened')),
    { code: 'not_running' },
  );
});

test('a part that cannot be closed keeps no other from it, and its error is heard', async () => {
  const closed: string[] = [];
  const good = (name: string) => () => void closed.push(name);
  const bad = (name: string) => async () => {
    closed.push(name);
    throw new Error(`${name} sticks`);
  };
  const one = new Lifecycle((error) => assert.fail(String(error)));
  await one.start(async () => one.opened(good('a'), bad('b'), good('c')));
  await assert.rejects(one.close(), /^Error: b sticks$/);
  assert.deepEqual(closed.splice(0), ['c', 'b', 'a']);
  const two = new Lifecycle((error) => assert.fail(String(error)));
  await two.start(async () => two.opened(bad('a'), good('b'), bad('c')));
  await assert.rejects(two.close(), /^AggregateError: Error: c sticks; Error: a sticks$/);
  assert.deepEqual(closed.splice(0), ['c', 'b', 'a']);
});

test('a start that fails rejects with its own reason, whatever the closing meets', async () => {
  const undone: unknown[] = [];
  const life = new Lifecycle((error) => undone.push(String(error)));
  const start = life.start(async () => {
    life.opened(() => {
      throw new Error('it sticks');
    });
    throw new Error('the reason');
  });
  await assert.rejects(start, /^Error: the reason$/);
  assert.deepEqual(undone, ['Error: it sticks']);
});

test('a close during the start of a part closes what that start opens', async () => {
  const life = new Lifecycle(() => {});
  let isOpen = false;
  const { promise: ready, resolve: becomeReady } = Promise.withResolvers<void>();
  const part = {
    start: async () => {
      await ready;
      isOpen = true;
    },
    close: () => {
      isOpen = false;
    },
  };
  const started = assert.rejects(
    life.start(() => life.open([part])),
    { code: 'not_running' },
  );
  const closed = life.close();
  becomeReady();
  await Promise.all([started, closed]);
  assert.equal(isOpen, false);
});
