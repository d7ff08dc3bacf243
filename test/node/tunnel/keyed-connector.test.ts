import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { OpenTunnel } from '../../../src/node/tunnel/connect-once.ts';
import { rotateKey } from '../../../src/node/tunnel/keyed-connector.ts';
import type { NodeDetailView } from '../../../src/protocol/views.ts';
import type { OwnIdentity } from '../../../src/shared/ssh/identity.ts';
import { formatFingerprint, sshPublicKeyBlob } from '../../../src/shared/ssh/ssh-key.ts';
import { within } from '../../support/deadline.ts';
import { beat, end, laterClock, TestGateway, TestMachine } from './real-gateway.ts';

const DEADLINE = { timeout: 60_000 };

async function setUp(t: TestContext) {
  const gateway = await new TestGateway(t).start();
  const machine = new TestMachine(t);
  await end(await machine.open(gateway.port, { code: await gateway.invite() }));
  const node = (): Promise<NodeDetailView> => gateway.api('GET', '/v1/nodes/web');
  const { id } = await node();
  /** One attempt of a process that has just started, up to its first heartbeat. */
  const connect = async () => {
    const keys = machine.keys;
    const { connector, opened } = await machine.attemptKeyed(gateway.port, keys);
    assert.ok('connection' in opened);
    await opened.client.heartbeat(beat());
    return { keys, connector, opened };
  };
  /** The node is who it was, with the key on its disk, and no rotation is left to do. */
  const assertWell = async (): Promise<void> => {
    await end((await connect()).opened);
    const view = await node();
    assert.equal(view.id, id);
    assert.equal(view.fingerprint, fingerprintOf(machine.keys.current));
    assert.equal(machine.keys.next, undefined);
    assert.equal(view.clone, null);
  };
  return { gateway, machine, node, id, connect, assertWell };
}

function fingerprintOf({ publicKey }: OwnIdentity): string {
  return formatFingerprint(sshPublicKeyBlob(publicKey));
}

const request = (tunnel: OpenTunnel, nodeId: string, oldKey: OwnIdentity, newKey: OwnIdentity) =>
  rotateKey({ client: tunnel.client, hostKey: tunnel.connection.hostKey, nodeId, oldKey, newKey });

test(
  'over a live tunnel: the same node with a new key; a copy of the old one is refused for good, also to pair anew',
  DEADLINE,
  async (t) => {
    const { gateway, machine, connect, assertWell } = await setUp(t);
    const { keys, connector, opened } = await connect();
    const copy = new TestMachine(t);
    cpSync(machine.folder, copy.folder, { recursive: true });
    keys.prepare();
    await Promise.all([connector.rotate(opened), connector.rotate(opened)]);
    await within(opened.connection.closed, 'the end of the tunnel of the old key');
    await assertWell();
    for (const code of [undefined, await gateway.invite()]) {
      const refusal = { code: 'key_revoked', retryable: false, message: /replaced/ };
      await assert.rejects(copy.attempt(gateway.port, code === undefined ? {} : { code }), refusal);
      const stranger = new TestMachine(t);
      cpSync(path.join(copy.folder, 'key'), path.join(stranger.folder, 'key'));
      await assert.rejects(stranger.attempt(gateway.port, code === undefined ? {} : { code }), refusal);
    }
    assert.deepEqual(await gateway.api('GET', '/v1/pending'), { pending: [] });
  },
);

test('killed before the gateway knew of it: done at the next connect', DEADLINE, async (t) => {
  const { machine, assertWell } = await setUp(t);
  const before = fingerprintOf(machine.keys.current);
  machine.keys.prepare();
  await assertWell();
  assert.notEqual(fingerprintOf(machine.keys.current), before);
});

test(
  'killed after the gateway had taken it, before the answer came: the next process finds out which key counts',
  DEADLINE,
  async (t) => {
    const { machine, id, connect, assertWell } = await setUp(t);
    const { keys, opened } = await connect();
    const next = keys.prepare();
    await request(opened, id, keys.current, next);
    await end(opened);
    assert.notEqual(machine.keys.next, undefined, 'as the killed process has left it');
    await assertWell();
    assert.equal(fingerprintOf(machine.keys.current), fingerprintOf(next));
    await assertWell();
  },
);

test('the gateway is killed at that moment: one of the two keys counts, and the node finds it', DEADLINE, async (t) => {
  const { gateway, id, connect, assertWell } = await setUp(t);
  const { keys, opened } = await connect();
  const asking = request(opened, id, keys.current, keys.prepare()).catch(() => 'lost');
  await gateway.stop();
  await asking;
  await gateway.start();
  await assertWell();
});

test(
  'refused while two machines seem to use the key, and the old key stays, until an operator has looked into it',
  DEADLINE,
  async (t) => {
    const { gateway, machine, node, connect } = await setUp(t);
    const copy = new TestMachine(t);
    cpSync(machine.folder, copy.folder, { recursive: true });
    await end((await connect()).opened);
    const thief = copy.keys;
    const { connector, opened } = await copy.attemptKeyed(gateway.port, thief);
    assert.ok('connection' in opened);
    thief.prepare();
    await assert.rejects(connector.rotate(opened), { code: 'conflict' });
    assert.equal(existsSync(path.join(copy.folder, 'key.next')), false);
    assert.equal((await node()).fingerprint, fingerprintOf(machine.keys.current));
    await end(opened);

    machine.keys.prepare();
    const mine = await connect();
    assert.equal(mine.keys.next, undefined, 'given up, and connected all the same');
    await gateway.api('POST', '/v1/nodes/web/reset');
    mine.keys.prepare();
    await mine.connector.rotate(mine.opened);
    await assert.rejects(copy.attempt(gateway.port), { code: 'key_revoked' });
  },
);

test(
  'no key comes in without both signatures, for this node and this gateway, nor one that is or was another node’s',
  DEADLINE,
  async (t) => {
    const { gateway, machine, node, id, connect } = await setUp(t);
    const other = new TestMachine(t);
    await end(await other.open(gateway.port, { code: await gateway.invite({ name: 'other' }) }));
    const { keys, opened } = await connect();
    const { current } = keys;
    const next = new TestMachine(t).keys.current;
    const { connection } = opened;
    const withKey = (publicKey: OwnIdentity, sign: OwnIdentity): OwnIdentity => ({
      ...sign,
      publicKey: publicKey.publicKey,
    });
    await assert.rejects(request(opened, 'another', current, next), { code: 'forbidden' });
    await assert.rejects(request(opened, id, withKey(current, next), next), { code: 'forbidden' });
    await assert.rejects(request(opened, id, current, withKey(next, current)), { code: 'forbidden' });
    await assert.rejects(
      request({ ...opened, connection: { ...connection, hostKey: Buffer.alloc(51) } }, id, current, next),
      {
        code: 'forbidden',
      },
    );
    await assert.rejects(request(opened, id, current, other.keys.current), { code: 'conflict' });
    assert.equal((await node()).fingerprint, fingerprintOf(machine.keys.current));

    await request(opened, id, current, next);
    const another = await other.open(gateway.port);
    await another.client.heartbeat(beat());
    const otherId = (await gateway.api<NodeDetailView>('GET', '/v1/nodes/other')).id;
    await assert.rejects(request(another, otherId, other.keys.current, current), { code: 'conflict' });
  },
);

test('the keys of a removed node are refused, whatever was rotated', DEADLINE, async (t) => {
  const { gateway, machine, connect } = await setUp(t);
  machine.keys.prepare();
  await end((await connect()).opened);
  await gateway.api('DELETE', '/v1/nodes/web');
  await assert.rejects(machine.attempt(gateway.port), { code: 'key_revoked', message: /removed/ });
});

test(
  'the signing key of the gateway: told with a heartbeat or a hello; a node that was away longer than the grace comes back',
  DEADLINE,
  async (t) => {
    const { gateway, machine, connect } = await setUp(t);
    const { opened } = await connect();
    const before = machine.state.current?.pairing?.signingKeys ?? [];
    assert.equal(before.length, 1);
    await gateway.api('POST', '/v1/gateway/rotate-key');
    const { signingKeys } = await opened.client.heartbeat(beat());
    assert.deepEqual(signingKeys?.slice(1), before, 'the new one, and the one before');
    assert.equal((await opened.client.heartbeat(beat())).signingKeys, undefined, 'said once');
    await end(opened);
    const again = await connect();
    assert.deepEqual(machine.state.current?.pairing?.signingKeys, signingKeys, 'told by the hello as well');
    await end(again.opened);

    await gateway.stop();
    const { token } = machine.state.current?.pairing ?? {};
    const retired = JSON.parse(readFileSync(gateway.paths.retiredSigningKeys, 'utf8')) as { retiredAt: number }[];
    assert.equal(retired.length, 1);
    await gateway.start({ clock: laterClock(72 * 3_600_000) });
    await connect();
    const after = machine.state.current?.pairing;
    assert.notEqual(after?.token, token, 'renewed over the same challenge');
    assert.deepEqual(after?.signingKeys, signingKeys?.slice(0, 1));
  },
);
