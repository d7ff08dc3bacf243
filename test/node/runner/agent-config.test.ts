import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agentsOf } from '../../../src/domain/vocabulary.ts';
import { resolveNodeConfig } from '../../../src/node/config.ts';
import { readMachineFacts } from '../../../src/node/parts.ts';
import { nodeFactsSchema } from '../../../src/protocol/node-messages.ts';

const resolve = (agents: unknown) => resolveNodeConfig({ agents }, {}, 'file').agents;

test('an agent needs no more than its command', () => {
  assert.deepEqual(resolve(undefined), {});
  assert.deepEqual(resolve({ coder: { command: ['claude', '-p'], timeout: '30m', maxParallel: 2 } }), {
    coder: { command: ['claude', '-p'], prompt: 'stdin', events: 'text', timeout: 1_800_000, maxParallel: 2 },
  });
});

test('what no agent can be is refused', () => {
  const command = ['x'];
  for (const agents of [
    { coder: {} },
    { coder: { command: [] } },
    { coder: { command: [''] } },
    { coder: { command: 'claude -p' } },
    { coder: { command, prompt: 'tty' } },
    { coder: { command, events: 'xml' } },
    { coder: { command, timeout: 0 } },
    { coder: { command, maxParallel: 0 } },
    { coder: { command, shell: true } },
    { 'Bad Name': { command } },
    { ['x'.repeat(49)]: { command } },
    { __proto__x: { command } },
    Object.fromEntries(Array.from({ length: 201 }, (_, index) => [`a${index}`, { command }])),
  ]) {
    assert.throws(() => resolve(agents), { code: 'config_invalid' }, JSON.stringify(agents).slice(0, 80));
  }
});

test('a command that is one text is told how it is written', () => {
  assert.throws(() => resolve({ coder: { command: 'claude -p' } }), /node\.agents\.coder\.command: must be a list/);
});

test('as many agents as there may be, with names as long as they may be, can be advertised', () => {
  const names = Array.from({ length: 200 }, (_, index) => `a${index}`.padEnd(48, 'x'));
  const agents = resolve(Object.fromEntries(names.map((name) => [name, { command: ['x'], maxParallel: 3 }])));
  const { capabilities, agentLimits } = nodeFactsSchema.parse(readMachineFacts(agents, ['shell', 'agent']));
  assert.deepEqual(agentLimits, Object.fromEntries(names.map((name) => [name, 3])));
  assert.equal(capabilities[0], 'shell');
  assert.deepEqual(agentsOf(capabilities), names);
});
