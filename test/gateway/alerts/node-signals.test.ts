import assert from 'node:assert/strict';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { NodeSignals } from '../../../src/gateway/alerts/node-signals.ts';
import { REPLACED_SESSION } from '../../../src/gateway/store/health-table.ts';
import { Store } from '../../../src/gateway/store/store.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';
import { disk } from '../health/healthy-heartbeat.ts';
import { FACTS } from '../identity/fixtures.ts';
import { healthy } from './fixtures.ts';

const NOW = Date.UTC(2026, 0, 10);
const HOUR_MS = 3_600_000;

function setUp(t: TestContext) {
  const store = new Store(path.join(tempFolder(t), 'fleet.db'));
  cleanUp(t, () => store.close());
  store.nodes.insert({
    id: 'n',
    name: 'n',
    publicKey: Buffer.alloc(32),
    ownLabels: {},
    labels: {},
    facts: FACTS,
    createdAt: 0,
  });
  const heard = { at: NOW };
  const signals = new NodeSignals({ store, monitor: { healthOf: () => healthy(heard.at) } });
  return { store, signals, heard };
}

test('a disk that fills: when, as the report says it; asked for again after a while', (t) => {
  const { store, signals } = setUp(t);
  for (let hour = 48; hour > 0; hour -= 1) {
    store.history.insertDisks('n', NOW - hour * HOUR_MS, [disk('/', 90 - hour / 2), disk('/still', 50)]);
  }
  const { diskFull } = signals.of('n', 0, NOW);
  assert.equal(diskFull?.mount, '/');
  const hours = ((diskFull?.fullAt ?? 0) - NOW) / HOUR_MS;
  assert.ok(hours > 18 && hours < 22, `${hours} h`);
  signals.retain(new Set());
  assert.deepEqual(signals.of('n', 0, NOW + HOUR_MS).diskFull?.mount, '/');
});

test('two machines with one key are told from a node that comes and goes', (t) => {
  const { store, signals } = setUp(t);
  const session = (at: number, reason: string) =>
    store.health.endSession(store.health.openSession('n', '192.0.2.1', at), at + 1, reason);
  for (let count = 0; count < 10; count += 1) session(NOW - 60_000, 'connection lost');
  for (let count = 0; count < 3; count += 1) session(NOW - 60_000, REPLACED_SESSION);
  assert.equal(signals.of('n', 13, NOW).hasClone, false);
  session(NOW - 1_000, REPLACED_SESSION);
  assert.equal(signals.of('n', 14, NOW).hasClone, true);
  assert.equal(signals.of('n', 14, NOW + HOUR_MS).hasClone, false, 'it was long ago');
});

test('a token that is refused is a problem until the node is heard again', (t) => {
  const { signals, heard } = setUp(t);
  assert.equal(signals.of('n', 0, NOW).hasTokenProblem, false);
  signals.tokenRefused('n', NOW + 1_000);
  assert.equal(signals.of('n', 0, NOW + 2_000).hasTokenProblem, true);
  heard.at = NOW + 5_000;
  assert.equal(signals.of('n', 0, NOW + 6_000).hasTokenProblem, false);
});
