import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closest } from '../../src/shared/text.ts';

test('finds what was meant, and nothing when nothing is near', () => {
  const known = ['run', 'nodes', 'broadcast', 'health'];
  assert.equal(closest('rnu', known), 'run');
  assert.equal(closest('node', known), 'nodes');
  assert.equal(closest('brodcast', known), 'broadcast');
  assert.equal(closest('helath', known), 'health');
  assert.equal(closest('xyz', known), undefined);
  assert.equal(closest('r', known), undefined);
  assert.equal(closest('', known), undefined);
  assert.equal(closest('abcd', ['wxyd']), undefined, 'too far, though of the same length');
});

test('of two that are equally near, the one of the same length', () => {
  assert.equal(closest('nodse', ['node', 'nodes']), 'nodes');
  assert.equal(closest('nod', ['nodes', 'node', 'nob']), 'nob');
});
