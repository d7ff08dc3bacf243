import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { countOutcomes, type SummarizedRun, summarizeRuns } from '../../../src/cli/output/describe-run.ts';
import { RUN_STATES } from '../../../src/domain/states.ts';

function run(node: string, facts: Partial<SummarizedRun> = {}): SummarizedRun {
  return {
    node,
    state: 'exited',
    exitCode: facts.state === undefined ? 0 : null,
    signal: null,
    reason: null,
    ...facts,
  };
}

test('failures are told by kind under folded names, and then the total', () => {
  const runs = [
    ...Array.from({ length: 36 }, (_, index) => run(`node-${index + 10}`)),
    run('node-2', { exitCode: 3 }),
    run('node-3', { exitCode: 3 }),
    run('node-7', { state: 'timed_out', reason: 'timeout' }),
    run('node-8', { state: 'signaled', signal: 'SIGKILL' }),
  ];
  assert.deepEqual(summarizeRuns(runs), [
    'fleet: node-[2-3]: exited with code 3',
    'fleet: node-8: killed by SIGKILL',
    'fleet: node-7: timed out',
    'fleet: 36 of 40 nodes succeeded, 2 exited with 3, 1 killed by SIGKILL, 1 timed out',
  ]);
});

test('all well is one line', () => {
  assert.deepEqual(summarizeRuns([run('a'), run('b')]), ['fleet: 2 of 2 nodes succeeded']);
  assert.deepEqual(summarizeRuns([run('a')]), ['fleet: 1 of 1 node succeeded']);
});

test('runs that --max-errors held back are not started', () => {
  const held = { state: 'canceled', reason: 'max_errors' } as const;
  const runs = [run('a', { exitCode: 1 }), run('b', held), run('c', held)];
  assert.equal(summarizeRuns(runs).at(-1), 'fleet: 0 of 3 nodes succeeded, 1 failed, 2 not started');
});

test('offline nodes that were left out are named behind the total', () => {
  const offline = ['nas', 'web-1', 'web-2', 'evil\u001b[2J'];
  assert.deepEqual(summarizeRuns([run('a'), run('b')], ['nas']), [
    'fleet: 2 of 2 succeeded; 1 offline, not tried: nas',
  ]);
  assert.equal(
    summarizeRuns([run('a', { exitCode: 2 })], offline).at(-1),
    'fleet: 0 of 1 succeeded, 1 exited with 2; 4 offline, not tried: evil\ufffd[2J,nas,web-[1-2]',
  );
});

test('a reason is told, apart by reason, but counted together', () => {
  assert.deepEqual(
    summarizeRuns([
      run('a', { state: 'rejected', reason: 'user_not_allowed' }),
      run('b', { state: 'rejected', reason: 'not_allowed: \u001b[31mroot' }),
    ]),
    [
      'fleet: b: rejected by the node (not_allowed: \ufffd[31mroot)',
      'fleet: a: rejected by the node (user_not_allowed)',
      'fleet: 0 of 2 nodes succeeded, 2 rejected by the node',
    ],
  );
});

test('a reason that only says the state again is left out', () => {
  assert.equal(summarizeRuns([run('a', { state: 'canceled', reason: 'canceled' })])[0], 'fleet: a: canceled');
  assert.equal(
    summarizeRuns([run('a', { state: 'canceled', reason: 'max_errors' })])[0],
    'fleet: a: canceled (max_errors)',
  );
});

test('a run that has not ended is no success', () => {
  assert.deepEqual(summarizeRuns([run('a', { state: 'running' })]), [
    'fleet: a: still running',
    'fleet: 0 of 1 node succeeded, 1 still running',
  ]);
  assert.deepEqual(
    summarizeRuns([run('a', { exitCode: null })]).at(-1),
    'fleet: 0 of 1 node succeeded, 1 exited without a code',
  );
});

test('every run is counted in exactly one outcome', () => {
  const anyRun = fc.record({
    node: fc.constantFrom('a', 'b', 'c'),
    state: fc.constantFrom(...RUN_STATES),
    exitCode: fc.option(fc.nat(255)),
    signal: fc.option(fc.constantFrom('SIGKILL', 'SIGTERM')),
    reason: fc.constant(null),
  });
  fc.assert(
    fc.property(fc.array(anyRun), (runs) => {
      const counts = countOutcomes(runs);
      assert.equal(
        Object.values(counts).reduce((sum, count) => sum + count, 0),
        runs.length,
      );
      assert.equal(counts.exited0, runs.filter((each) => each.state === 'exited' && each.exitCode === 0).length);
      assert.match(summarizeRuns(runs).at(-1) ?? '', new RegExp(`^fleet: ${counts.exited0} of ${runs.length} `));
    }),
  );
  assert.deepEqual(
    Object.entries(
      countOutcomes([run('a', { exitCode: 1 }), run('b', { state: 'timed_out' }), run('c', { state: 'queued' })]),
    )
      .filter(([, count]) => count > 0)
      .map(([outcome]) => outcome),
    ['exitedNonZero', 'timedOut', 'unfinished'],
  );
});
