import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SilenceCounter } from '../../../../src/shared/ssh/connection/client-connection.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

test('an answer within the interval after the question is none lost; each further interval of silence is one', async () => {
  const clock = new FakeClock();
  const counter = new SilenceCounter(clock, 10_000);
  await clock.advance(19_000);
  assert.equal(counter.count, 0);
  counter.heard();
  await clock.advance(25_000);
  assert.equal(counter.count, 1, 'while it lasts');
  counter.heard();
  assert.equal(counter.count, 1, 'and afterwards, once');
  await clock.advance(45_000);
  counter.heard();
  assert.equal(counter.count, 4);
});

test('without keepalives none are lost', async () => {
  const clock = new FakeClock();
  const counter = new SilenceCounter(clock, 0);
  await clock.advance(1e6);
  assert.equal(counter.count, 0);
});
