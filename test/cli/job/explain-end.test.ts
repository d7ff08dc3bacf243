import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeFailure, explainEnd } from '../../../src/cli/output/describe-run.ts';
import type { RunView } from '../../../src/protocol/job-messages.ts';

const run: RunView = {
  run: 'j.0',
  job: 'j',
  index: 0,
  node: 'node-1',
  state: 'exited',
  exitCode: 3,
  signal: null,
  reason: null,
  queuedAt: '2026-01-01T00:00:00.000Z',
  deliveredAt: null,
  startedAt: null,
  endedAt: null,
  durationMs: null,
  stdoutBytes: 10,
  stderrBytes: 0,
  truncated: false,
};

test('a run that exited and kept all needs no words', () => {
  assert.deepEqual(explainEnd(run), []);
});

test('output that may be missing is told, although the exit code is known', () => {
  const [told, ...others] = explainEnd({ ...run, reason: 'output_gap: some output may be missing' });
  assert.deepEqual(told, { message: 'node-1: output_gap: some output may be missing' });
  assert.deepEqual(others, []);
});

test('what a run that timed out has left behind is named', () => {
  const reason = 'timeout: not done after 2000 ms; left_behind: pid 4711 sleep, pid 4712 sh; output_gap: some';
  const [told] = explainEnd({ ...run, state: 'timed_out', exitCode: null, reason }, 2000);
  assert.equal(told?.message, 'node-1: timed out after 2s (left_behind: pid 4711 sleep, pid 4712 sh)');
  const oom = { ...run, exitCode: 137, reason: 'oom_killed: out of memory' };
  assert.equal(describeFailure(oom), 'exited with code 137 (oom_killed: out of memory)');
});

test('output that was cut is told once', () => {
  const explanations = explainEnd({ ...run, truncated: true, reason: 'spool_full: 5 bytes of output are lost' });
  assert.equal(explanations.length, 1);
});
