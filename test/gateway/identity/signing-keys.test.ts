import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, copyFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { SigningKeys } from '../../../src/gateway/identity/signing-keys.ts';
import { issueTicket, Tokens } from '../../../src/gateway/identity/tokens.ts';
import { AnnouncedKeys } from '../../../src/gateway/nodes/sessions.ts';
import { verifyTicket } from '../../../src/node/api/verify-ticket.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const GRACE_MS = 48 * 3_600_000;

function setUp(t: TestContext) {
  const folder = tempFolder(t);
  const clock = new FakeClock();
  const file = path.join(folder, 'signing');
  const retiredFile = path.join(folder, 'retired');
  const open = () => new SigningKeys({ file, retiredFile, graceMs: GRACE_MS, clock, logger: silentLogger });
  const tokensOf = (keys: SigningKeys) => new Tokens({ keys, gatewayId: 'g', clock });
  return { folder, clock, file, retiredFile, open, tokensOf };
}

test('signatures of a replaced key are valid for the grace period and no longer, also after restarts and more rotations', async (t) => {
  const { clock, open, tokensOf } = setUp(t);
  const keys = open();
  const publicKey = randomBytes(32);
  // Their own end is not what this is about: a token issued when its key is replaced would be over before the grace is.
  const claims = { subject: 'n', role: 'node' as const, publicKey };
  const longLived = async (ring: SigningKeys) => {
    clock.jumpWall(GRACE_MS - 60_000);
    const { token } = await tokensOf(ring).issue(claims);
    clock.jumpWall(60_000 - GRACE_MS);
    return token;
  };
  const first = await longLived(keys);
  const { graceEndsAt } = keys.rotate();
  assert.equal(graceEndsAt, clock.now() + GRACE_MS);
  const second = await longLived(keys);
  clock.jumpWall(1000);
  keys.rotate();
  for (const ring of [keys, open()]) {
    assert.equal(ring.acceptedRaw().length, 3);
    for (const token of [first, second]) assert.equal((await tokensOf(ring).verify(token, publicKey)).subject, 'n');
  }
  clock.jumpWall(GRACE_MS - 1001);
  await tokensOf(keys).verify(first, publicKey);
  clock.jumpWall(1);
  for (const ring of [keys, open()]) {
    await assert.rejects(tokensOf(ring).verify(first, publicKey), { code: 'token_invalid' });
    await tokensOf(ring).verify(second, publicKey);
  }
  clock.jumpWall(1000);
  assert.deepEqual(keys.acceptedRaw().length, 1);
  await assert.rejects(tokensOf(keys).verify(second, publicKey), { code: 'token_invalid' });
});

test('a rotation killed in the middle leaves the old key in use, listed once', async (t) => {
  const { folder, file, open, tokensOf } = setUp(t);
  const before = open();
  const { token } = await tokensOf(before).issue({ subject: 'n', role: 'node', publicKey: Buffer.alloc(32) });
  copyFileSync(file, path.join(folder, 'before'));
  before.rotate();
  // What the disk has between the two writes.
  copyFileSync(path.join(folder, 'before'), file);
  chmodSync(file, 0o600);
  const after = open();
  assert.equal(after.acceptedRaw().length, 1);
  await tokensOf(after).verify(token, Buffer.alloc(32));
  after.rotate();
  assert.equal(open().acceptedRaw().length, 2);
  await tokensOf(after).verify(token, Buffer.alloc(32));
});

test('a list of replaced keys that is damaged or readable by others is reported', (t) => {
  const { retiredFile, open } = setUp(t);
  for (const text of ['{', '{}', '[{"publicKey":"x","retiredAt":1}]', '[1]']) {
    writeFileSync(retiredFile, text, { mode: 0o600 });
    assert.throws(open, { code: 'config_invalid' }, text);
  }
  chmodSync(retiredFile, 0o644);
  assert.throws(open, { code: 'home_insecure' });
});

test('a node gets tickets signed with a key that it knows, whenever the key changes and the grace period ends', async (t) => {
  const { clock, open } = setUp(t);
  const keys = open();
  const told = new AnnouncedKeys();
  /** What the node has on its disk. */
  let stored: readonly string[] = [];
  const answer = (): void => {
    stored = told.announce(keys.acceptedRaw()) ?? stored;
  };
  const check = async (): Promise<void> => {
    const body = Buffer.from('x');
    const ticket = await issueTicket(
      { signingKey: keys.signerFor(told.newest), clock },
      { id: 'r', nodeId: 'n' },
      body,
    );
    await verifyTicket({ ticket, run: 'r', nodeId: 'n', body, signingKeys: stored, now: clock.now() });
  };
  answer();
  for (let round = 0; round < 4; round += 1) {
    told.acknowledge();
    await check();
    const old = keys.current.id;
    const [oldRaw = ''] = stored;
    keys.rotate();
    await check();
    answer();
    await check();
    assert.equal(keys.signerFor(told.newest).id, old, 'the answer may have been lost');
    told.acknowledge();
    assert.equal(keys.signerFor(told.newest).id, keys.current.id);
    await check();
    assert.ok(stored.includes(oldRaw), 'a ticket of the old key may be under way');
    if (round % 2 === 0) clock.jumpWall(GRACE_MS);
    answer();
    await check();
    assert.equal(stored.includes(oldRaw), round % 2 !== 0);
    assert.equal(told.announce(keys.acceptedRaw()), undefined, 'nothing new');
  }
});
