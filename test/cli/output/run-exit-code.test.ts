import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EndedRun, exitCodeOfBroadcast, exitCodeOfRun } from '../../../src/cli/output/exit-code.ts';
import { RUN_STATES } from '../../../src/domain/states.ts';

function ended(state: EndedRun['state'], facts: Partial<EndedRun> = {}): EndedRun {
  return { state, exitCode: null, signal: null, reason: null, ...facts };
}

const CODES: [EndedRun, number][] = [
  [ended('exited', { exitCode: 0 }), 0],
  [ended('exited', { exitCode: 3 }), 3],
  [ended('exited', { exitCode: 255 }), 255],
  [ended('exited', { exitCode: 256 }), 255],
  [ended('exited', { exitCode: -1 }), 255],
  [ended('exited'), 255],
  [ended('signaled', { signal: 'SIGKILL' }), 137],
  [ended('signaled', { signal: 'SIGTERM' }), 143],
  [ended('signaled', { signal: 'SIGSYS' }), 159],
  [ended('signaled', { signal: 'SIGWHAT' }), 255],
  [ended('signaled'), 255],
  [ended('timed_out'), 124],
  [ended('timed_out', { exitCode: 0 }), 124],
  [ended('canceled'), 130],
  [ended('rejected'), 126],
  [ended('failed_to_start'), 255],
  [ended('expired'), 255],
  [ended('unknown'), 255],
  [ended('running'), 255],
];

for (const [run, code] of CODES) {
  test(`${JSON.stringify(run)} is ${code}`, () => assert.equal(exitCodeOfRun(run), code));
}

test('only exited with 0 is success', () => {
  for (const state of RUN_STATES) {
    assert.equal(exitCodeOfRun(ended(state, { exitCode: 0, signal: 'SIGTERM' })) === 0, state === 'exited');
  }
});

test('a broadcast has the largest code of its runs', () => {
  const ok = ended('exited', { exitCode: 0 });
  assert.equal(exitCodeOfBroadcast([]), 0);
  assert.equal(exitCodeOfBroadcast([ok, ok]), 0);
  assert.equal(exitCodeOfBroadcast([ended('timed_out'), ok, ended('exited', { exitCode: 3 })]), 124);
  assert.equal(exitCodeOfBroadcast([ended('expired'), ended('canceled')]), 255);
});

test('runs that --max-errors held back leave the code to those that failed; canceled ones count', () => {
  const held = ended('canceled', { reason: 'max_errors' });
  assert.equal(exitCodeOfBroadcast([ended('exited', { exitCode: 1 }), held, held]), 1);
  assert.equal(exitCodeOfBroadcast([ended('canceled', { reason: 'canceled by ada' }), held]), 130);
});
