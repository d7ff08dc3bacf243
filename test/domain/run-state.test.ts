import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canTransition, isTerminal, RUN_STATES, RUN_TRANSITIONS } from '../../src/domain/states.ts';
import { OUTCOME_STATES } from '../../src/protocol/run-spec.ts';

test('every state can be reached, and every one that is not terminal can end', () => {
  const reached = new Set(['queued', ...Object.values(RUN_TRANSITIONS).flat()]);
  assert.deepEqual(reached, new Set(RUN_STATES));
  for (const state of RUN_STATES) {
    if (!isTerminal(state)) assert.ok(RUN_TRANSITIONS[state].some(isTerminal), state);
  }
});

test('nothing leads back, and nothing leads out of an end', () => {
  const order = ['queued', 'delivered', 'running'];
  for (const from of RUN_STATES) {
    for (const to of RUN_STATES) {
      if (!canTransition(from, to)) continue;
      assert.equal(isTerminal(from), false);
      assert.ok(isTerminal(to) || order.indexOf(to) > order.indexOf(from), `${from} → ${to}`);
    }
  }
});

test('only what no node has seen expires or is rejected; only what one may have seen is unknown', () => {
  for (const state of RUN_STATES) {
    assert.equal(canTransition(state, 'expired'), state === 'queued');
    assert.equal(canTransition(state, 'rejected'), state === 'queued');
    assert.equal(canTransition(state, 'unknown'), state === 'delivered' || state === 'running');
  }
});

test('every outcome that a node can tell is an end that a delivered and a running run can have', () => {
  for (const state of OUTCOME_STATES) {
    assert.ok(isTerminal(state));
    assert.ok(canTransition('delivered', state) && canTransition('running', state), state);
  }
});
