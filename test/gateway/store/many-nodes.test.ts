import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openStore } from '../monitoring/history/history-store.ts';

test('sessions and incidents of many nodes are those of each', (t) => {
  const { store } = openStore(t);
  for (const [id, at] of [
    ['a', 100],
    ['b', 200],
    ['a', 900],
  ] as const) {
    store.sessions.endSession(store.sessions.openSession(id, 'x', at), at + 50, 'cut');
    store.incidents.change(id, at, { status: 'limited', reasons: [id] });
    store.incidents.change(id, at + 10, null);
  }
  for (const [from, to] of [
    [0, 1_000],
    [120, 210],
    [149, 900],
  ] as const) {
    const sessions = store.sessions.sessionsOf(['a', 'b', 'nobody'], from, to);
    const incidents = store.incidents.betweenOf(['a', 'b'], from, to);
    for (const id of ['a', 'b']) {
      assert.deepEqual(sessions.get(id) ?? [], store.sessions.sessions(id, from, to));
      assert.deepEqual(incidents.get(id), store.incidents.betweenOf([id], from, to).get(id));
    }
  }
  assert.equal(store.sessions.sessionsOf(['a'], 0, 1_000).get('a')?.length, 2);
  assert.equal(store.incidents.betweenOf(['b'], 0, 1_000).get('b')?.length, 1);
});
