import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Act } from '../../../src/gateway/audit/act.ts';
import { createAuditRetention, PRUNE_ROWS } from '../../../src/gateway/audit/audit-log.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { settle, until } from '../../support/deadline.ts';
import { agesOf } from '../../support/fake-clock.ts';
import { cleanUp } from '../../support/temp-folder.ts';
import { ADMIN, AuditedStore } from './fixtures.ts';

const DAY_MS = 86_400_000;

test('rows of many writes of one transaction are one chain, under one signed head', async (t) => {
  const world = new AuditedStore(t);
  await world.add(50);
  const rows = world.rows();
  assert.deepEqual(
    rows.map(({ seq, details }) => [seq, details.n]),
    Array.from({ length: 50 }, (_, n) => [n + 1, n]),
  );
  assert.equal(rows[0]?.at, '2026-01-01T00:00:00.000Z');
  assert.deepEqual(world.check().problems, []);
  assert.equal(world.store.audit.head().head?.seq, 50);
});

test('a write that fails takes its row back, and those beside it stay a chain', async (t) => {
  const world = new AuditedStore(t);
  const { store } = world;
  const add = (n: number, fails = false): Promise<void> =>
    store.write(() => {
      store.audit.append({ actor: ADMIN, action: 'test', outcome: 'ok', details: { n } });
      if (fails) throw new Error('no');
    });
  const results = await Promise.allSettled([add(1), add(2, true), add(3)]);
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  assert.deepEqual(
    world.rows().map(({ seq, details }) => [seq, details.n]),
    [
      [1, 1],
      [2, 3],
    ],
  );
  assert.equal(world.check().intact, true);
});

test('an act whose row cannot be written does not happen, and neither does what shares its transaction', async (t) => {
  const world = new AuditedStore(t);
  const { store } = world;
  await world.add(1);
  const node = { name: 'n', publicKey: Buffer.alloc(32), ownLabels: {}, labels: {}, facts: null, createdAt: 0 };
  const act = new Act(ADMIN, 'node.add');
  const attempt = (): Promise<void> =>
    store.audit.during(act, () => store.write(() => store.nodes.insert({ ...node, id: 'one' })));
  world.tamper("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no room'); END");
  await assert.rejects(attempt(), { code: 'storage_conflict' });
  assert.equal(store.nodes.byId('one'), undefined);
  world.tamper(
    "DROP TRIGGER full; CREATE TRIGGER full BEFORE INSERT ON audit_head BEGIN SELECT RAISE(ABORT, 'no'); END",
  );
  const beside = store.write(() =>
    store.nodes.insert({ ...node, id: 'two', name: 'm', publicKey: Buffer.alloc(32, 1) }),
  );
  await assert.rejects(attempt(), { code: 'storage_conflict' });
  await assert.rejects(beside, { code: 'storage_conflict' });
  assert.deepEqual(store.nodes.all(), []);
  world.tamper('DROP TRIGGER full');
  await attempt();
  assert.equal(act.isOpen, false);
  assert.deepEqual(
    world.rows().map(({ action }) => action),
    ['test', 'node.add'],
  );
  assert.equal(world.check().intact, true);
});

test('only the first write of an act carries its row, also when acts are mixed in one transaction', async (t) => {
  const world = new AuditedStore(t);
  const { store } = world;
  const doIt = async (name: string): Promise<void> => {
    await store.write(() => store.audit.describe(`act.${name}`, { name }));
    await store.write(() => undefined);
  };
  await Promise.all([
    store.audit.during(new Act(ADMIN, 'x'), () => doIt('a')),
    store.write(() => store.audit.describe('own', {}, 'a schedule')),
    store.audit.during(new Act({ ...ADMIN, name: 'ann' }, 'x'), () => doIt('b')),
  ]);
  assert.deepEqual(
    world.rows().map(({ actor, action, details }) => [actor.name, action, details]),
    [
      ['local', 'act.a', { name: 'a' }],
      ['gateway', 'own', { onBehalfOf: 'a schedule' }],
      ['ann', 'act.b', { name: 'b' }],
    ],
  );
});

test('the log continues after a restart; a change made meanwhile is reported once and stays recorded', async (t) => {
  const world = new AuditedStore(t);
  await world.add(5);
  world.store.close();
  assert.equal(world.open().audit.damage, undefined);
  await world.add(1);
  assert.deepEqual([world.rows().at(-1)?.seq, world.check().intact], [6, true]);
  for (const sql of [
    'DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)',
    "UPDATE audit_head SET signature = 'AAAA'",
    'DELETE FROM audit_head',
    'UPDATE audit_head SET seq = seq - 1',
  ]) {
    world.store.close();
    world.tamper(sql);
    const { audit } = world.open();
    assert.match(audit.damage ?? '', /head/, sql);
    await world.store.write(() => audit.noteStart({}));
    assert.deepEqual(
      world
        .rows()
        .slice(-2)
        .map(({ action }) => action),
      ['audit.damaged', 'gateway.start'],
    );
    assert.ok(
      world.check().problems.some(({ kind }) => kind === 'noted_damage'),
      sql,
    );
    world.store.close();
    assert.equal(world.open().audit.damage, undefined, 'the log goes on');
  }
});

test('a head tampered with at run time is neither trusted nor signed', async (t) => {
  const world = new AuditedStore(t);
  await world.add(3);
  world.tamper('DELETE FROM audit WHERE seq = 3; UPDATE audit_head SET seq = 2');
  assert.equal(world.check().intact, false);
  await world.add(1);
  assert.equal(world.rows().at(-1)?.seq, 4);
  assert.deepEqual(
    world.check().problems.map(({ kind }) => kind),
    ['missing'],
  );
});

test('old rows are deleted in steps and recorded, and the rest can be verified', async (t) => {
  const world = new AuditedStore(t);
  const { store, clock } = world;
  await world.add(PRUNE_ROWS + 10);
  const keptHash = world.rows().at(-1)?.hash ?? '';
  await clock.advance(10 * DAY_MS);
  await world.add(3);
  const retention = createAuditRetention({
    ages: agesOf(clock),
    store,
    clock,
    logger: silentLogger,
    retentionMs: DAY_MS,
  });
  retention.start?.();
  cleanUp(t, () => retention.close?.());
  await until(async () => {
    await clock.advance(60_000);
    await settle();
    return (world.rows()[0]?.seq ?? 0) > PRUNE_ROWS + 10;
  }, 'the old rows to be deleted');
  const prunes = world.rows().filter(({ action }) => action === 'audit.prune');
  assert.deepEqual(
    prunes.map(({ details }) => details.rows),
    [PRUNE_ROWS, 10],
  );
  assert.equal(prunes.at(-1)?.details.hash, keptHash);
  assert.deepEqual(world.check().problems, []);
  world.store.close();
  assert.equal(world.open().audit.damage, undefined);
  world.tamper(`DELETE FROM audit WHERE seq = ${PRUNE_ROWS + 11}`);
  assert.deepEqual(
    world.check().problems.map(({ kind }) => kind),
    ['cut_begin'],
  );
});

test('the last row is never deleted, however old', async (t) => {
  const world = new AuditedStore(t);
  await world.add(3);
  await world.clock.advance(10 * DAY_MS);
  const { store } = world;
  await store.write(() => store.audit.prune(world.clock.now(), 100));
  assert.deepEqual(
    world.rows().map(({ seq }) => seq),
    [3, 4],
  );
  assert.equal(world.check().intact, true);
});
