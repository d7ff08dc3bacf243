import assert from 'node:assert/strict';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { resolveNodeConfig } from '../../src/node/config.ts';
import { FleetNode } from '../../src/node/node.ts';
import { Policy } from '../../src/node/policy/policy.ts';
import { NodeStateFile } from '../../src/node/tunnel/node-state.ts';
import { type InviteCode, parseInviteCode } from '../../src/protocol/pairing.ts';
import { systemClock } from '../../src/shared/clock.ts';
import { type NodePaths, nodePaths } from '../../src/shared/home.ts';
import { silentLogger } from '../../src/shared/logger.ts';
import { until, within } from '../support/deadline.ts';
import { cleanUp, tempFolder } from '../support/temp-folder.ts';
import { TestGateway } from './tunnel/real-gateway.ts';

const HOUR_MS = 3_600_000;

function createNode(t: TestContext, port: number, invite?: InviteCode, home = tempFolder(t)) {
  const paths = nodePaths(home, 'n');
  mkdirSync(paths.folder, { recursive: true, mode: 0o700 });
  const logger = silentLogger;
  const node = new FleetNode({
    profile: 'n',
    address: { host: '127.0.0.1', port },
    invite,
    name: 'web',
    nameRequired: false,
    config: resolveNodeConfig({}, {}, 'test'),
    policy: new Policy({
      initial: undefined,
      read: () => undefined,
      ownUser: '',
      homeFolder: path.sep,
      logger,
    }),
    paths,
    shimEntry: path.join(import.meta.dirname, '../../src/node/shim/main.ts'),
    clock: systemClock,
    logger,
    random: Math.random,
    onPending: () => {},
    onShutdownAsked: () => {},
  });
  cleanUp(t, () => node.close());
  return { node, paths, home };
}

async function startNode(t: TestContext, gateway: TestGateway) {
  const { node, paths, home } = createNode(t, gateway.port, parseInviteCode(await gateway.invite({ uses: 9 })));
  await node.start();
  return { node, home, token: () => new NodeStateFile(paths.state).current?.pairing?.token };
}

test('a token is renewed in the second half of its life, over the same tunnel', { timeout: 110_000 }, async (t) => {
  let laterMs = 0;
  const gateway = await new TestGateway(t).start({ clock: { ...systemClock, now: () => Date.now() + laterMs } });
  const { node, token } = await startNode(t, gateway);
  const first = token();
  laterMs = 11 * HOUR_MS;
  const gatewayNow = (): number => Date.now() - (node.status().skewMs ?? 0);
  const beatUntil = (condition: () => boolean, what: string) =>
    until(
      async () => {
        // Sends a heartbeat at once.
        node.reconnect();
        await new Promise((resolve) => setTimeout(resolve, 30));
        return condition();
      },
      what,
      60_000,
    );
  await beatUntil(() => gatewayNow() - Date.now() > 10 * HOUR_MS, 'the node to know the time');
  await beatUntil(() => node.status().state === 'online', 'another heartbeat');
  assert.equal(token(), first, 'in the first half it stays');
  laterMs = 13 * HOUR_MS;
  await beatUntil(() => token() !== first, 'the renewal');
  assert.equal(node.status().connects, 1);
  // The old one would be over now.
  laterMs = 25 * HOUR_MS;
  await beatUntil(() => gatewayNow() - Date.now() > 24 * HOUR_MS, 'the node to know the time');
  assert.deepEqual([node.status().state, node.status().connects], ['online', 1]);
});

test('a node that is closed while it starts ends, at whatever moment that is, and leaves nothing', {
  timeout: 110_000,
}, async (t) => {
  const atOnce = (): boolean => true;
  const withShim = ({ shimSocket }: NodePaths): boolean => existsSync(shimSocket);
  const withControl = ({ socket }: NodePaths): boolean => existsSync(socket);
  for (const moment of [atOnce, withShim, withControl]) {
    // Nobody listens there: without the close it would go on trying for ever.
    const { node, paths } = createNode(t, 1);
    const started = assert.rejects(node.start(), { code: 'not_running' });
    await until(() => moment(paths), moment.name, 30_000);
    await node.close();
    assert.equal(existsSync(paths.socket), false, `${moment.name}: the control socket`);
    await within(started, `${moment.name}: the end of the start`, 30_000);
    await until(() => !existsSync(paths.shimSocket), `${moment.name}: the end of the shim`, 30_000);
  }
});

for (const isRestarted of [false, true]) {
  const who = isRestarted ? 'a node that starts' : 'a running node';
  test(`${who} while the gateway has lost its database asks on, says so, and is what it was once that is back`, {
    timeout: 110_000,
  }, async (t) => {
    const gateway = await new TestGateway(t).start();
    let { node, home } = await startNode(t, gateway);
    const { id } = node.status();
    await gateway.stop();
    if (isRestarted) await node.close();
    renameSync(gateway.paths.database, `${gateway.paths.database}.away`);
    await gateway.start({ newDatabase: true });
    if (isRestarted) {
      node = createNode(t, gateway.port, undefined, home).node;
      node.start().catch(() => {});
    }
    const nudgeUntil = (condition: () => boolean, what: string) =>
      until(
        async () => {
          node.reconnect();
          await new Promise((resolve) => setTimeout(resolve, 100));
          return condition();
        },
        what,
        60_000,
      );
    await nudgeUntil(() => node.status().lastError?.code === 'not_paired', 'the node to hear that it is not known');
    const { state, pendingCode, lastError } = node.status();
    assert.equal(state, 'pending');
    assert.match(lastError?.hint ?? '', /fleet nodes pending/);
    const { pending } = await gateway.api<{ pending: { code: string }[] }>('GET', '/v1/pending');
    assert.deepEqual(
      [pendingCode],
      pending.map(({ code }) => code),
    );
    await gateway.stop();
    renameSync(`${gateway.paths.database}.away`, gateway.paths.database);
    await gateway.start();
    await nudgeUntil(() => node.status().state === 'online', 'the node to be back');
    assert.deepEqual([node.status().id, node.status().pendingCode, node.status().lastError], [id, null, null]);
    assert.equal((await gateway.api<{ clone: unknown }>('GET', '/v1/nodes/web')).clone, null);
  });
}

test('a node that a new database does not know is let in by approval, as another one of the same name', {
  timeout: 110_000,
}, async (t) => {
  const gateway = await new TestGateway(t).start();
  const { node } = await startNode(t, gateway);
  const { id } = node.status();
  await gateway.api('PATCH', '/v1/nodes/web', { name: 'shop' });
  await until(
    () => {
      node.reconnect();
      return node.status().name === 'shop';
    },
    'the new name',
    60_000,
  );
  await gateway.stop();
  renameSync(gateway.paths.database, `${gateway.paths.database}.away`);
  await gateway.start({ newDatabase: true });
  const state = async (wanted: string) =>
    await until(
      async () => {
        node.reconnect();
        await new Promise((resolve) => setTimeout(resolve, 100));
        return node.status().state === wanted;
      },
      wanted,
      60_000,
    );
  await state('pending');
  await gateway.api('POST', '/v1/pending/shop', { decision: 'approve' });
  await state('online');
  assert.notEqual(node.status().id, id);
});

test('a node that was removed ends for good, also with a code that is still good; a new start with one brings it back', {
  timeout: 110_000,
}, async (t) => {
  const gateway = await new TestGateway(t).start();
  const { node, home } = await startNode(t, gateway);
  await gateway.api('DELETE', '/v1/nodes/web');
  assert.equal((await within(node.ended, 'the end of the node', 60_000))?.code, 'key_revoked');
  await node.close();
  await assert.rejects(createNode(t, gateway.port, undefined, home).node.start(), { code: 'key_revoked' });
  const again = createNode(t, gateway.port, parseInviteCode(await gateway.invite()), home).node;
  await again.start();
  assert.equal(again.status().name, 'web');
});
