import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { canTransition, isTerminal, RUN_STATES, type RunState } from '../../../src/domain/states.ts';
import { MIGRATIONS } from '../../../src/gateway/migrations.ts';
import { FIGURES, type Figures } from '../../../src/gateway/monitoring/history/figures.ts';
import { usableCapabilities } from '../../../src/gateway/nodes/nodes-table.ts';
import { Store } from '../../../src/gateway/store.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';

function openStore(t: TestContext): Store {
  const store = new Store(path.join(tempFolder(t), 'fleet.db'));
  cleanUp(t, () => store.close());
  return store;
}

let lastJob = 0;

function insertRun(store: Store, changes: { nodeId?: string; createdAt?: number } = {}) {
  lastJob += 1;
  const jobId = String(lastJob).padStart(12, '0');
  const createdAt = changes.createdAt ?? 1;
  const { seq: jobSeq } = store.jobs.insert({
    id: jobId,
    kind: 'shell',
    command: 'c',
    options: {},
    target: 't',
    createdAt,
    createdBy: 'x',
    idempotencyKey: null,
  });
  const id = `${jobId}.0`;
  store.runs.insert({
    jobSeq,
    jobId,
    index: 0,
    nodeId: changes.nodeId ?? 'n',
    nodeName: 'n',
    queuedAt: createdAt,
    expiresAt: null,
  });
  const run = store.runs.byId(id);
  assert.ok(run);
  return run;
}

const NO_FIGURES = Object.fromEntries(FIGURES.map(({ name }) => [name, null])) as Figures;

test('random sequences of moves never leave the legal graph', (t) => {
  const store = openStore(t);
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...RUN_STATES), { maxLength: 12 }), (moves) => {
      const { id } = insertRun(store);
      let state: RunState = 'queued';
      for (const next of moves) {
        if (canTransition(state, next)) {
          assert.equal(store.runs.move(id, next, isTerminal(next) ? { endedAt: 1 } : {}).state, next);
          state = next;
        } else {
          assert.throws(() => store.runs.move(id, next, { reason: 'illegal' }), { code: 'internal' });
        }
        const stored = store.runs.byId(id);
        assert.equal(stored?.state, state);
        assert.notEqual(stored?.reason, 'illegal');
        assert.equal(
          store.runs.open().some((run) => run.id === id),
          !isTerminal(state),
        );
      }
    }),
    { numRuns: 60 },
  );
});

test('a log is read back from any byte, whatever the chunks; a write elsewhere than at its end stores nothing', (t) => {
  const store = openStore(t);
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 1, max: 3 }),
      (lengths, limit) => {
        const run = insertRun(store);
        const whole = randomBytes(lengths.reduce((sum, length) => sum + length, 0));
        let offset = 0;
        for (const length of lengths) {
          const bytes = whole.subarray(offset, offset + length);
          for (const wrong of [offset + 1, offset - 1])
            assert.equal(store.runs.appendLog(run, wrong, bytes, 1, 1), false);
          assert.equal(store.runs.appendLog(run, offset, bytes, length, 0), true);
          offset += length;
        }
        const stored = store.runs.byId(run.id);
        assert.equal(stored?.logBytes, whole.length);
        assert.equal(stored?.stdoutBytes, whole.length);
        assert.equal(stored?.stderrBytes, 0);
        for (let from = 0; from <= whole.length + 1; from += 1) {
          const read: Buffer[] = [];
          for (let at = from; ; at += read.at(-1)?.length ?? 0) {
            const piece = store.runs.readLog(run.seq, at, limit);
            if (piece.length === 0) break;
            read.push(piece);
          }
          assert.deepEqual(Buffer.concat(read), whole.subarray(from));
        }
      },
    ),
    { numRuns: 25 },
  );
});

test('a failed write of a log and a move takes back both', async (t) => {
  const store = openStore(t);
  const run = insertRun(store);
  const failing = store.write(() => {
    store.runs.appendLog(run, 0, Buffer.from('abc'), 3, 0);
    store.runs.move(run.id, 'exited');
  });
  await assert.rejects(failing, { code: 'internal' });
  assert.equal(store.runs.byId(run.id)?.logBytes, 0);
  assert.equal(store.runs.readLog(run.seq, 0).length, 0);
});

test('the first reason to cancel stays', (t) => {
  const store = openStore(t);
  const run = insertRun(store);
  store.runs.askCancel(run.seq, 'first');
  store.runs.askCancel(run.seq, 'second');
  assert.equal(store.runs.byId(run.id)?.cancelReason, 'first');
});

test('jobs are found by prefix and by key, and listed newest first by node, state and time', (t) => {
  const store = openStore(t);
  const old = insertRun(store, { nodeId: 'a', createdAt: 10 });
  const fresh = insertRun(store, { nodeId: 'b', createdAt: 20 });
  store.runs.move(fresh.id, 'expired', { endedAt: 30 });
  assert.equal(store.jobs.byPrefix('00000').length, 2);
  assert.deepEqual(
    store.jobs.byPrefix(fresh.jobId).map(({ id }) => id),
    [fresh.jobId],
  );
  assert.deepEqual(store.jobs.byPrefix('%'), []);
  const list = (filter: object) => store.jobs.list({ since: 0, limit: 10, ...filter }).map(({ id }) => id);
  assert.deepEqual(list({}), [fresh.jobId, old.jobId]);
  assert.deepEqual(list({ limit: 1 }), [fresh.jobId]);
  assert.deepEqual(list({ since: 11 }), [fresh.jobId]);
  assert.deepEqual(list({ nodeId: 'a' }), [old.jobId]);
  assert.deepEqual(list({ state: 'expired' }), [fresh.jobId]);
  assert.deepEqual(list({ nodeId: 'a', state: 'expired' }), []);
  assert.deepEqual(store.runs.countEnded(30, 31), [{ nodeId: 'b', state: 'expired', exitCode: null, count: 1 }]);
  assert.deepEqual(store.runs.countEnded(31, 99), []);
});

const facts = { hostname: 'h', os: 'linux', osRelease: '1', arch: 'x64', version: '0', capabilities: [] };

function insertNode(store: Store, id: string, publicKey = randomBytes(32)) {
  store.nodes.insert({
    id,
    name: `name-${id}`,
    publicKey,
    facts,
    createdAt: 5,
    ownLabels: { own: '1', both: 'own' },
    labels: { both: 'given' },
  });
}

test("the operator's labels count over the node's own, and can take them away for good", (t) => {
  const store = openStore(t);
  insertNode(store, 'a');
  const labels = () => store.nodes.byId('a')?.labels;
  assert.deepEqual(labels(), { own: '1', both: 'given' });
  store.nodes.changeLabels('a', { own: null, more: 'x' });
  assert.deepEqual(labels(), { both: 'given', more: 'x' });
  store.nodes.setOwnLabels('a', { own: '2', third: '3' });
  assert.deepEqual(labels(), { both: 'given', more: 'x', third: '3' });
  store.nodes.changeLabels('a', { own: 'back' });
  assert.equal(labels()?.own, 'back');
});

test('labels and capabilities that an older database has count as approved, also of a node that never said any', (t) => {
  const step = MIGRATIONS.findIndex((sql) => sql.includes('refused_claim'));
  const file = path.join(tempFolder(t), 'old.db');
  const database = new Database(file);
  for (const sql of MIGRATIONS.slice(0, step)) database.exec(sql);
  database.pragma(`user_version = ${step}`);
  const insert = database.prepare(
    'INSERT INTO nodes (id, name, public_key, own_labels, labels, facts, created_at) VALUES (?, ?, ?, ?, ?, ?, 1)',
  );
  const said = JSON.stringify({ ...facts, capabilities: ['shell', 'agent:coder'] });
  insert.run('a', 'a', randomBytes(32), '{"role":"db"}', '{"site":"x"}', said);
  insert.run('b', 'b', randomBytes(32), '{}', '{}', null);
  database.close();
  const store = new Store(file);
  cleanUp(t, () => store.close());
  const [a, b] = store.nodes.all();
  assert.ok(a !== undefined && b !== undefined);
  assert.deepEqual(
    [a.labels, usableCapabilities(a), a.claim],
    [{ role: 'db', site: 'x' }, ['shell', 'agent:coder'], null],
  );
  assert.deepEqual([b.labels, usableCapabilities(b), b.claim], [{}, [], null]);
});

test('names and keys are unique; heartbeats and sessions go with their node, runs stay', (t) => {
  const store = openStore(t);
  const key = randomBytes(32);
  insertNode(store, 'a', key);
  assert.throws(() => insertNode(store, 'b', key), /UNIQUE/);
  assert.equal(store.nodes.rename('missing', 'x'), 0);
  assert.throws(() => insertNode(store, 'a'), /UNIQUE/);
  assert.equal(store.nodes.byPublicKey(key)?.id, 'a');
  store.health.putHeartbeat({ nodeId: 'a', at: 1, rttMs: null, skewMs: 3, sample: '{}', state: null });
  store.history.insert('a', 1, { ...NO_FIGURES, cpuPct: 1 });
  store.history.disks.insert('a', 1, [{ mount: '/', usedPct: 1 }]);
  store.incidents.change('a', 1, { status: 'limited', reasons: [] });
  const session = store.sessions.openSession('a', '1.2.3.4', 1);
  const run = insertRun(store, { nodeId: 'a' });
  store.nodes.remove('a', 1);
  assert.equal(store.health.lastHeartbeat('a'), undefined);
  assert.equal(store.history.nodeIds().size, 0);
  assert.deepEqual([...store.history.disks.trendsOf(['a'], 0), ...store.incidents.betweenOf(['a'], 0, 10)], []);
  assert.deepEqual(store.sessions.sessions('a', 0, 10), []);
  store.sessions.endSession(session, 2, 'late');
  assert.equal(store.runs.byId(run.id)?.nodeId, 'a');
});

test('sessions: those that touch a period, ended once, closed after a crash when they were last seen', (t) => {
  const store = openStore(t);
  insertNode(store, 'a');
  const first = store.sessions.openSession('a', 'x', 10);
  store.sessions.endSession(first, 20, 'one');
  store.sessions.endSession(first, 99, 'two');
  const second = store.sessions.openSession('a', 'x', 30);
  store.sessions.sessionSeen(second, 35);
  store.sessions.closeStaleSessions();
  const spans = (from: number, to: number) =>
    store.sessions.sessions('a', from, to).map((row) => [row.connectedAt, row.endedAt]);
  assert.deepEqual(spans(0, 100), [
    [10, 20],
    [30, 35],
  ]);
  assert.deepEqual(spans(20, 30), [[10, 20]]);
  assert.deepEqual(spans(21, 30), []);
});

test('incidents: one goes on at a time, ended after a crash with the last heartbeat, short ones forgotten first', (t) => {
  const store = openStore(t);
  insertNode(store, 'a');
  const { incidents } = store;
  incidents.change('a', 10, { status: 'limited', reasons: ['x'] });
  incidents.change('a', 20, { status: 'error', reasons: ['y'] });
  assert.equal(incidents.open('a')?.status, 'error');
  incidents.change('a', 1_000, null);
  assert.equal(incidents.open('a'), undefined);
  incidents.change('a', 2_000, { status: 'limited', reasons: [] });
  store.health.putHeartbeat({ nodeId: 'a', at: 2_500, rttMs: null, skewMs: null, sample: '{}', state: null });
  incidents.endStale();
  const spells = () =>
    (incidents.betweenOf(['a'], 0, 9_999).get('a') ?? []).map(({ startedAt, endedAt }) => [startedAt, endedAt]);
  assert.deepEqual(spells(), [
    [10, 20],
    [20, 1_000],
    [2_000, 2_500],
  ]);
  incidents.forget('a', { before: 0, briefBefore: 500, briefMs: 100 });
  assert.deepEqual(spells().length, 2);
  incidents.forget('a', { before: 1_500, briefBefore: 0, briefMs: 0 });
  assert.deepEqual(spells(), [[2_000, 2_500]]);
});

test('old sessions are joined in steps without changing how long the node was there', async (t) => {
  const store = openStore(t);
  insertNode(store, 'a');
  // 1,200 sessions of 40 ms every 50 ms, then a long pause, then some that are too young to be joined.
  const times = [...Array.from({ length: 1_200 }, (_, index) => index * 50), 100_000, 100_100, 900_000, 900_100];
  await store.write(() => {
    for (const at of times) store.sessions.endSession(store.sessions.openSession('a', 'x', at), at + 40, 'cut');
  });
  const sum = () =>
    store.sessions
      .sessions('a', 0, 1e9)
      .reduce((total, { connectedAt, endedAt, awayMs }) => total + (endedAt ?? 0) - connectedAt - awayMs, 0);
  const before = sum();
  let steps = 0;
  for (let from: number | null = 0; from !== null; steps += 1) {
    const begin: number = from;
    from = await store.write(() => store.sessions.joinSessions('a', begin, 500_000, 1_000));
    assert.equal(sum(), before);
  }
  assert.ok(steps >= 3 && steps < 10);
  assert.equal(store.sessions.sessions('a', 0, 1e9).length, 4);
  assert.equal(store.sessions.joinSessions('a', 0, 500_000, 1_000), null);
  assert.equal(sum(), before);
  assert.deepEqual([...store.sessions.firstSessionsAt(['a', 'b'])], [['a', 0]]);
  assert.equal(store.sessions.forgetSessions('a', 500_000), 2);
});

test('an invite is used as often as it says, not after its end, nor once it is burned or revoked; it is pruned by its end', (t) => {
  const store = openStore(t);
  const invite = {
    secret: 's',
    name: null,
    role: 'node' as const,
    labels: { a: '1' },
    ephemeral: true,
    createdAt: 0,
    createdBy: 'local',
    expiresAt: 100,
  };
  store.invites.insert({ ...invite, id: 'twoo', usesLeft: 2 });
  store.invites.insert({ ...invite, id: 'late', usesLeft: 1, expiresAt: 200 });
  store.invites.insert({ ...invite, id: 'burn', usesLeft: 1 });
  assert.equal(store.invites.use('twoo', 100), false);
  assert.deepEqual(
    [1, 2, 3].map(() => store.invites.use('twoo', 99)),
    [true, true, false],
  );
  for (let n = 0; n < 5; n += 1) store.invites.countFailure('burn');
  assert.equal(store.invites.byId('burn')?.failures, 5);
  assert.equal(store.invites.use('burn', 0), false);
  store.invites.insert({ ...invite, id: 'gone', usesLeft: 1 });
  store.invites.revoke({ id: 'gone', now: 50 });
  assert.equal(store.invites.use('gone', 50), false);
  store.invites.prune(99);
  assert.deepEqual(
    ['twoo', 'late', 'burn', 'gone'].map((id) => store.invites.byId(id)?.id),
    ['twoo', 'late', 'burn', undefined],
  );
  store.invites.prune(100);
  assert.deepEqual(
    store.invites.all().map(({ id }) => id),
    ['late'],
  );
  const { labels, ephemeral, createdBy } = store.invites.byId('late') ?? {};
  assert.deepEqual({ labels, ephemeral, createdBy }, { labels: { a: '1' }, ephemeral: true, createdBy: 'local' });
});

test('the keys of removed nodes are remembered, the latest 10,000 of the last year', (t) => {
  const store = openStore(t);
  const key = (n: number): Buffer => Buffer.from(String(n).padStart(32, '0'));
  const comeAndGo = (n: number, at: number): void => {
    const id = `id-${n}`;
    store.nodes.insert({ id, name: id, publicKey: key(n), ownLabels: {}, labels: {}, facts: null, createdAt: at });
    store.nodes.remove(id, at);
  };
  const fate = (n: number) => store.nodes.formerKey(key(n))?.fate;
  comeAndGo(0, 1);
  assert.equal(fate(0), 'removed');
  comeAndGo(1, 400 * 86_400_000);
  assert.deepEqual([fate(0), fate(1)], [undefined, 'removed'], 'age');
  for (let n = 2; n <= 10_001; n += 1) comeAndGo(n, 400 * 86_400_000 + n);
  assert.deepEqual([fate(1), fate(2), fate(10_001)], [undefined, 'removed', 'removed'], 'number');
  const again = { id: 'again', name: 'again', publicKey: key(2), ownLabels: {}, labels: {}, facts: null, createdAt: 1 };
  store.nodes.insert(again);
  assert.equal(fate(2), undefined, 'one that is let in again');
  assert.equal(store.nodes.replaceKey('again', key(2), key(20_000), 2), true);
  assert.equal(fate(2), 'replaced');
  store.nodes.remove('again', 500 * 86_400_000);
  assert.deepEqual([fate(2), fate(20_000)], ['removed', 'removed'], 'every key that it had');
});

test('times without a gateway lie between its runs; a clock that was set back makes none', async (t) => {
  const store = openStore(t);
  const { gatewayUptime } = store;
  await store.write(() => {
    for (const [from, to] of [
      [1_000_000, 2_000_000],
      [5_000_000, 6_000_000],
      [5_500_000, 5_600_000],
      [9_000_000, 9_000_000],
    ] as const) {
      gatewayUptime.noteStart(from);
      gatewayUptime.noteSeen(to);
    }
  });
  const times = (from: number, to: number) => gatewayUptime.downtimes(from, to).map((time) => [time.from, time.to]);
  assert.deepEqual(times(0, 1e9), [
    [2_000_000, 5_000_000],
    [5_600_000, 9_000_000],
  ]);
  assert.deepEqual(times(6_500_000, 7_000_000), [[5_600_000, 9_000_000]]);
  assert.equal(gatewayUptime.lastSeenAt(), 9_000_000);
  await store.write(() => gatewayUptime.forget(8_000_000));
  assert.deepEqual(times(0, 1e9), [[5_600_000, 9_000_000]]);
});
