import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Action, isAllowed, PERMISSIONS } from '../../../src/gateway/identity/permissions.ts';

const actions = Object.keys(PERMISSIONS) as Action[];

test('each role may do all that the one below it may', () => {
  for (const action of actions) {
    if (isAllowed('viewer', action)) assert.ok(isAllowed('operator', action), action);
    if (isAllowed('operator', action)) assert.ok(isAllowed('admin', action), action);
  }
});

test('a node speaks for itself only, and an unknown key may only pair', () => {
  assert.deepEqual(
    actions.filter((action) => isAllowed('node', action)),
    ['pair', 'node.self'],
  );
  assert.deepEqual(
    actions.filter((action) => isAllowed('unknown', action)),
    ['pair'],
  );
  assert.equal(isAllowed('admin', 'node.self'), false);
});
