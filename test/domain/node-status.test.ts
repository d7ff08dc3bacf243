import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NODE_STATUSES, worstFirst, worstStatus } from '../../src/domain/states.ts';

test('sorts the worst first', () => {
  assert.deepEqual([...NODE_STATUSES].sort(worstFirst), ['offline', 'error', 'limited', 'online']);
});

test('tells the worst of many, and null of none', () => {
  assert.equal(worstStatus(['online', 'error', 'limited']), 'error');
  assert.equal(worstStatus(['online']), 'online');
  assert.equal(worstStatus([]), null);
});
