import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RUN_STATES } from '../../../src/domain/states.ts';
import { decideHandOver, EXPIRED, type HandOver } from '../../../src/gateway/bus/hand-over.ts';
import { isOver } from '../../../src/gateway/bus/run-facts.ts';
import type { RunRecord } from '../../../src/gateway/bus/runs-table.ts';

const NOW = 1_000;
const LATER = NOW + 1;

/** A run that has just been accepted. */
const QUEUED: RunRecord = {
  seq: 1,
  id: 'j.0',
  jobSeq: 1,
  jobId: 'j',
  index: 0,
  nodeId: 'n',
  nodeName: 'n',
  state: 'queued',
  exitCode: null,
  signal: null,
  reason: null,
  queuedAt: 0,
  deliveredAt: null,
  startedAt: null,
  endedAt: null,
  expiresAt: LATER,
  cancelReason: null,
  handedOverAt: null,
  journal: null,
  logBytes: 0,
  stdoutBytes: 0,
  stderrBytes: 0,
  droppedBytes: 0,
  unconfirmed: 0,
  exited: null,
};
const RECORDED = { handedOverAt: 1, journal: 'a' };
const DELIVERED = { ...RECORDED, state: 'delivered' } as const;
const CANCELED = { state: 'canceled', reason: 'asked' };
const EXPIRY = { state: 'expired', reason: EXPIRED };

const CASES: [what: string, run: Partial<RunRecord>, journal: string | undefined, sent: boolean, HandOver | object][] =
  [
    ['just accepted', {}, 'a', false, { step: 'record' }],
    ['recorded by its submission', RECORDED, 'a', false, { step: 'send' }],
    ['recorded, and the node came back with another journal', RECORDED, 'b', false, { step: 'record' }],
    ['canceled before anything was sent', { cancelReason: 'asked' }, 'a', false, { step: 'end', end: CANCELED }],
    ['recorded, then canceled', { ...RECORDED, cancelReason: 'asked' }, 'a', false, { step: 'end', end: CANCELED }],
    ['expired before anything was sent', { expiresAt: NOW }, 'a', false, { step: 'end', end: EXPIRY }],
    ['without an expiry', { expiresAt: null }, 'a', false, { step: 'record' }],
    ['the answer was lost', RECORDED, 'a', true, { step: 'send' }],
    ['lost, then canceled', { ...RECORDED, cancelReason: 'asked' }, 'a', true, { step: 'ask', otherwise: CANCELED }],
    ['lost, then expired', { ...RECORDED, expiresAt: NOW }, 'a', true, { step: 'ask', otherwise: EXPIRY }],
    ['lost, and so is the journal', RECORDED, 'b', true, { step: 'end', end: { state: 'unknown' } }],
    ['delivered', DELIVERED, 'a', true, { step: 'follow' }],
    ['delivered, past its expiry', { ...DELIVERED, expiresAt: NOW }, 'a', true, { step: 'follow' }],
    ['delivered, canceled', { ...DELIVERED, cancelReason: 'asked' }, 'a', true, { step: 'follow' }],
    ['delivered, journal lost', DELIVERED, 'b', true, { step: 'end', end: { state: 'unknown' } }],
    ['running, journal not known', { ...DELIVERED, state: 'running' }, undefined, true, { step: 'end' }],
    ['given up, not confirmed', { ...DELIVERED, state: 'unknown', unconfirmed: 1 }, 'a', true, { step: 'follow' }],
    ['given up, confirmed', { ...DELIVERED, state: 'unknown' }, 'a', true, { step: 'none' }],
    ['ended', { state: 'canceled' }, 'a', false, { step: 'none' }],
  ];

for (const [what, changes, journal, sent, expected] of CASES) {
  test(`a run that is ${what}`, () => {
    const decision = decideHandOver({ ...QUEUED, ...changes }, { journal, sent }, NOW);
    assert.partialDeepStrictEqual(decision, expected);
  });
}

test('whatever the state: nothing is sent without a record, twice after a doubt, or when it must not start any more', () => {
  const run = fc.record({
    state: fc.constantFrom(...RUN_STATES),
    unconfirmed: fc.constantFrom(0 as const, 1 as const),
    handedOverAt: fc.constantFrom(null, 1),
    journal: fc.constantFrom(null, 'a', 'b'),
    cancelReason: fc.constantFrom(null, 'asked'),
    expiresAt: fc.constantFrom(null, NOW, LATER),
  });
  const session = fc.record({ journal: fc.constantFrom(undefined, 'a', 'b'), sent: fc.boolean() });
  const property = fc.property(run, session, (changes, { journal, sent }) => {
    const present: RunRecord = { ...QUEUED, ...changes };
    const decision = decideHandOver(present, { journal, sent }, NOW);
    const isSameJournal = present.journal === journal && journal !== undefined;
    const mustNotStart = present.cancelReason !== null || present.expiresAt === NOW;
    assert.equal(decision.step === 'none', isOver(present));
    if (decision.step === 'send') {
      assert.ok(present.state === 'queued' && isSameJournal && !mustNotStart);
      assert.ok(sent || present.handedOverAt !== null, 'the record comes first');
    }
    if (decision.step === 'record') assert.ok(present.state === 'queued' && !sent && !mustNotStart);
    if (decision.step === 'follow') assert.ok(present.state !== 'queued' && isSameJournal);
    if (decision.step === 'ask') assert.ok(sent && mustNotStart, 'only the node knows');
    if (decision.step !== 'end') return;
    const { state } = decision.end;
    // Unknown if and only if the node may have had it, and its journal is another one.
    assert.equal(state === 'unknown', !isSameJournal && (sent || present.state !== 'queued'));
    if (state === 'expired') assert.equal(present.cancelReason, null);
  });
  fc.assert(property, { numRuns: 2_000 });
});
