import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COUNTING_MS, MAX_KINDS, Refusals } from '../../../src/gateway/audit/refusals.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { settle } from '../../support/deadline.ts';
import { AuditedStore } from './fixtures.ts';

const stranger = (n: number) => ({
  name: 'unknown',
  role: 'unknown',
  via: 'ssh' as const,
  key: `SHA256:${n}`,
  address: `192.0.2.${n % 250}`,
});

test('a flood of strangers is one row and a count, whatever keys and addresses they have', async (t) => {
  const world = new AuditedStore(t);
  const { store, clock } = world;
  const refusals = new Refusals({ store, clock, logger: silentLogger });
  for (let n = 0; n < 10_000; n += 1) {
    refusals.note({ actor: stranger(n), action: 'session.open', outcome: 'not_paired', details: {} });
  }
  await refusals.close();
  assert.deepEqual(
    world.rows().map(({ actor, action, outcome, details }) => [actor.key, action, outcome, details]),
    [
      ['SHA256:0', 'session.open', 'not_paired', {}],
      [null, 'session.open', 'not_paired', { more: 9_999 }],
    ],
  );
  assert.equal(world.check().intact, true);
  refusals.note({ actor: stranger(1), action: 'x', outcome: 'y', details: {} });
  assert.equal(world.rows().length, 2, 'closed');
});

test('the count is recorded when its interval ends, and the next refusal at once', async (t) => {
  const world = new AuditedStore(t);
  const { store, clock } = world;
  const refusals = new Refusals({ store, clock, logger: silentLogger });
  const actor = { name: 'ann', role: 'viewer', via: 'ssh' as const, key: 'SHA256:a', address: '192.0.2.1' };
  const note = (): void => refusals.note({ actor, action: 'job.submit', outcome: 'forbidden', details: {} });
  note();
  note();
  note();
  await clock.advance(COUNTING_MS);
  await settle();
  note();
  await refusals.close();
  assert.deepEqual(
    world.rows().map(({ details }) => details.more),
    [undefined, 2, undefined],
  );
});

test('the number of kinds that a known person can create is bounded', async (t) => {
  const world = new AuditedStore(t);
  const { store, clock } = world;
  const refusals = new Refusals({ store, clock, logger: silentLogger });
  for (let n = 0; n < MAX_KINDS + 1_000; n += 1) {
    const actor = { name: `p${n}`, role: 'viewer', via: 'ssh' as const, key: `SHA256:${n}`, address: null };
    refusals.note({ actor, action: 'job.submit', outcome: 'forbidden', details: {} });
  }
  await refusals.close();
  assert.equal(world.rows().length, MAX_KINDS + 2);
});
