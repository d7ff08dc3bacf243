import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PickableNode, pickNode } from '../../../src/gateway/bus/job-flow.ts';

function node(name: string, changes: Partial<PickableNode> = {}): PickableNode {
  return { name, status: 'online', capabilities: ['shell', 'agent:coder'], runsActive: 0, cpuPct: 10, ...changes };
}
const pick = (...nodes: PickableNode[]): string | undefined => pickNode(nodes, 'coder')?.name;

test('fewer runs come first, then the idler processor, then the name as people count', () => {
  assert.equal(pick(node('a', { runsActive: 2, cpuPct: 0 }), node('b', { runsActive: 1, cpuPct: 99 })), 'b');
  assert.equal(pick(node('a', { cpuPct: 50 }), node('b', { cpuPct: 20 })), 'b');
  assert.equal(pick(node('a', { cpuPct: null }), node('b', { cpuPct: 99 })), 'b');
  assert.equal(pick(node('n-10'), node('n-9')), 'n-9');
});

test('only nodes that are there and have exactly that agent; limited ones last', () => {
  assert.equal(pick(node('a', { capabilities: ['shell', 'agent:coder2', 'coder'] })), undefined);
  assert.equal(
    pick(node('a', { status: 'offline' }), node('b', { status: 'error' }), node('c', { status: 'revoked' })),
    undefined,
  );
  assert.equal(pick(node('a', { status: 'limited' }), node('b', { runsActive: 9 })), 'b');
  assert.equal(pick(node('a', { status: 'limited' })), 'a');
  assert.equal(pick(), undefined);
});
