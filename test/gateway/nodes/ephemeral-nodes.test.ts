import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EphemeralNodes } from '../../../src/gateway/nodes/ephemeral-nodes.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { settle } from '../../support/deadline.ts';
import { cleanUp } from '../../support/temp-folder.ts';
import { peerOf, testApi } from '../api/harness.ts';
import { TestNode } from '../identity/fixtures.ts';

const GRACE_MS = 3_600_000;

test('an ephemeral node is forgotten when it was offline for long enough, and no other', async (t) => {
  const api = await testApi(t);
  const { store, clock, sessions, removal } = api;
  const sweep = new EphemeralNodes({
    store,
    sessions,
    removal,
    clock,
    logger: silentLogger,
    graceMs: GRACE_MS,
  });
  const code = await api.invite({ ephemeral: true, uses: 4 });
  const ids: Record<string, string> = {};
  for (const name of ['gone', 'here', 'revoked', 'early']) {
    const paired = await new TestNode(api, name).pair({ code, name });
    assert.ok(paired.status === 'paired');
    ids[name] = paired.id;
  }
  const lasting = await new TestNode(api, 'lasting').pair({ code: await api.invite(), name: 'lasting' });
  assert.equal(lasting.status, 'paired');
  const names = (): string[] => store.nodes.all().map(({ name }) => name);
  const pass = async (ms: number): Promise<void> => {
    await clock.advance(ms);
    await settle();
  };

  const here = store.nodes.byId(ids.here ?? '');
  assert.ok(here);
  const peer = peerOf(here.publicKey);
  await sessions.accept(here, peer);
  store.nodes.revoke(ids.revoked ?? '', 1);
  // As if the gateway had been down: only the time since its start counts.
  clock.jumpWall(10 * GRACE_MS);
  sweep.start();
  cleanUp(t, () => sweep.close());
  await pass(GRACE_MS / 2);
  assert.equal(names().length, 5);
  store.nodes.setSeen(ids.early ?? '', clock.now());
  await pass(GRACE_MS / 2 + 60_000);
  assert.deepEqual(names(), ['early', 'here', 'lasting', 'revoked']);
  await pass(GRACE_MS / 2);
  assert.deepEqual(names(), ['here', 'lasting', 'revoked']);
  peer.close('left');
  await pass(GRACE_MS + 60_000);
  assert.deepEqual(names(), ['lasting', 'revoked']);
  // Its key is a stranger's now, and may join anew.
  assert.equal((await new TestNode(api, 'gone').pair({ code: await api.invite(), name: 'gone' })).status, 'paired');
  await sweep.close();
  assert.equal(clock.pendingTimers, 0);
});
