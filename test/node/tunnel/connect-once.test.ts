import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import type { NodeDetailView, PendingView } from '../../../src/protocol/views.ts';
import { until, within } from '../../support/deadline.ts';
import { beat, end, skewedClock, slowLine, TestGateway, TestMachine } from './real-gateway.ts';

const DAY_MS = 86_400_000;

test('with a code: paired, at once over a connection that may offer the forward, online with the first heartbeat', async (t) => {
  const gateway = await new TestGateway(t).start();
  const machine = new TestMachine(t);
  const tunnel = await machine.open(gateway.port, { code: await gateway.invite({ name: 'prod-1' }) });
  assert.equal(tunnel.hello.name, 'prod-1');
  assert.equal(machine.state.current?.pairing?.name, 'prod-1');
  assert.equal(Buffer.from(machine.state.current?.hostKey ?? '', 'base64').equals(tunnel.connection.hostKey), true);
  const answer = await tunnel.client.heartbeat(beat());
  assert.ok(answer.rttMs >= 0);
  assert.equal(await gateway.statusOf('prod-1'), 'online');
  const second = await machine.open(gateway.port);
  assert.equal(second.hello.id, tunnel.hello.id, 'the next time without a code');
});

test('without a code: waits with the same code across requests and restarts, and is online once approved', async (t) => {
  const gateway = await new TestGateway(t).start();
  const machine = new TestMachine(t);
  const codes = new Set<string>();
  for (let n = 0; n < 3; n += 1) {
    const result = await machine.attempt(gateway.port);
    assert.ok('pendingCode' in result);
    codes.add(result.pendingCode);
  }
  const { pending } = await gateway.api<{ pending: PendingView[] }>('GET', '/v1/pending');
  assert.deepEqual(
    [...codes],
    pending.map(({ code }) => code),
  );
  assert.equal(machine.state.current?.pairing, undefined);
  await gateway.api('POST', `/v1/pending/${[...codes][0]}`, { decision: 'approve', name: 'approved' });
  assert.equal((await machine.open(gateway.port)).hello.name, 'approved');
  assert.equal(machine.state.current?.pendingCode, undefined);
});

test('rejected: reported as permanent', async (t) => {
  const gateway = await new TestGateway(t).start();
  const machine = new TestMachine(t);
  await machine.attempt(gateway.port);
  await gateway.api('POST', '/v1/pending/web', { decision: 'reject' });
  await assert.rejects(machine.attempt(gateway.port), { code: 'pairing_rejected', retryable: false });
});

test('a gateway that restarts while a machine waits generates a new code, which both sides show', async (t) => {
  const gateway = await new TestGateway(t).start();
  const machine = new TestMachine(t);
  const first = await machine.attempt(gateway.port);
  await gateway.stop();
  await gateway.start();
  const second = await machine.attempt(gateway.port);
  assert.ok('pendingCode' in first && 'pendingCode' in second);
  assert.notEqual(second.pendingCode, first.pendingCode);
  const { pending } = await gateway.api<{ pending: PendingView[] }>('GET', '/v1/pending');
  assert.equal(pending[0]?.code, second.pendingCode);
});

test('a lost answer to an approval request does not make the gateway look like an impostor', async (t) => {
  const gateway = await new TestGateway(t).start();
  const machine = new TestMachine(t);
  const line = await slowLine(t, gateway.port, 40);
  const lost = machine.attempt(line.port);
  const refused = assert.rejects(lost, { retryable: true });
  const waiting = async () => (await gateway.api<{ pending: PendingView[] }>('GET', '/v1/pending')).pending;
  await until(async () => (await waiting()).length === 1, 'the question');
  line.cut();
  await refused;
  const again = await machine.attempt(line.port);
  assert.ok('pendingCode' in again);
  assert.equal(again.pendingCode, (await waiting())[0]?.code);
});

test('the same if the lost answer had a new code, because the request had changed', async (t) => {
  const gateway = await new TestGateway(t).start();
  const machine = new TestMachine(t);
  const first = await machine.attempt(gateway.port);
  const waiting = async () => (await gateway.api<{ pending: PendingView[] }>('GET', '/v1/pending')).pending[0]?.code;
  const line = await slowLine(t, gateway.port, 40);
  const { state } = machine;
  const refused = assert.rejects(machine.attempt(line.port, { name: 'other', state }), { retryable: true });
  assert.ok('pendingCode' in first);
  await until(async () => (await waiting()) !== first.pendingCode, 'the question');
  line.cut();
  await refused;
  const again = await machine.attempt(line.port, { name: 'other', state });
  assert.ok('pendingCode' in again);
  assert.equal(again.pendingCode, await waiting());
});

test('if the answer that it is paired is lost, the same code still lets the same machine in', async (t) => {
  const gateway = await new TestGateway(t).start();
  const machine = new TestMachine(t);
  const line = await slowLine(t, gateway.port, 40);
  const code = await gateway.invite();
  const refused = assert.rejects(machine.attempt(line.port, { code }), { retryable: true });
  await until(
    async () => (await gateway.api<{ nodes: unknown[] }>('GET', '/v1/nodes')).nodes.length === 1,
    'the pairing',
  );
  line.cut();
  await refused;
  assert.equal(machine.state.current?.pairing, undefined);
  const tunnel = await machine.open(line.port, { code });
  assert.equal(tunnel.hello.name, 'web');
  await assert.rejects(new TestMachine(t).attempt(gateway.port, { code }), { code: 'invite_invalid' });
});

test('revoked: cut at once, and told why on the next attempt', async (t) => {
  const gateway = await new TestGateway(t).start();
  const machine = new TestMachine(t);
  const tunnel = await machine.open(gateway.port, { code: await gateway.invite() });
  await tunnel.client.heartbeat(beat());
  await gateway.api('POST', '/v1/nodes/web/revoke');
  await within(tunnel.connection.closed, 'the cut');
  for (const code of [undefined, await gateway.invite()]) {
    await assert.rejects(machine.attempt(gateway.port, code === undefined ? {} : { code }), {
      code: 'key_revoked',
      retryable: false,
    });
  }
});

test('removed: refused for good, and not noted as a stranger who waits, however old its token is; a new code lets it in', async (t) => {
  for (const laterMs of [0, 13 * 3_600_000, 30 * 3_600_000]) {
    const gateway = await new TestGateway(t).start();
    const machine = new TestMachine(t);
    await end(await machine.open(gateway.port, { code: await gateway.invite() }));
    await gateway.api('DELETE', '/v1/nodes/web');
    await gateway.stop();
    await gateway.start({ clock: skewedClock(laterMs) });
    await assert.rejects(machine.attempt(gateway.port, { clock: skewedClock(laterMs) }), {
      code: 'key_revoked',
      message: /was removed/,
      retryable: false,
    });
    assert.deepEqual(await gateway.api('GET', '/v1/pending'), { pending: [] });
    const tunnel = await machine.open(gateway.port, { code: await gateway.invite(), pairAgain: true });
    assert.equal(tunnel.hello.name, 'web');
  }
});

test('another host key behind the same address is refused before anything is said; another gateway is called that', async (t) => {
  const gateway = await new TestGateway(t).start();
  const machine = new TestMachine(t);
  await end(await machine.open(gateway.port, { code: await gateway.invite() }));
  const other = await new TestGateway(t).start();
  await assert.rejects(machine.attempt(other.port), { code: 'wrong_gateway', retryable: false });
  await gateway.stop();
  rmSync(gateway.paths.hostKey);
  await gateway.start();
  await assert.rejects(machine.attempt(gateway.port), { code: 'host_key_changed', retryable: false });
  assert.equal(machine.state.current?.pairing?.name, 'web', 'the pairing is kept');
});

test('a waiting machine accepts only the host key that its code was made from', async (t) => {
  const gateway = await new TestGateway(t).start();
  const machine = new TestMachine(t);
  await machine.attempt(gateway.port);
  await gateway.stop();
  rmSync(gateway.paths.hostKey);
  await gateway.start();
  await assert.rejects(machine.attempt(gateway.port), { code: 'host_key_changed' });
});

test('a gateway that restarts on its port takes its node back; while it is away, the attempt says so', async (t) => {
  const gateway = await new TestGateway(t).start();
  const machine = new TestMachine(t);
  const tunnel = await machine.open(gateway.port, { code: await gateway.invite() });
  await gateway.stop();
  await within(tunnel.connection.closed, 'the end of the tunnel');
  await assert.rejects(machine.attempt(gateway.port), { code: 'gateway_unreachable', retryable: true });
  await gateway.start();
  const again = await machine.open(gateway.port);
  await again.client.heartbeat(beat());
  assert.equal(await gateway.statusOf('web'), 'online');
});

test('a gateway that has lost its signing key issues a new token and sends the new key', async (t) => {
  const gateway = await new TestGateway(t).start();
  const machine = new TestMachine(t);
  await end(await machine.open(gateway.port, { code: await gateway.invite() }));
  const before = machine.state.current?.pairing?.signingKeys;
  await gateway.stop();
  rmSync(gateway.paths.signingKey);
  await gateway.start();
  await machine.open(gateway.port);
  assert.notDeepEqual(machine.state.current?.pairing?.signingKeys, before);
});

test('a second connection of the same key takes the place of the first', async (t) => {
  const gateway = await new TestGateway(t).start();
  const machine = new TestMachine(t);
  const first = await machine.open(gateway.port, { code: await gateway.invite() });
  await first.client.heartbeat(beat());
  const second = await machine.open(gateway.port);
  await within(first.connection.closed, 'the end of the first');
  await second.client.heartbeat(beat());
  assert.equal(await gateway.statusOf('web'), 'online');
  await assert.rejects(first.client.heartbeat(beat()), { retryable: true });
});

for (const skewMs of [0, -DAY_MS, DAY_MS, -400 * DAY_MS]) {
  test(`a node whose clock is wrong by ${skewMs / DAY_MS} days pairs, connects, and renews a token that is over`, async (t) => {
    const clock = skewedClock(skewMs);
    const gateway = await new TestGateway(t).start();
    const machine = new TestMachine(t);
    await end(await machine.open(gateway.port, { code: await gateway.invite(), clock }));
    const token = machine.state.current?.pairing?.token;
    await end(await machine.open(gateway.port, { clock }));
    await gateway.stop();
    // The machine was off for two days, and its clock stood still.
    await gateway.start({ clock: skewedClock(2 * DAY_MS) });
    const tunnel = await machine.open(gateway.port, { clock });
    await tunnel.client.heartbeat(beat());
    assert.notEqual(machine.state.current?.pairing?.token, token);
  });
}

test('a code that is mistyped, and a code of another gateway', async (t) => {
  const gateway = await new TestGateway(t).start();
  const other = await new TestGateway(t).start();
  const machine = new TestMachine(t);
  const code = await gateway.invite();
  const wrong = code.slice(0, -1) + (code.endsWith('0') ? '1' : '0');
  await assert.rejects(machine.attempt(gateway.port, { code: wrong }), {
    code: 'gateway_not_proven',
    retryable: false,
  });
  await assert.rejects(machine.attempt(other.port, { code }), { code: 'invite_invalid', retryable: false });
  assert.equal(machine.state.current, undefined, 'nothing is pinned by an attempt that failed');
  assert.equal((await machine.open(gateway.port, { code })).hello.name, 'web');
});

test('an abort ends an attempt in whatever it does', async (t) => {
  const gateway = await new TestGateway(t).start();
  const line = await slowLine(t, gateway.port, 30);
  for (const afterMs of [0, 20, 100, 180]) {
    const controller = new AbortController();
    const attempt = new TestMachine(t).attempt(line.port, { signal: controller.signal });
    setTimeout(() => controller.abort(), afterMs);
    await within(assert.rejects(attempt, { code: 'connection_lost' }), `abort after ${afterMs} ms`);
  }
});

test('strangers that connect keep no node out', async (t) => {
  const gateway = await new TestGateway(t).start();
  const strangers = [...Array(10)].map(() => connect(gateway.port, '127.0.0.1'));
  for (const stranger of strangers) stranger.on('error', () => {}).write('GET / HTTP/1.1\r\n\r\n');
  const tunnel = await new TestMachine(t).open(gateway.port, { code: await gateway.invite() });
  assert.equal(tunnel.hello.name, 'web');
  for (const stranger of strangers) stranger.destroy();
});

test('a gateway with another host key: a node that forgets its state pairs anew with its key, and is the same node', async (t) => {
  const gateway = await new TestGateway(t).start();
  const machine = new TestMachine(t);
  const first = await machine.open(gateway.port, { code: await gateway.invite() });
  await first.client.heartbeat(beat());
  await end(first);
  const id = machine.state.current?.pairing?.id;
  await gateway.stop();
  rmSync(gateway.paths.hostKey);
  await gateway.start();
  await assert.rejects(machine.attempt(gateway.port), { code: 'host_key_changed' });
  rmSync(path.join(machine.folder, 'state.json'));
  await machine.open(gateway.port, { code: await gateway.invite() });
  assert.equal(machine.state.current?.pairing?.id, id);
  // A copy of a key without its state looks the same, so an operator has to say that it is well.
  const { clone } = await gateway.api<NodeDetailView>('GET', '/v1/nodes/web');
  assert.equal(clone?.kind, 'missing');
});
