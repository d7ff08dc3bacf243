import assert from 'node:assert/strict';
import { test } from 'node:test';
import { environmentFault, MAX_COMMAND_BYTES, MAX_VARIABLE_BYTES } from '../../src/domain/limits.ts';
import { submitJobRequest } from '../../src/protocol/job-messages.ts';
import { bodyDigest, runOutcomeSchema, runSpecSchema, runStartedSchema } from '../../src/protocol/run-spec.ts';

const spec = {
  run: '0123456789ab.0',
  job: '0123456789ab',
  nodeId: 'id',
  node: 'web-1',
  kind: 'shell',
  command: 'true',
  env: {},
  stdin: false,
  maxOutputBytes: 1,
};
const outcome = {
  state: 'exited',
  exitCode: 0,
  signal: null,
  reason: null,
  startedAt: 1,
  endedAt: 2,
  stdoutBytes: 0,
  stderrBytes: 0,
  droppedBytes: 0,
};

test('a spec and what it refuses', () => {
  const fits = (changes: object): boolean => runSpecSchema.safeParse({ ...spec, ...changes }).success;
  assert.ok(fits({}));
  assert.ok(fits({ command: 'é'.repeat(MAX_COMMAND_BYTES / 2), cwd: '/', user: 'www-data', timeoutMs: 1 }));
  assert.ok(fits({ env: { A: 'x'.repeat(MAX_VARIABLE_BYTES - 1), ['N'.repeat(255)]: '' } }));
  const wrong: object[] = [
    { run: '../../etc/passwd' },
    { run: '0123456789ab.0/../x' },
    { run: '0123456789ab.1234567' },
    { command: '' },
    { command: 'a\0b' },
    { command: `${'é'.repeat(MAX_COMMAND_BYTES / 2)}x` },
    { cwd: '' },
    { cwd: '/\0' },
    { env: { 'A=B': '1' } },
    { env: { A: '\0' } },
    { env: { A: 'x'.repeat(MAX_VARIABLE_BYTES) } },
    { env: { A: 'é'.repeat(MAX_VARIABLE_BYTES / 2) } },
    { env: { ['N'.repeat(256)]: '' } },
    { env: Object.fromEntries(['A', 'B', 'C', 'D', 'E'].map((name) => [name, 'x'.repeat(MAX_VARIABLE_BYTES - 1)])) },
    { user: '-root' },
    { timeoutMs: 0 },
    { timeoutMs: 1.5 },
    { kind: 'agent' },
    { more: 1 },
  ];
  for (const changes of wrong) assert.equal(fits(changes), false, JSON.stringify(changes).slice(0, 80));
});

test('too large an environment is described by names and sizes, never by values', () => {
  assert.equal(environmentFault({ A: 'x'.repeat(1000) }), undefined);
  assert.equal(environmentFault({ KEY: 's'.repeat(131_072) }), 'KEY takes 131075 bytes; a variable may take 122880');
  const many = Object.fromEntries(Array.from({ length: 6 }, (_, index) => [`K${index}`, 's'.repeat(100_000)]));
  assert.equal(environmentFault(many), 'all variables together take 600072 bytes; they may take 524288');
  const { error } = runSpecSchema.safeParse({ ...spec, env: many });
  assert.match(error?.message ?? '', /all variables together take 600072 bytes/);
});

test('the spec of an agent names the agent and the prompt, never a command, and has no stdin from outside', () => {
  const { command: _command, ...common } = spec;
  const agent = { ...common, kind: 'agent', agent: 'coder', prompt: 'do it' };
  const fits = (changes: object): boolean => runSpecSchema.safeParse({ ...agent, ...changes }).success;
  assert.ok(fits({}));
  for (const changes of [
    { command: 'true' },
    { argv: ['sh'] },
    { stdin: true },
    { prompt: '' },
    { prompt: 'x'.repeat(MAX_COMMAND_BYTES + 1) },
    { prompt: 'a\0b' },
    { agent: '../coder' },
    { agent: 'Coder' },
    { agent: undefined },
  ]) {
    assert.equal(fits(changes), false, JSON.stringify(changes).slice(0, 80));
  }
});

test('a format of output that a later version may know is read as text', () => {
  const started = runStartedSchema.parse({ startedAt: 1, pid: 1, agent: { name: 'coder', events: 'xml' } });
  assert.equal(started.agent?.events, 'text');
});

test('times and counts of a node are such that a Date and a database can hold them', () => {
  assert.ok(runOutcomeSchema.safeParse(outcome).success);
  for (const changes of [
    { endedAt: 1e18 },
    { endedAt: -1 },
    { endedAt: 1.5 },
    { startedAt: 1e300 },
    { stdoutBytes: -1 },
    { droppedBytes: 0.5 },
  ]) {
    assert.equal(runOutcomeSchema.safeParse({ ...outcome, ...changes }).success, false, JSON.stringify(changes));
  }
  assert.equal(runStartedSchema.safeParse({ startedAt: 8.64e15 + 1, pid: 1 }).success, false);
  assert.doesNotThrow(() => new Date(8.64e15).toISOString());
});

test('requests for jobs: exactly one target, known keys, a flow that means something', () => {
  const fits = (changes: object): boolean =>
    submitJobRequest.safeParse({ kind: 'shell', command: 'true', target: { node: 'a' }, ...changes }).success;
  assert.ok(fits({ flow: { fanout: 3, ramp: true, maxErrors: '5%' }, lane: 'deploy', idempotencyKey: 'k' }));
  assert.ok(fits({ target: { selector: '@all', exclude: 'a' } }));
  for (const changes of [
    { target: {} },
    { target: { node: 'a', selector: 'b' } },
    { flow: { fanout: 0 } },
    { flow: { maxErrors: '-1' } },
    { flow: { maxErrors: '%' } },
    { flow: { maxErrors: '1.5' } },
    { lane: '' },
    { colour: 'red' },
  ]) {
    assert.equal(fits(changes), false, JSON.stringify(changes));
  }
});

test('the digest of a ticket is that of the bytes, not of the meaning', () => {
  assert.equal(bodyDigest(Buffer.from('{"a":1}')), bodyDigest(Buffer.from('{"a":1}')));
  assert.notEqual(bodyDigest(Buffer.from('{"a":1}')), bodyDigest(Buffer.from('{"a": 1}')));
  assert.equal(bodyDigest(Buffer.alloc(0)), '47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU');
});
