import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isGone, nextAct, type RunEvent, type RunState, step } from '../../../src/node/runner/run-state.ts';

const EXIT = { exitCode: 3, signal: null };
const COUNTERS = { stdoutBytes: 1, stderrBytes: 0, droppedBytes: 0 };
const END = { exit: EXIT, drained: true, logBytes: 9, counters: COUNTERS, error: null };
const WAITING: RunState = { stage: 'waiting', cause: null, exit: null, end: null, stdinOpen: true, released: false };
const INHERITED: RunState = { ...WAITING, stage: 'inherited' };

const events = fc.array(
  fc.oneof(
    fc
      .constantFrom('ordered', 'started', 'stdin-complete', 'release', 'over', 'recorded', 'left')
      .map((type): RunEvent => ({ type })),
    fc.constantFrom('canceled', 'timeout', 'stdin_lost').map((cause): RunEvent => ({ type: 'kill', cause })),
    fc.constantFrom<RunEvent>({ type: 'exit', exit: EXIT }, { type: 'end', end: END }),
  ),
  { maxLength: 30 },
);

/** Of what may happen only once, and in which order: a later stage never gives way to an earlier one. */
const ORDER = { inherited: 0, waiting: 1, ordered: 2, running: 3, over: 4, recorded: 5, left: 6 };

function walk(start: RunState, path: readonly RunEvent[]): RunState[] {
  const states = [start];
  for (const event of path) states.push(step(states.at(-1) ?? start, event));
  return states;
}

test('whatever happens to a run, its stages only advance, and what is decided stays decided', () => {
  fc.assert(
    fc.property(fc.constantFrom(WAITING, INHERITED), events, (start, path) => {
      const states = walk(start, path);
      for (const [index, after] of states.entries()) {
        const before = states[index - 1] ?? start;
        assert.ok(ORDER[after.stage] >= ORDER[before.stage], `${before.stage} → ${after.stage}`);
        if (before.stage === 'recorded') assert.equal(after.stage, 'recorded');
        if (before.cause !== null) assert.equal(after.cause, before.cause, 'the first cause wins');
        if (before.end !== null) assert.equal(after.end, before.end, 'the first end counts');
        if (before.cause !== null) assert.equal(after.exit, before.exit, 'an exit after a kill is part of it');
        if (isGone(before) && before.stage !== 'left') assert.equal(after.cause, before.cause, 'nothing left to kill');
        if (!before.stdinOpen) assert.equal(after.stdinOpen, false);
        if (before.released) assert.equal(after.released, true);
      }
    }),
  );
});

test('no run starts twice, nor after it was killed, released or inherited', () => {
  fc.assert(
    fc.property(fc.constantFrom(WAITING, INHERITED), events, (start, path) => {
      const states = walk(start, path);
      const wasOrdered = states.findIndex(({ stage }) => stage === 'ordered');
      for (const [index, state] of states.entries()) {
        if (nextAct(state) !== 'start') continue;
        assert.equal(start, WAITING);
        assert.equal(state.cause, null);
        assert.equal(state.released, false);
        assert.ok(wasOrdered === -1 || index < wasOrdered);
      }
    }),
  );
});

test('a run that was killed or has ended is never left waiting; one that is gone has nothing to do', () => {
  fc.assert(
    fc.property(fc.constantFrom(WAITING, INHERITED), events, (start, path) => {
      const state = walk(start, path).at(-1) ?? start;
      const act = nextAct(state);
      if (act === 'wait') assert.deepEqual([state.cause, state.end, state.released], [null, null, false]);
      if (act === 'put back') assert.deepEqual([state.cause, state.stage], [null, 'waiting']);
      if (isGone(state)) assert.equal(act, 'nothing');
      if (state.cause !== null && ['waiting', 'running'].includes(state.stage)) assert.equal(act, 'kill');
    }),
  );
});

test('an event that changes nothing leaves the very same state', () => {
  fc.assert(
    fc.property(events, (path) => {
      const state = walk(WAITING, path).at(-1) ?? WAITING;
      const idle: RunEvent[] = [{ type: 'ordered' }, { type: 'started' }, { type: 'release' }, { type: 'left' }];
      for (const event of idle) {
        const next = step(state, event);
        assert.equal(step(next, event), next, `${event.type} twice`);
      }
    }),
  );
});

const paths: [name: string, start: RunState, path: RunEvent[], act: ReturnType<typeof nextAct>][] = [
  ['the usual run', WAITING, [{ type: 'ordered' }, { type: 'started' }, { type: 'end', end: END }], 'record'],
  ['an end that overtakes the answer', WAITING, [{ type: 'ordered' }, { type: 'end', end: END }], 'nothing'],
  ['killed while it waits for its turn', WAITING, [{ type: 'kill', cause: 'canceled' }], 'kill'],
  ['released while it waits', WAITING, [{ type: 'release' }], 'put back'],
  ['released and killed while it waits', WAITING, [{ type: 'release' }, { type: 'kill', cause: 'canceled' }], 'kill'],
  ['released while it runs', INHERITED, [{ type: 'started' }, { type: 'release' }], 'nothing'],
  [
    'ended and then released',
    INHERITED,
    [{ type: 'started' }, { type: 'end', end: END }, { type: 'release' }],
    'record',
  ],
  ['not taken up yet', INHERITED, [{ type: 'kill', cause: 'timeout' }], 'nothing'],
];

for (const [name, start, path, act] of paths) {
  test(`${name}: ${act}`, () => assert.equal(nextAct(walk(start, path).at(-1) ?? start), act));
}
