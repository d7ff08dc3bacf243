import assert from 'node:assert/strict';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { CloneSuspicion } from '../../../../src/gateway/identity/tables.ts';
import { NodeSignals } from '../../../../src/gateway/monitoring/alerts/node-signals.ts';
import { Store } from '../../../../src/gateway/store.ts';
import { cleanUp, tempFolder } from '../../../support/temp-folder.ts';
import { FACTS } from '../../identity/fixtures.ts';
import { disk } from '../judge/healthy-heartbeat.ts';
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
  const suspects = new Set<string>();
  const sighting = { address: '192.0.2.1', hostname: 'h', machineId: null, at: 0 };
  const suspicion: CloneSuspicion = { kind: 'behind', since: 0, count: 1, late: sighting, before: sighting };
  const epochs = { suspicionOf: (id: string) => (suspects.has(id) ? suspicion : undefined) };
  const signals = new NodeSignals({ store, monitor: { healthOf: () => healthy(heard.at) }, epochs });
  const factsAt = (now: number) => signals.factsOf('n', healthy(heard.at), now);
  return { store, signals, factsAt, heard, suspects };
}

test('a disk that fills: forecast as in the report, refreshed after a while', (t) => {
  const { store, signals, factsAt } = setUp(t);
  for (let hour = 48; hour > 0; hour -= 1) {
    store.history.disks.insert('n', NOW - hour * HOUR_MS, [disk('/', 90 - hour / 2), disk('/still', 50)]);
  }
  const { diskFull } = factsAt(NOW);
  assert.equal(diskFull?.mount, '/');
  const hours = ((diskFull?.fullAt ?? 0) - NOW) / HOUR_MS;
  assert.ok(hours > 18 && hours < 22, `${hours} h`);
  signals.retain(new Set());
  assert.deepEqual(factsAt(NOW + HOUR_MS).diskFull?.mount, '/');
});

test('two machines with one key, until an operator resolves it', (t) => {
  const { factsAt, suspects } = setUp(t);
  assert.equal(factsAt(NOW).hasClone, false);
  suspects.add('n');
  assert.equal(factsAt(NOW).hasClone, true);
  suspects.clear();
  assert.equal(factsAt(NOW).hasClone, false);
});

test('a refused token is a problem until the gateway accepts something from the node', (t) => {
  const { signals, factsAt, heard } = setUp(t);
  assert.equal(factsAt(NOW).hasTokenProblem, false);
  signals.tokenRefused('n', NOW + 1_000);
  assert.equal(factsAt(NOW + 2_000).hasTokenProblem, true);
  heard.at = NOW + 5_000;
  assert.equal(factsAt(NOW + 6_000).hasTokenProblem, false);
});
