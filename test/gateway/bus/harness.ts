/** A bus on a real store, with tunnels to fake nodes, and time that a test turns. */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { isTerminal, type RunState } from '../../../src/domain/states.ts';
import { followJob } from '../../../src/gateway/api/job-stream.ts';
import { Bus } from '../../../src/gateway/bus/bus.ts';
import type { RunRecord } from '../../../src/gateway/bus/runs-table.ts';
import { Sessions } from '../../../src/gateway/nodes/sessions.ts';
import { Store } from '../../../src/gateway/store.ts';
import type { JobEvent, SubmitJobRequest } from '../../../src/protocol/job-messages.ts';
import { type Logger, silentLogger } from '../../../src/shared/logger.ts';
import { settle, until } from '../../support/deadline.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';
import { FakeNode } from './fake-node.ts';

export class TestBus {
  readonly clock = new FakeClock();
  readonly nodes = new Map<string, FakeNode>();
  /** Messages of errors that the bus has logged. */
  readonly errors: string[] = [];
  concurrency: number;
  readonly maxRunsInFlight: number;
  readonly maxOutputBytes: number;
  readonly #file: string;
  /** What the disk must keep of each file; undefined unless somebody wants to know. */
  #durable: [file: string, bytes: Buffer | undefined][] | undefined;
  store: Store;
  sessions: Sessions;
  bus: Bus;

  constructor(
    t: TestContext,
    { concurrency = 4, maxRunsInFlight = 1000, maxOutputBytes = 64 * 1024 * 1024, powerCuts = false } = {},
  ) {
    if (powerCuts) this.#durable = [];
    this.maxOutputBytes = maxOutputBytes;
    this.maxRunsInFlight = maxRunsInFlight;
    this.#file = path.join(tempFolder(t), 'fleet.db');
    this.concurrency = concurrency;
    [this.store, this.sessions, this.bus] = this.#open();
    this.bus.start();
    cleanUp(t, () => this.stop());
  }

  #open(): [Store, Sessions, Bus] {
    const { clock } = this;
    const logger: Logger = {
      ...silentLogger,
      error: (_facts, message) => void this.errors.push(message),
      child: () => logger,
    };
    const store = new Store(this.#file);
    if (this.#durable !== undefined) this.#watchDisk(store);
    const sessions = new Sessions({ store, clock, logger });
    const signTicket = (): string => 'ticket';
    const bus = new Bus({
      store,
      links: sessions,
      clock,
      logger,
      random: () => 0,
      concurrencyPerNode: this.concurrency,
      maxOutputBytes: this.maxOutputBytes,
      maxRunsInFlight: this.maxRunsInFlight,
      signTicket,
    });
    return [store, sessions, bus];
  }

  async addNode(name: string): Promise<FakeNode> {
    const node = new FakeNode(`id-${name}`, name, () => this.sessions);
    await this.store.write(() =>
      this.store.nodes.insert({
        id: node.id,
        name,
        publicKey: randomBytes(32),
        ownLabels: {},
        labels: {},
        facts: null as never,
        createdAt: 0,
      }),
    );
    this.nodes.set(name, node);
    return node;
  }

  async submit(names: string[], request: Partial<SubmitJobRequest> = {}): Promise<string> {
    const nodes = names.map((name) => this.store.nodes.byName(name)).filter((node) => node !== undefined);
    const full: SubmitJobRequest = { kind: 'shell', command: 'true', target: { node: names[0] ?? '' }, ...request };
    return (await this.bus.submit(full, nodes, names.join(','), 'test')).job.id;
  }

  /** {@link submit}, and the tunnel of `node` is gone when that is stored, before anything of it was sent. */
  async submitAndCut(node: FakeNode, names: string[], request: Partial<SubmitJobRequest> = {}): Promise<string> {
    const write = this.store.write.bind(this.store);
    this.store.write = (async (work: () => unknown) => {
      const stored = await write(work);
      node.cut();
      await settle();
      return stored;
    }) as typeof this.store.write;
    const job = await this.submit(names, request);
    this.store.write = write;
    return job;
  }

  run(job: string, index = 0): RunRecord {
    const run = this.store.runs.byId(`${job}.${index}`);
    if (run === undefined) throw new Error(`no run ${job}.${index}`);
    return run;
  }

  states(job: string): RunState[] {
    return this.store.runs.ofJob(job).map(({ state }) => state);
  }

  /** Turns the clock, in steps, so that whatever is retried is retried. */
  async untilState(job: string, state: RunState, index = 0, stepMs = 200): Promise<RunRecord> {
    await until(
      async () => {
        await this.clock.advance(stepMs);
        return this.run(job, index).state === state;
      },
      `${job}.${index} is ${state} (it is ${this.run(job, index).state}, ${this.run(job, index).reason})`,
    ).catch((error: Error) => {
      const { state: present, reason } = this.run(job, index);
      throw new Error(`${error.message}; now it is ${present} (${reason}); errors: ${this.errors}`);
    });
    return this.run(job, index);
  }

  async untilEnded(job: string): Promise<RunState[]> {
    await until(async () => {
      await this.clock.advance(200);
      return this.states(job).every(isTerminal);
    }, 'the end of the job');
    return this.states(job);
  }

  /** All events of the job, until it is done. */
  async follow(job: string, from: Record<string, number> = {}): Promise<JobEvent[]> {
    const events: JobEvent[] = [];
    const { signal } = new AbortController();
    for await (const event of followJob({ store: this.store, feed: this.bus.feed, jobId: job, from, signal }))
      events.push(event);
    return events;
  }

  cancel(job: string, reason = 'asked'): Promise<void> {
    return this.bus.cancel(
      this.store.runs.ofJob(job).filter(({ state }) => !isTerminal(state)),
      reason,
    );
  }

  /** The gateway's machine loses its power; another process takes up what its disk had to keep, and not a byte more. */
  async powerCut(): Promise<void> {
    const kept = this.#durable;
    this.#durable = undefined;
    await this.stop();
    for (const [file, bytes] of kept ?? []) {
      if (bytes === undefined) rmSync(file, { force: true });
      else writeFileSync(file, bytes);
    }
    this.#durable = kept;
    [this.store, this.sessions, this.bus] = this.#open();
    this.bus.start();
  }

  /** Remembers the files as they are after each write that must be durable. */
  #watchDisk(store: Store): void {
    const files = [this.#file, `${this.#file}-wal`];
    const remember = (): void => {
      if (this.#durable === undefined) return;
      this.#durable = files.map((file) => [file, existsSync(file) ? readFileSync(file) : undefined]);
    };
    const write = store.write.bind(store);
    const sync = store.sync.bind(store);
    store.write = (work) => write(work).finally(remember);
    store.sync = () => sync().finally(remember);
    remember();
  }

  async stop(): Promise<void> {
    await this.bus.close();
    for (const node of this.nodes.values()) node.close();
    await this.sessions.closeAll('stopped');
    await settle();
    this.store.close();
  }

  /** The gateway ends in order, and another process takes up its store. `between` may change that store. */
  async restart(between: (store: Store) => void = () => {}): Promise<void> {
    await this.stop();
    [this.store, this.sessions, this.bus] = this.#open();
    between(this.store);
    this.bus.start();
  }
}
