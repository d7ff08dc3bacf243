import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { PairVerifyRequest } from '../../../src/protocol/node-messages.ts';
import { type TestGateway, TestNode, testGateway } from './fixtures.ts';

/** Another character in the last place, still of the alphabet. */
function mistyped(code: string): string {
  return code.slice(0, -1) + (code.endsWith('0') ? '1' : '0');
}

function flipped(text: string | undefined): string {
  const bytes = Buffer.from(text ?? '', 'base64url');
  bytes.writeUInt8(bytes.readUInt8(0) ^ 1, 0);
  return bytes.toString('base64url');
}

test('a node with a code is admitted with the name, the labels and a token bound to its key', async (t) => {
  const gateway = testGateway(t);
  const node = new TestNode(gateway);
  const code = await gateway.invite({ name: 'prod-1', labels: { tier: 'web' } });
  const result = await node.pair({ code });
  assert.equal(result.status, 'paired');
  if (result.status !== 'paired') return;
  assert.equal(result.name, 'prod-1');
  assert.deepEqual(result.signingKeys, [gateway.signingKey.rawPublicKey.toString('base64url')]);
  assert.equal(result.time, gateway.clock.now());
  const verified = await gateway.tokens.verify(result.token, node.publicKey);
  assert.deepEqual(verified, { subject: result.id, role: 'node', expiresAt: result.expiresAt });
  await assert.rejects(gateway.tokens.verify(result.token, randomBytes(32)), { code: 'token_invalid' });
  assert.deepEqual(gateway.store.nodes.byPublicKey(node.publicKey)?.labels, { own: '1', tier: 'web' });
});

test('a code is spent after its uses', async (t) => {
  const gateway = testGateway(t);
  const code = await gateway.invite({ uses: 2 });
  const names: string[] = [];
  for (const key of ['a', 'b']) {
    const result = await new TestNode(gateway, key).pair({ code });
    names.push(result.status === 'paired' ? result.name : result.status);
  }
  assert.deepEqual(names, ['web', 'web-2']);
  await assert.rejects(new TestNode(gateway, 'c').pair({ code }), { code: 'invite_invalid' });
  assert.equal(gateway.store.nodes.all().length, 2);
});

test('of two nodes with the last use at once, one is admitted, and nothing is half done', async (t) => {
  const gateway = testGateway(t);
  const code = await gateway.invite();
  const results = await Promise.allSettled(['a', 'b'].map((key) => new TestNode(gateway, key).pair({ code })));
  assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  assert.equal(
    (results.find(({ status }) => status === 'rejected') as PromiseRejectedResult).reason.code,
    'invite_invalid',
  );
  assert.equal(gateway.store.nodes.all().length, 1);
});

test('an expired code is refused, also when it expires between the two messages', async (t) => {
  const gateway = testGateway(t);
  const code = await gateway.invite({ ttlMs: 1000 });
  const late = (request: PairVerifyRequest): PairVerifyRequest => {
    gateway.clock.jumpWall(1000);
    return request;
  };
  await assert.rejects(new TestNode(gateway).pair({ code }, { verify: late }), { code: 'invite_invalid' });
  await assert.rejects(new TestNode(gateway).pair({ code }), { code: 'invite_invalid' });
});

test('a node that lost the answer to its pairing may repeat its spent code, and no other may', async (t) => {
  const gateway = testGateway(t);
  const node = new TestNode(gateway);
  const code = await gateway.invite();
  const first = await node.pair({ code });
  const again = await node.pair({ code });
  assert.equal(again.status === 'paired' && first.status === 'paired' && again.id === first.id, true);
  assert.equal(gateway.store.nodes.all().length, 1);
  await assert.rejects(new TestNode(gateway, 'other').pair({ code }), { code: 'invite_invalid' });
  await assert.rejects(node.pair({ code: mistyped(code) }), { code: 'gateway_not_proven' });
});

test('that node may do so whatever has happened to the code since, and no other may', async (t) => {
  const fates: [string, (gateway: TestGateway, id: string) => Promise<unknown>][] = [
    ['another invite was made, which once pruned the spent ones', (gateway) => gateway.invite()],
    ['it has expired', async (gateway) => gateway.clock.jumpWall(300_001)],
    [
      'both, weeks later',
      async (gateway) => {
        gateway.clock.jumpWall(29 * 86_400_000);
        await gateway.invite();
      },
    ],
    ['it was revoked', (gateway, id) => gateway.invites.revoke(id)],
    [
      'it was burned',
      (gateway, id) =>
        gateway.store.write(() => {
          for (let n = 0; n < 5; n += 1) gateway.store.invites.countFailure(id);
        }),
    ],
  ];
  for (const [fate, happen] of fates) {
    const gateway = testGateway(t);
    const node = new TestNode(gateway);
    const code = await gateway.invite({ uses: fate.startsWith('it was') ? 2 : 1 });
    const first = await node.pair({ code });
    await happen(gateway, code.slice(0, 4));
    const again = await node.pair({ code });
    assert.equal(again.status === 'paired' && first.status === 'paired' && again.id === first.id, true, fate);
    await assert.rejects(new TestNode(gateway, 'other').pair({ code }), { code: 'invite_invalid' }, fate);
    assert.deepEqual(
      gateway.invites.open().filter(({ id }) => code.startsWith(id)),
      [],
      fate,
    );
  }
});

test('a spent code gives a person no other role', async (t) => {
  for (const fate of ['revoked', 'burned', 'expired']) {
    const gateway = testGateway(t);
    const person = new TestNode(gateway);
    const logIn = (code: string) => person.pair({ code, as: 'person', name: 'anna', labels: {}, facts: undefined });
    await logIn(await gateway.invite({ role: 'viewer' }));
    const code = await gateway.invite({ role: 'admin' });
    const id = code.slice(0, 4);
    if (fate === 'revoked') await gateway.invites.revoke(id);
    if (fate === 'expired') gateway.clock.jumpWall(300_001);
    if (fate === 'burned')
      for (let n = 0; n < 5; n += 1) await gateway.store.write(() => gateway.store.invites.countFailure(id));
    await assert.rejects(logIn(code), { code: 'invite_invalid' }, fate);
    assert.equal(gateway.store.people.byName('anna')?.role, 'viewer');
  }
});

test('a mistyped secret: the node stops before it has sent a proof of its own', async (t) => {
  const gateway = testGateway(t);
  const code = await gateway.invite();
  let verified = false;
  const verify = (request: PairVerifyRequest): PairVerifyRequest => {
    verified = true;
    return request;
  };
  await assert.rejects(new TestNode(gateway).pair({ code: mistyped(code) }, { verify }), {
    code: 'gateway_not_proven',
  });
  assert.equal(verified, false);
});

test('five wrong proofs invalidate a code, four do not', async (t) => {
  for (const [failures, ending] of [
    [4, 'paired'],
    [5, 'invite_invalid'],
  ] as const) {
    const gateway = testGateway(t);
    const code = await gateway.invite();
    const wrong = (request: PairVerifyRequest) => ({ ...request, proof: flipped(request.proof) });
    for (let n = 0; n < failures; n += 1) {
      await assert.rejects(new TestNode(gateway, `guess-${n}`).pair({ code }, { verify: wrong }), {
        code: 'invite_invalid',
      });
    }
    const result = await new TestNode(gateway)
      .pair({ code })
      .catch((error: { code: string }) => ({ status: error.code }));
    assert.equal(result.status, ending);
  }
});

test('a proof that is missing counts as a wrong one', async (t) => {
  const gateway = testGateway(t);
  const code = await gateway.invite();
  const without = ({ proof: _proof, ...request }: PairVerifyRequest) => request;
  await assert.rejects(new TestNode(gateway).pair({ code }, { verify: without }), { code: 'invite_invalid' });
  assert.equal(gateway.store.invites.byId(code.slice(0, 4))?.failures, 1);
  assert.equal(gateway.store.nodes.all().length, 0);
});

test('a man in the middle with another host key is detected by the node', async (t) => {
  const gateway = testGateway(t);
  const code = await gateway.invite();
  const tampering = { hostKey: randomBytes(51) };
  await assert.rejects(new TestNode(gateway).pair({ code }, tampering), { code: 'gateway_not_proven' });
  const silent = {
    ...tampering,
    challengeAnswer: ({
      proof: _proof,
      ...answer
    }: {
      challenge: string;
      nonce: string;
      time: number;
      proof?: string | undefined;
    }) => answer,
  };
  await assert.rejects(new TestNode(gateway).pair({ code }, silent), { code: 'gateway_not_proven' });
});

test('the key of the request must be the key of the connection', async (t) => {
  const gateway = testGateway(t);
  const code = await gateway.invite();
  const tampering = { connectionKey: randomBytes(32) };
  await assert.rejects(new TestNode(gateway).pair({ code }, tampering), { code: 'forbidden' });
});

test('a signature, an opening or a transcript with one other bit is refused', async (t) => {
  const gateway = testGateway(t);
  const code = await gateway.invite({ uses: 9 });
  const node = new TestNode(gateway);
  for (const field of ['signature', 'opening'] as const) {
    const verify = (request: PairVerifyRequest) => ({ ...request, [field]: flipped(request[field]) });
    await assert.rejects(node.pair({ code }, { verify }), { code: 'forbidden' }, field);
  }
  for (const changed of [
    (answer: { nonce: string }) => ({ ...answer, nonce: flipped(answer.nonce) }),
    (answer: { time: number }) => ({ ...answer, time: answer.time + 1 }),
  ]) {
    await assert.rejects(node.pair({ code }, { challengeAnswer: changed as never }), { code: 'gateway_not_proven' });
  }
  assert.equal(gateway.store.nodes.all().length, 0);
});

test('a challenge is valid for one attempt, one connection and thirty seconds', async (t) => {
  const gateway = testGateway(t);
  const node = new TestNode(gateway);
  await node.pair({ code: await gateway.invite() });
  let recorded: PairVerifyRequest | undefined;
  const record = (request: PairVerifyRequest) => {
    recorded = request;
    return request;
  };
  await node.pair({}, { verify: record, connection: 'one' });
  assert.ok(recorded);
  const replay = recorded;
  await assert.rejects(node.pair({}, { verify: () => replay, connection: 'one' }), { code: 'token_invalid' });

  const peer = { connection: 'two', publicKey: node.publicKey, address: 'x' };
  const stolen = (request: PairVerifyRequest) => {
    void gateway.pairing.verify({ ...peer, connection: 'thief' }, request).catch(() => undefined);
    return request;
  };
  await assert.rejects(node.pair({}, { verify: stolen, connection: 'two' }), { code: 'token_invalid' });

  const late = (request: PairVerifyRequest) => {
    void gateway.clock.advance(30_001);
    return request;
  };
  await assert.rejects(node.pair({}, { verify: late }), { code: 'token_invalid' });
});

test('open challenges of one connection are limited, and old ones make room', async (t) => {
  const gateway = testGateway(t);
  const node = new TestNode(gateway);
  const ask = () =>
    gateway.pairing.challenge(
      { connection: 'one', publicKey: node.publicKey, address: 'x' },
      { publicKey: node.publicKey.toString('base64url'), nonce: randomBytes(32).toString('base64url'), protocol: 1 },
    );
  for (let n = 0; n < 3; n += 1) ask();
  assert.throws(ask, { code: 'busy' });
  await gateway.clock.advance(30_001);
  ask();
});

test('another protocol version is refused before anything else', async (t) => {
  const gateway = testGateway(t);
  const challengeRequest = (request: object) => ({ ...request, protocol: 2 }) as never;
  await assert.rejects(new TestNode(gateway).pair({}, { challengeRequest }), { code: 'protocol_unsupported' });
});

test('a code for a person admits no node, and the attempt does not spend it', async (t) => {
  const gateway = testGateway(t);
  const code = await gateway.invite({ role: 'operator' });
  await assert.rejects(new TestNode(gateway).pair({ code }), { code: 'forbidden' });
  assert.equal(gateway.store.invites.byId(code.slice(0, 4))?.usesLeft, 1);
});

test('names: one that a person asked for must be free, one that a machine suggests gets a number', async (t) => {
  const gateway = testGateway(t);
  const long = 'x'.repeat(63);
  for (const [key, name, expected] of [
    ['a', 'web', 'web'],
    ['b', 'web', 'web-2'],
    ['c', 'web', 'web-3'],
    ['d', long, long],
    ['e', long, `${'x'.repeat(56)}-2`],
  ]) {
    const result = await new TestNode(gateway, key).pair({ code: await gateway.invite(), name: name ?? '' });
    assert.equal(result.status === 'paired' && result.name, expected);
  }
  const code = await gateway.invite();
  await assert.rejects(new TestNode(gateway, 'f').pair({ code, nameRequired: true }), { code: 'name_taken' });
  const other = await new TestNode(gateway, 'f').pair({ code, name: 'other' });
  assert.equal(other.status, 'paired', 'the code was not spent by the refusal');
  await assert.rejects(gateway.invite({ name: 'web' }), { code: 'name_taken' });
  await assert.rejects(gateway.invite({ name: 'new', uses: 2 }), { code: 'usage' });
});

test('a revoked key gets no token, with or without a code', async (t) => {
  const gateway = testGateway(t);
  const node = new TestNode(gateway);
  const result = await node.pair({ code: await gateway.invite() });
  gateway.store.nodes.revoke(result.status === 'paired' ? result.id : '', 1);
  await assert.rejects(node.pair(), { code: 'key_revoked' });
  await assert.rejects(node.pair({ code: await gateway.invite() }), { code: 'key_revoked' });
});

test('renewal gives a fresh token by the clock of the gateway, whatever the old one was', async (t) => {
  const gateway = testGateway(t);
  const node = new TestNode(gateway);
  const first = await node.pair({ code: await gateway.invite() });
  gateway.clock.jumpWall(40 * 3_600_000);
  const second = await node.pair();
  assert.ok(first.status === 'paired' && second.status === 'paired');
  await assert.rejects(gateway.tokens.verify(first.token, node.publicKey), {
    code: 'token_invalid',
    message: /expired/,
  });
  assert.equal((await gateway.tokens.verify(second.token, node.publicKey)).subject, first.id);
});
