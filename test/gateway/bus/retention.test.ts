import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import Database from 'better-sqlite3';
import { createJobRetention } from '../../../src/gateway/bus/retention.ts';
import { STEP_BYTES, STEP_ROWS } from '../../../src/gateway/store/housekeeping.ts';
import { Store } from '../../../src/gateway/store.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { until } from '../../support/deadline.ts';
import { agesOf, FakeClock } from '../../support/fake-clock.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';

const DAY_MS = 86_400_000;
const RETENTION_MS = 30 * DAY_MS;

interface Shape {
  createdAt: number;
  /** One run each; null is one that goes on. */
  ends: (number | null)[];
  /** Chunks of each run's log, bytes. */
  log?: number[];
}

class TestStore {
  readonly file: string;
  readonly store: Store;
  readonly clock = new FakeClock();
  readonly steps: { rows: number; bytes: number }[] = [];
  #jobs = 0;

  constructor(t: TestContext) {
    this.file = path.join(tempFolder(t), 'fleet.db');
    this.store = new Store(this.file);
    const { store, clock, steps } = this;
    cleanUp(t, () => store.close());
    const deleteStep = store.retention.deleteStep.bind(store.retention);
    store.retention.deleteStep = (before, now) => {
      const step = deleteStep(before, now);
      steps.push(step);
      return step;
    };
    const retention = createJobRetention({
      ages: agesOf(clock),
      store,
      clock,
      logger: silentLogger,
      retentionMs: RETENTION_MS,
    });
    retention.start?.();
    cleanUp(t, () => retention.close?.());
  }

  /** Adds a job that did not have to go through the bus. */
  add({ createdAt, ends, log = [] }: Shape): string {
    this.#jobs += 1;
    const id = String(this.#jobs).padStart(12, '0');
    const { jobs, runs } = this.store;
    const common = { kind: 'shell', command: 'c', options: {}, target: 't', createdBy: 'x' } as const;
    const { seq: jobSeq } = jobs.insert({ id, ...common, createdAt, idempotencyKey: null });
    ends.forEach((endedAt, index) => {
      const run = `${id}.${index}`;
      runs.insert({ jobSeq, jobId: id, index, nodeId: 'n', nodeName: 'n', queuedAt: createdAt, expiresAt: null });
      runs.move(run, 'delivered');
      for (const bytes of log) {
        const { seq, logBytes } = runs.byId(run) ?? { seq: 0, logBytes: 0 };
        assert.ok(runs.appendLog({ seq }, logBytes, Buffer.alloc(bytes, 'x'), bytes, 0));
      }
      if (endedAt !== null) runs.move(run, 'exited', { exitCode: 0, endedAt });
    });
    return id;
  }

  has(job: string): boolean {
    return this.store.jobs.byId(job) !== undefined;
  }

  /** Turns the clock through one look for old jobs, to its end. */
  async look(): Promise<void> {
    await this.clock.advance(10 * 60_000);
    await until(async () => {
      await this.clock.advance(30);
      const last = this.steps.at(-1);
      return last !== undefined && last.rows === 0;
    }, 'the end of the look');
  }
}

test('a job goes when the last of its runs ended before the time; one that goes on stays, however old', async (t) => {
  const world = new TestStore(t);
  const now = world.clock.now();
  const old = now - RETENTION_MS - DAY_MS;
  const fresh = now - RETENTION_MS + DAY_MS;
  const [gone, empty, future] = [
    world.add({ createdAt: old, ends: [old, old], log: [10, 10] }),
    world.add({ createdAt: old, ends: [] }),
    // What a hostile node may say about its end.
    world.add({ createdAt: old, ends: [8e15] }),
  ];
  const kept = [
    world.add({ createdAt: old, ends: [old, fresh], log: [10] }),
    world.add({ createdAt: old, ends: [old, null] }),
    world.add({ createdAt: fresh, ends: [fresh] }),
    world.add({ createdAt: old, ends: [now + 3_600_000] }),
  ];
  await world.look();
  assert.deepEqual(
    [gone, empty, future].filter((job) => world.has(job)),
    [],
  );
  assert.equal(world.store.runs.byId(`${gone}.0`), undefined);
  assert.deepEqual(
    kept.filter((job) => !world.has(job)),
    [],
  );
  assert.equal(world.store.runs.readLog(world.store.runs.byId(`${kept[0]}.0`)?.seq ?? 0, 0).length, 10);

  await world.clock.advance(3 * DAY_MS);
  await world.look();
  assert.deepEqual(
    kept.map((job) => world.has(job)),
    [false, true, false, true],
  );
});

test('thousands of jobs and large logs go in small steps, and what comes in between is served', async (t) => {
  const world = new TestStore(t);
  const { store, clock, steps } = world;
  const old = clock.now() - RETENTION_MS - DAY_MS;
  await store.write(() => {
    for (let job = 0; job < 3_000; job += 1) world.add({ createdAt: old, ends: [old], log: [100] });
    for (let job = 0; job < 2; job += 1) {
      world.add({ createdAt: old, ends: [old, old], log: Array<number>(16).fill(1024 * 1024) });
    }
    world.add({ createdAt: old, ends: Array<number>(1_500).fill(old) });
  });
  const fullBytes = statSync(`${world.file}-wal`).size + statSync(world.file).size;
  assert.ok(fullBytes > 64 * 1024 * 1024);
  await clock.advance(60_000);
  await until(() => steps.length > 0, 'the first step');
  const between = await store.write(() => world.add({ createdAt: clock.now(), ends: [clock.now()] }));
  assert.ok(store.jobs.list({ since: 0, limit: 10_000 }).length > 1_000, 'others are served while it goes on');
  await world.look();

  const rows = steps.reduce((sum, step) => sum + step.rows, 0);
  const bytes = steps.reduce((sum, step) => sum + step.bytes, 0);
  assert.equal(rows, 3_000 * 3 + 2 * (1 + 2 + 32) + 1 + 1_500);
  assert.equal(bytes, 3_000 * 100 + 64 * 1024 * 1024);
  assert.ok(Math.max(...steps.map((step) => step.rows)) <= STEP_ROWS);
  assert.ok(Math.max(...steps.map((step) => step.bytes)) <= STEP_BYTES + 1024 * 1024);
  assert.deepEqual(
    store.jobs.list({ since: 0, limit: 10_000 }).map(({ id }) => id),
    [between],
  );

  await until(async () => {
    await clock.advance(30);
    return !store.retention.shrinkStep();
  }, 'the space to be given back');
  store.close();
  // What is left are the rows of the audit log on the ends of 4,500 runs.
  assert.ok(statSync(world.file).size < 4 * 1024 * 1024, `${statSync(world.file).size} bytes are left`);
});

test('a file that was made without auto_vacuum keeps its free pages for what comes, and is left in peace', (t) => {
  const file = path.join(tempFolder(t), 'old.db');
  const old = new Database(file);
  old.exec('CREATE TABLE x (bytes BLOB); INSERT INTO x VALUES (zeroblob(1000000)); DROP TABLE x');
  assert.ok(Number(old.pragma('freelist_count', { simple: true })) > 100);
  old.close();
  const store = new Store(file);
  cleanUp(t, () => store.close());
  assert.equal(store.retention.shrinkStep(), false);
});

test('a reader who comes while a job is being deleted sees a prefix of its output, said to be truncated', async (t) => {
  const world = new TestStore(t);
  const { store, clock } = world;
  const old = clock.now() - RETENTION_MS - DAY_MS;
  const job = world.add({ createdAt: old, ends: [old], log: Array<number>(20).fill(1024 * 1024) });
  await store.write(() => store.retention.deleteStep(clock.now() - RETENTION_MS, clock.now()));
  const run = store.runs.byId(`${job}.0`);
  assert.ok(run);
  assert.deepEqual([run.logBytes, run.droppedBytes > 0], [0, true]);
  assert.ok(store.runs.readLog(run.seq, 0).equals(Buffer.alloc(1024 * 1024, 'x')));
});

test('a fault is told, and does not end the looking', async (t) => {
  const world = new TestStore(t);
  const { store, clock } = world;
  const old = clock.now() - RETENTION_MS - DAY_MS;
  const job = world.add({ createdAt: old, ends: [old] });
  const { deleteStep } = store.retention;
  let faults = 0;
  store.retention.deleteStep = () => {
    faults += 1;
    throw new Error('disk');
  };
  await clock.advance(61_000);
  await until(() => faults === 1, 'the fault');
  store.retention.deleteStep = deleteStep;
  await world.look();
  assert.equal(world.has(job), false);
});
