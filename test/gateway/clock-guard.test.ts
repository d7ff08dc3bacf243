import assert from 'node:assert/strict';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { ClockGuard } from '../../src/gateway/clock-guard.ts';
import { EphemeralNodes } from '../../src/gateway/nodes/ephemeral-nodes.ts';
import { Store } from '../../src/gateway/store.ts';
import { type Logger, silentLogger } from '../../src/shared/logger.ts';
import { settle } from '../support/deadline.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { cleanUp, tempFolder } from '../support/temp-folder.ts';
import { testApi } from './api/harness.ts';
import { TestNode } from './identity/fixtures.ts';

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

class Machine {
  readonly clock = new FakeClock();
  readonly warnings: string[] = [];
  readonly moved: number[] = [];
  readonly store: Store;
  guard: ClockGuard | undefined;

  constructor(t: TestContext) {
    this.store = new Store(path.join(tempFolder(t), 'fleet.db'), { clock: this.clock });
    cleanUp(t, async () => {
      await this.guard?.close();
      this.store.close();
    });
  }

  /** Another process of the gateway. */
  async start(bootId = 'boot-1'): Promise<ClockGuard> {
    await this.guard?.close();
    const logger: Logger = { ...silentLogger, warn: (_facts, message) => void this.warnings.push(message) };
    const { store, clock } = this;
    this.guard = new ClockGuard({ store, clock, logger, bootId, onStep: (byMs) => this.moved.push(byMs) });
    await this.guard.start();
    return this.guard;
  }

  /** What is left of an invite and of a run's wait, ms. */
  async deadlines(): Promise<number[]> {
    const { store, clock } = this;
    return [
      ...store.invites.all().map(({ expiresAt }) => expiresAt - clock.now()),
      ...store.silences.active(0).map(({ until }) => until - clock.now()),
    ];
  }

  async addDeadlines(ms: number): Promise<void> {
    const now = this.clock.now();
    await this.store.write(() => {
      const invite = { secret: 's', name: null, role: 'node', labels: {}, ephemeral: false, usesLeft: 1 } as const;
      this.store.invites.insert({ ...invite, id: 'aaaa', createdAt: now, createdBy: 'ada', expiresAt: now + ms });
      const silence = { kind: 'rule', target: 'r', label: 'r', reason: null, createdBy: 'ada' } as const;
      this.store.silences.put({ ...silence, id: 'bbbb', until: now + ms, createdAt: now });
    });
  }
}

for (const days of [14, 400, -14]) {
  test(`a step of ${days} days leaves what was left of every deadline, and is reported`, async (t) => {
    const machine = new Machine(t);
    await machine.start();
    await machine.addDeadlines(10 * MINUTE_MS);
    machine.clock.jumpWall(days * DAY_MS);
    await machine.clock.advance(2_000);
    await settle();
    assert.deepEqual(await machine.deadlines(), [10 * MINUTE_MS - 2_000, 10 * MINUTE_MS - 2_000]);
    assert.deepEqual(machine.moved, [days * DAY_MS]);
    assert.equal(machine.warnings.length, 1);
    assert.match(JSON.stringify(machine.store.auditRows.after(0, 100)), /clock\.step/);
    // And back again, as whoever set it wrong does.
    machine.clock.jumpWall(-days * DAY_MS);
    await machine.clock.advance(2_000);
    await settle();
    assert.deepEqual(await machine.deadlines(), [10 * MINUTE_MS - 4_000, 10 * MINUTE_MS - 4_000]);
  });

  test(`the same when the clock is set by ${days} days while the gateway is down, the machine is not`, async (t) => {
    const machine = new Machine(t);
    await machine.start();
    await machine.addDeadlines(60 * MINUTE_MS);
    await machine.guard?.close();
    await machine.clock.advance(10 * MINUTE_MS);
    machine.clock.jumpWall(days * DAY_MS);
    await machine.start();
    assert.deepEqual(await machine.deadlines(), [50 * MINUTE_MS, 50 * MINUTE_MS]);
  });
}

test('time that passes is no step: neither awake, nor down', async (t) => {
  const machine = new Machine(t);
  await machine.start();
  await machine.addDeadlines(10 * MINUTE_MS);
  await machine.clock.advance(5 * MINUTE_MS);
  await machine.guard?.close();
  await machine.clock.advance(30 * DAY_MS);
  await machine.start();
  assert.deepEqual(machine.moved, []);
  assert.ok((await machine.deadlines()).every((leftMs) => leftMs < 0));
});

test('nothing is deleted for its age by a step ahead, until its age was counted again', async (t) => {
  const machine = new Machine(t);
  const guard = await machine.start();
  const kept = 30 * DAY_MS;
  const before = machine.clock.now();
  assert.equal(guard.cutoff(kept), before - kept);
  machine.clock.jumpWall(60 * DAY_MS);
  assert.equal(guard.cutoff(kept), 0, 'also before anybody else has noticed');
  await machine.clock.advance(29 * DAY_MS);
  assert.equal(guard.cutoff(kept), 0);
  const next = await machine.start();
  assert.equal(next.cutoff(kept), 0, 'also in the next process');
  await machine.clock.advance(DAY_MS);
  assert.ok(next.cutoff(kept) > before);
});

test('a clock that is far ahead after a boot is suspicious: deletions wait for a day', async (t) => {
  const machine = new Machine(t);
  await machine.start('boot-1');
  await machine.guard?.close();
  machine.clock.jumpWall(20 * DAY_MS);
  const guard = await machine.start('boot-2');
  assert.equal(guard.cutoff(DAY_MS), 0);
  assert.match(machine.warnings.join(), /down for long/);
  await machine.clock.advance(DAY_MS);
  assert.ok(guard.cutoff(DAY_MS) > 0);
});

test('a step of 14 days forgets no ephemeral node and expires no invite; the time that really passes does', async (t) => {
  const api = await testApi(t);
  const { store, clock } = api;
  const guard = new ClockGuard({ store, clock, logger: silentLogger, onStep: () => {}, bootId: 'b' });
  await guard.start();
  const sweep = new EphemeralNodes({ ...api, logger: silentLogger, graceMs: 60 * MINUTE_MS });
  const paired = await new TestNode(api, 'gone').pair({ code: await api.invite({ ephemeral: true }), name: 'gone' });
  assert.equal(paired.status, 'paired');
  const code = await api.invite({ ttlMs: 30 * MINUTE_MS });
  sweep.start();
  cleanUp(t, async () => {
    await sweep.close();
    await guard.close();
  });
  for (const days of [14, -14]) {
    clock.jumpWall(days * DAY_MS);
    await clock.advance(2 * MINUTE_MS);
    await settle();
    assert.deepEqual(store.nodes.names(), ['gone']);
  }
  assert.equal((await new TestNode(api, 'late').pair({ code, name: 'late' })).status, 'paired');
  await clock.advance(60 * MINUTE_MS);
  await settle();
  assert.deepEqual(store.nodes.names(), ['late']);
});

test('after a step back, what is signed for nodes is not over for those that know the former time', async (t) => {
  const machine = new Machine(t);
  const guard = await machine.start();
  machine.clock.jumpWall(-DAY_MS);
  assert.equal(guard.nodeTime(), machine.clock.now() + DAY_MS, 'also before anybody else has noticed');
  await machine.clock.advance(2_000);
  assert.equal(guard.nodeTime(), machine.clock.now() + DAY_MS);
  await machine.clock.advance(10 * MINUTE_MS);
  assert.equal(guard.nodeTime(), machine.clock.now());
});
