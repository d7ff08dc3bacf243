import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { GATEWAY_API, NODE_FORWARD } from '../../../src/domain/limits.ts';
import { PeopleConnections } from '../../../src/gateway/identity/people-connections.ts';
import { type SessionPeer, Sessions } from '../../../src/gateway/nodes/sessions.ts';
import { type AccessOptions, accessOf } from '../../../src/gateway/ssh/access.ts';
import { Store } from '../../../src/gateway/store.ts';
import { FleetError } from '../../../src/shared/errors.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import type { SshPeer } from '../../../src/shared/ssh/server/ssh-session.ts';
import { settle } from '../../support/deadline.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';
import { peerOf } from '../api/harness.ts';
import { FACTS } from '../identity/fixtures.ts';

function setUp(t: TestContext) {
  const clock = new FakeClock();
  const store = new Store(path.join(tempFolder(t), 'fleet.db'));
  cleanUp(t, () => store.close());
  const sessions = new Sessions({ store, clock, logger: silentLogger });
  const events: string[] = [];
  sessions.onChange({
    online: ({ nodeId }) => void events.push(`online ${nodeId}`),
    offline: ({ nodeId }, reason) => void events.push(`offline ${nodeId} ${reason}`),
  });
  const publicKey = randomBytes(32);
  store.nodes.insert({ id: 'n1', name: 'web', publicKey, ownLabels: {}, labels: {}, facts: FACTS, createdAt: 0 });
  return { clock, store, sessions, events, publicKey, node: { id: 'n1', name: 'web' }, peer: () => peerOf(publicKey) };
}

test('online with the first heartbeat, offline with the end, each told once', async (t) => {
  const { sessions, store, events, node, peer, clock } = setUp(t);
  const one = peer();
  await sessions.accept(node, one);
  const session = sessions.get('n1');
  assert.ok(session);
  assert.deepEqual([sessions.online('n1'), sessions.size], [undefined, 1]);
  sessions.heartbeat(session, 5);
  sessions.heartbeat(session, 6);
  assert.equal(sessions.online('n1'), session);
  clock.jumpWall(1000);
  one.close('gone');
  await settle();
  one.close('again');
  sessions.close('n1', 'never heard');
  await settle();
  assert.deepEqual(events, ['online n1', 'offline n1 gone']);
  const [row] = store.sessions.sessions('n1', 0, Number.MAX_SAFE_INTEGER);
  assert.deepEqual([row?.endedAt, store.nodes.byId('n1')?.lastSeenAt], [clock.now(), clock.now()]);
  assert.equal(sessions.size, 0);
});

test('a new session of the key ends the old one, of which nobody hears that the node is offline', async (t) => {
  const { sessions, store, events, node, peer } = setUp(t);
  const [one, two] = [peer(), peer()];
  await sessions.accept(node, one);
  await sessions.accept(node, two);
  await settle();
  assert.equal(one.endings.length > 0 && two.endings.length === 0, true);
  assert.equal(sessions.get('n1')?.peer, two);
  assert.equal(sessions.ofPeer('n1', one.id), undefined);
  assert.ok(sessions.ofPeer('n1', two.id));
  assert.deepEqual(events, []);
  assert.deepEqual(
    store.sessions
      .sessions('n1', 0, 1e15)
      .map(({ endedAt }) => endedAt === null)
      .sort(),
    [false, true],
  );
});

test('a session that ends in the tick in which it began is ended in the store too', async (t) => {
  const { sessions, store, node, peer } = setUp(t);
  const one = peer();
  const opening = sessions.accept(node, one);
  sessions.close('n1', 'at once');
  await opening;
  await settle();
  assert.deepEqual(
    store.sessions.sessions('n1', 0, 1e15).map(({ endedAt }) => endedAt !== null),
    [true],
  );
});

test('a heartbeat that is stored after the end puts nobody online', async (t) => {
  const { sessions, events, node, peer } = setUp(t);
  await sessions.accept(node, peer());
  const session = sessions.get('n1');
  assert.ok(session);
  sessions.close('n1', 'cut');
  sessions.heartbeat(session, 9);
  assert.deepEqual(events, ['offline n1 cut']);
});

test('closing a session takes effect at once, even if its connection lingers', async (t) => {
  const { sessions, node, peer } = setUp(t);
  const lingering: SessionPeer = { ...peer(), close: () => {}, closed: new Promise(() => {}) };
  await sessions.accept(node, lingering);
  sessions.close('n1', 'revoked');
  assert.equal(sessions.get('n1'), undefined);
  await assert.rejects(sessions.open('n1', 'api'), { code: 'node_offline' });
});

test('dial opens the forward that the node offered, and passes its failure on', async (t) => {
  const { sessions, node, peer } = setUp(t);
  const asked: unknown[] = [];
  const failure = new FleetError('timeout', 'no answer');
  await sessions.accept(node, {
    ...peer(),
    openForwarded: (...args) => {
      asked.push(args);
      return Promise.reject(failure);
    },
  });
  await assert.rejects(sessions.open('n1', 'api'), (error) => error === failure);
  assert.deepEqual(asked, [[NODE_FORWARD.host, NODE_FORWARD.port]]);
});

test('closing all waits until it is stored, and leaves nobody', async (t) => {
  const { sessions, store, node, peer } = setUp(t);
  await sessions.accept(node, peer());
  await sessions.closeAll('stopping');
  assert.equal(sessions.size, 0);
  assert.ok(store.sessions.sessions('n1', 0, 1e15).every(({ endedAt }) => endedAt !== null));
});

/** What accessOf needs besides. */
function accessOptions({ store, sessions }: { store: Store; sessions: Sessions }) {
  const people = new PeopleConnections({ store, clock: new FakeClock(), logger: silentLogger });
  return { store, sessions, people, logger: silentLogger, refusals: { note: () => undefined } };
}

test('what each key may open: the API for everybody, the forward for a living node, nothing else for anybody', async (t) => {
  const { sessions, store, publicKey } = setUp(t);
  const served: string[] = [];
  const options = {
    ...accessOptions({ store, sessions }),
    serveApi: (_channel: unknown, { id }: SshPeer) => void served.push(id),
  };
  const sshPeer = (key: Buffer): SshPeer => ({ ...peerOf(key), user: 'node', bytesIn: 0, bytesOut: 0 });
  const known = accessOf(sshPeer(publicKey), options);
  const unknown = accessOf(sshPeer(randomBytes(32)), options);
  for (const handlers of [known, unknown]) {
    assert.ok(handlers.direct?.({ ...GATEWAY_API }));
    for (const destination of [
      { host: 'localhost', port: 22 },
      { host: GATEWAY_API.host, port: 2 },
      { host: '169.254.169.254', port: 80 },
      { ...NODE_FORWARD },
    ]) {
      assert.equal(handlers.direct?.(destination), undefined, destination.host);
    }
  }
  assert.equal(unknown.forward, undefined);
  assert.equal(unknown.lifetimeMs, 30_000);
  assert.deepEqual([unknown.isStranger, known.isStranger], [true, undefined]);
  assert.ok(unknown.maxChannels < known.maxChannels);
  assert.equal(known.lifetimeMs, undefined);
  assert.equal(known.forward?.({ host: '0.0.0.0', port: 8080 }), false);
  assert.equal(sessions.size, 0);
  assert.equal(known.forward?.({ ...NODE_FORWARD }), true);
  assert.equal(sessions.size, 1);
  await settle();
  // A connection that was there before the revocation gets no session after it.
  sessions.close('n1', 'revoked');
  store.nodes.revoke('n1', 1);
  assert.equal(known.forward?.({ ...NODE_FORWARD }), false);
  assert.equal(accessOf(sshPeer(publicKey), options).forward, undefined);
  store.nodes.remove('n1', 1);
  assert.equal(known.forward?.({ ...NODE_FORWARD }), false);
  assert.equal(sessions.size, 0);
  await settle();
});

test('a connection of a key that was replaced gets no session any more, and the node keeps its own', async (t) => {
  const { sessions, store, publicKey } = setUp(t);
  const options = { ...accessOptions({ store, sessions }), serveApi: () => {} };
  const sshPeer = (key: Buffer): SshPeer => ({ ...peerOf(key), user: 'node', bytesIn: 0, bytesOut: 0 });
  const idle = accessOf(sshPeer(publicKey), options);
  const newKey = randomBytes(32);
  assert.ok(store.nodes.replaceKey('n1', publicKey, newKey, 1));
  const own = sshPeer(newKey);
  assert.equal(accessOf(own, options).forward?.({ ...NODE_FORWARD }), true);
  await settle();
  assert.equal(idle.forward?.({ ...NODE_FORWARD }), false);
  assert.equal(sessions.get('n1')?.peer, own);
  const notes: string[] = [];
  const refusals: AccessOptions['refusals'] = { note: (it) => void notes.push(`${it.actor.name} ${it.outcome}`) };
  assert.equal(accessOf(sshPeer(publicKey), { ...options, refusals }).isStranger, true);
  assert.deepEqual(notes, ['web key_revoked']);
});

test('a person may open the API and no forward, and is seen', async (t) => {
  const { sessions, store } = setUp(t);
  const options = { ...accessOptions({ store, sessions }), serveApi: () => {} };
  const publicKey = randomBytes(32);
  store.people.insert({ id: 'p1', name: 'anna', role: 'admin', publicKey, createdAt: 0 });
  const peers = [1, 2].map(() => ({ ...peerOf(publicKey), user: 'x', bytesIn: 0, bytesOut: 0 }));
  for (const peer of peers) {
    const handlers = accessOf(peer, options);
    assert.equal(handlers.forward, undefined);
    assert.equal(handlers.lifetimeMs, undefined);
    assert.ok(handlers.direct?.({ ...GATEWAY_API }));
    assert.equal(handlers.direct?.({ ...NODE_FORWARD }), undefined);
  }
  await settle();
  assert.notEqual(store.people.byId('p1')?.lastSeenAt, null);
  assert.ok(options.people.has('p1'));
  for (const peer of peers) peer.cut('revoked');
  await settle();
  assert.ok(!options.people.has('p1'));
  store.people.revoke({ id: 'p1', at: 1 });
  assert.equal(accessOf({ ...peerOf(publicKey), user: 'x', bytesIn: 0, bytesOut: 0 }, options).lifetimeMs, 30_000);
  await settle();
});

test('a session that cannot be stored is not kept', async (t) => {
  const { sessions, store, publicKey } = setUp(t);
  const peer: SshPeer & { endings: string[] } = { ...peerOf(publicKey), user: 'node', bytesIn: 0, bytesOut: 0 };
  const handlers = accessOf(peer, { ...accessOptions({ store, sessions }), serveApi: () => {} });
  store.sessions.openSession = () => {
    throw new FleetError('storage_failed', 'full');
  };
  assert.equal(handlers.forward?.({ ...NODE_FORWARD }), true);
  await settle();
  assert.equal(peer.endings[0], 'storage_failed');
  assert.equal(sessions.size, 0);
});
