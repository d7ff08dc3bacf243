import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { ConnectEpochs, describeSuspicion } from '../../../src/gateway/identity/connect-epochs.ts';
import { Store } from '../../../src/gateway/store.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';

const NODE = { id: 'n1', name: 'web' };

async function setUp(t: TestContext) {
  const clock = new FakeClock();
  const store = new Store(path.join(tempFolder(t), 'fleet.db'));
  cleanUp(t, () => store.close());
  const insert = (id: string) =>
    store.write(() =>
      store.nodes.insert({
        id,
        name: id,
        publicKey: randomBytes(32),
        ownLabels: {},
        labels: {},
        facts: null,
        createdAt: 0,
      }),
    );
  await insert(NODE.id);
  const open = () => new ConnectEpochs({ store, clock, logger: silentLogger });
  return { clock, store, insert, open, epochs: open() };
}

/** A disk that remembers what the gateway said, and can be copied. */
class Machine {
  readonly #epochs: () => ConnectEpochs;
  readonly #store: Store;
  readonly hostname: string;
  readonly node: typeof NODE;
  disk: string | null = null;

  constructor(store: Store, epochs: () => ConnectEpochs, hostname = 'one', node = NODE) {
    this.#store = store;
    this.#epochs = epochs;
    this.hostname = hostname;
    this.node = node;
  }

  /** How far it gets: the answer may be lost, or the machine be killed before or after it has stored it. */
  async connect(reach: 'lost' | 'stored' | 'online' = 'online') {
    const who = { address: '192.0.2.1', hostname: this.hostname, machineId: null };
    const next = await this.#store.write(() => this.#epochs().advance(this.node, this.disk, who));
    if (reach !== 'lost') this.disk = next.epoch;
    if (reach === 'online') await this.#store.write(() => this.#epochs().confirm(this.node.id, next.epoch));
    return next;
  }

  copy(hostname: string): Machine {
    const copy = new Machine(this.#store, this.#epochs, hostname, this.node);
    copy.disk = this.disk;
    return copy;
  }
}

test('one machine is never suspected, wherever it is killed and whatever answer is lost', async (t) => {
  const { store, insert, open, epochs } = await setUp(t);
  let current = epochs;
  let n = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom('lost', 'stored', 'online', 'restart'), { maxLength: 20 }),
      async (steps) => {
        n += 1;
        const id = `m${n}`;
        await insert(id);
        const machine = new Machine(store, () => current, 'one', { id, name: id });
        for (const step of steps) {
          // A gateway that was killed knows what it has said.
          if (step === 'restart') current = open();
          else assert.equal((await machine.connect(step)).isSuspected, false, steps.join());
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('of two copies of a machine that was online, the second to connect is detected, whichever it is', async (t) => {
  const { store, insert, epochs } = await setUp(t);
  let n = 0;
  const reach = fc.constantFrom('lost', 'stored', 'online');
  await fc.assert(
    fc.asyncProperty(fc.array(reach, { maxLength: 4 }), fc.nat(3), fc.boolean(), async (before, later, copyFirst) => {
      n += 1;
      const id = `c${n}`;
      await insert(id);
      const machine = new Machine(store, () => epochs, 'one', { id, name: id });
      for (const step of before) await machine.connect(step as 'lost');
      await machine.connect('online');
      const pair = [machine, machine.copy('two')];
      const [first, second] = copyFirst ? pair.reverse() : pair;
      for (let count = 0; count <= later; count += 1) assert.equal((await first?.connect())?.isSuspected, false);
      const next = await second?.connect();
      assert.deepEqual([next?.isSuspected, next?.branch], [true, 1]);
    }),
    { numRuns: 60 },
  );
});

test('both machines are named, with first time, last time and count; a restart of the gateway forgets nothing', async (t) => {
  const { clock, store, epochs, open } = await setUp(t);
  const one = new Machine(store, () => epochs, 'one');
  await one.connect();
  const two = one.copy('two');
  clock.jumpWall(1000);
  const at = clock.now();
  await two.connect();
  clock.jumpWall(1000);
  await one.connect();
  await two.connect();
  for (const gateway of [epochs, open()]) {
    const suspicion = gateway.suspicionOf(NODE.id);
    assert.ok(suspicion);
    const { kind, since, count, late, before } = suspicion;
    assert.deepEqual([kind, since, count], ['behind', at + 1000, 2]);
    assert.deepEqual([before.hostname, late.hostname], ['one', 'two']);
    assert.match(describeSuspicion(suspicion), /one \(192\.0\.2\.1\) and two/);
  }
});

test('an epoch that is guessed, left out, or from another node is detected', async (t) => {
  const { store, insert, epochs } = await setUp(t);
  await insert('n2');
  const other = new Machine(store, () => epochs, 'x', { id: 'n2', name: 'n2' });
  await other.connect();
  const presented = (disk: string): [string | null, string][] => {
    const [count = '', random = ''] = disk.split('-');
    const next = Number(count) + 1;
    return [
      [null, 'missing'],
      [other.disk, 'behind'],
      [`${count}-${'0'.repeat(random.length)}`, 'behind'],
      [`${next}-${random}`, 'ahead'],
      [`${next}-${'0'.repeat(random.length)}`, 'ahead'],
      ['999999999999999-x', 'ahead'],
      [`${'9'.repeat(40)}-x`, 'behind'],
      ['', 'behind'],
    ];
  };
  for (let index = 0; index < presented('1-x').length; index += 1) {
    const machine = new Machine(store, () => epochs);
    machine.disk = store.epochs.get(NODE.id)?.confirmed ?? null;
    await machine.connect();
    await epochs.reset(NODE.id);
    const thief = machine.copy('thief');
    const [value, kind] = presented(machine.disk ?? '')[index] ?? [];
    thief.disk = value ?? null;
    await thief.connect();
    assert.equal(epochs.suspicionOf(NODE.id)?.kind, kind, String(value));
    assert.equal((await machine.connect()).isSuspected, true);
    await epochs.reset(NODE.id);
  }
});

test('after a reset the machine that connected last is expected; another copy is detected again', async (t) => {
  const { store, epochs } = await setUp(t);
  const machine = new Machine(store, () => epochs, 'restored');
  await machine.connect();
  const backup = machine.disk;
  await machine.connect();
  machine.disk = backup;
  const copy = machine.copy('thief');
  assert.equal((await machine.connect()).isSuspected, true);
  await epochs.reset(NODE.id);
  assert.equal(epochs.suspicionOf(NODE.id), undefined);
  assert.deepEqual((({ isSuspected, branch }) => [isSuspected, branch])(await machine.connect()), [false, 1]);
  assert.equal((await copy.connect()).isSuspected, true, 'the reset is no way in for a copy');
  assert.equal((await machine.connect()).isSuspected, true);
});
