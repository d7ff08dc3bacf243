/** A gateway and nodes behind a bad network, and the faults that befall them. */
import { FleetWorld, findShims, kill9, type Service, until } from '../fleet-processes.ts';
import type { SeededRandom } from './seeded-random.ts';
import { TcpProxy } from './tcp-proxy.ts';

/** Longest absence of a service that was killed, ms. */
const MAX_ABSENCE_MS = 1200;
/** Longest time between two faults, ms. */
const MAX_CALM_MS = 600;
/** How long a stalled connection stands still, ms. */
const STALL_MS = 1000;
/** A node that was cut off again and again waits longer and longer; it is told to try at once with this probability, per fault. */
const HURRY_PROBABILITY = 0.4;
/** A process that is older has surely installed its handlers of signals, ms. */
const GROWN_UP_MS = 3000;
/** The storm holds its breath while a service has been trying to come back for so long, ms: on a slow machine it would never get there. */
const PATIENCE_MS = 20_000;
/** How long a node may take to be online while everything breaks, ms. */
const ONLINE_DEADLINE_MS = 180_000;

export interface FaultCounts {
  gatewayKills: number;
  nodeKills: number;
  shimKills: number;
  cuts: number;
  stalls: number;
}

export class ChaosFleet {
  readonly world: FleetWorld;
  readonly counts: FaultCounts = { gatewayKills: 0, nodeKills: 0, shimKills: 0, cuts: 0, stalls: 0 };
  /** When the process that runs a node's commands was killed, ms since the epoch: only that may lose an exit code or output. */
  readonly shimKills: { node: string; at: number }[] = [];
  /** What went wrong with the services themselves. */
  readonly faults: string[] = [];
  readonly #proxy: TcpProxy;
  readonly #nodes = new Map<string, Service>();
  readonly #spawnedAt = new Map<string, number>();
  readonly #expectedToEnd = new WeakSet<Service>();
  /** Services on their way back, by name. */
  readonly #returning = new Map<string, Promise<void>>();
  readonly #awaySince = new Map<string, number>();
  #proxyPort = 0;

  private constructor(world: FleetWorld) {
    this.world = world;
    this.#proxy = new TcpProxy(() => world.port);
  }

  static async start(names: readonly string[]): Promise<ChaosFleet> {
    const fleet = new ChaosFleet(await FleetWorld.create());
    try {
      fleet.#watch('gateway', await fleet.world.startGateway());
      fleet.#proxyPort = await fleet.#proxy.start();
      for (const name of names) {
        const { code } = await fleet.world.json<{ code: string }>(['invite', '--name', name, '--json']);
        await fleet.#ready(name, fleet.#spawnNode(name, '--code', code));
      }
      return fleet;
    } catch (error) {
      await fleet.close();
      throw error;
    }
  }

  /** Faults at random, until the signal aborts. */
  async storm(random: SeededRandom, options: { nodeKills: boolean; signal: AbortSignal }): Promise<void> {
    const kinds = ['cut', 'cut', 'cut', 'stall', 'gateway', options.nodeKills ? 'node' : 'cut'] as const;
    while (!options.signal.aborted) {
      await pause(random.int(50, MAX_CALM_MS), options.signal);
      if (options.signal.aborted) return;
      if (random.chance(HURRY_PROBABILITY)) this.hurry();
      if ([...this.#awaySince.values()].some((since) => Date.now() - since > PATIENCE_MS)) continue;
      const all = random.chance(0.3);
      const chosen = (): boolean => all || random.chance(0.5);
      switch (random.pick(kinds)) {
        case 'cut':
          this.counts.cuts += this.#proxy.cut(chosen);
          break;
        case 'stall':
          this.counts.stalls += this.#proxy.stall(chosen, STALL_MS, random.pick(['resume', 'cut']));
          break;
        case 'gateway':
          this.#kill('gateway', this.world.gateway, random.int(0, MAX_ABSENCE_MS));
          break;
        case 'node': {
          const [first, ...others] = this.#nodes.keys();
          if (first !== undefined) {
            const name = random.pick([first, ...others]);
            const victim = random.pick(['node', 'node', 'node', 'shim', 'both'] as const);
            if (victim !== 'node') await this.#killShim(name);
            if (victim === 'shim') break;
            this.#kill(name, this.#nodes.get(name), random.int(0, MAX_ABSENCE_MS));
          }
          break;
        }
      }
    }
  }

  /** Resolves when every service that was killed is up again. */
  async calm(): Promise<void> {
    await Promise.all(this.#returning.values());
  }

  /** Lets every node that waits for its next attempt make it now. */
  hurry(): void {
    for (const [name, { child }] of this.#nodes) {
      if (Date.now() - (this.#spawnedAt.get(name) ?? 0) >= GROWN_UP_MS) child.kill('SIGHUP');
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#returning.values());
    for (const service of [this.world.gateway, ...this.#nodes.values()]) {
      if (service !== undefined) this.#expectedToEnd.add(service);
    }
    await this.#proxy.close();
    await this.world.close();
  }

  #kill(name: string, service: Service | undefined, absenceMs: number): void {
    if (service === undefined || this.#returning.has(name)) return;
    this.#expectedToEnd.add(service);
    if (name === 'gateway') this.counts.gatewayKills += 1;
    else this.counts.nodeKills += 1;
    const back = this.#comeBack(name, service, absenceMs)
      .catch((error: unknown) => {
        this.faults.push(`${name} did not come back: ${error}`);
      })
      .finally(() => {
        this.#returning.delete(name);
        this.#awaySince.delete(name);
      });
    this.#awaySince.set(name, Date.now());
    this.#returning.set(name, back);
  }

  async #killShim(name: string): Promise<void> {
    for (const pid of await findShims(this.world.nodeHome(name))) {
      this.counts.shimKills += 1;
      this.shimKills.push({ node: name, at: Date.now() });
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended by itself in the meantime.
      }
    }
  }

  async #comeBack(name: string, service: Service, absenceMs: number): Promise<void> {
    await kill9(service);
    await pause(absenceMs);
    if (name === 'gateway') this.#watch(name, await this.world.startGateway());
    else await this.#ready(name, this.#spawnNode(name));
  }

  #spawnNode(name: string, ...args: string[]): Service {
    const service = this.world.spawn(['node', 'up', '--gateway', `127.0.0.1:${this.#proxyPort}`, ...args], {
      home: this.world.nodeHome(name),
    });
    this.#nodes.set(name, service);
    this.#spawnedAt.set(name, Date.now());
    this.#watch(name, service);
    return service;
  }

  #watch(name: string, service: Service): void {
    void service.exited.then(({ code, signal }) => {
      if (this.#expectedToEnd.has(service)) return;
      this.faults.push(`${name} ended by itself (${signal ?? code}): ${service.stderr().slice(-2000)}`);
    });
  }

  /** A node says a line once it is online. */
  async #ready(name: string, service: Service): Promise<void> {
    await Promise.race([
      until(() => service.stdout().includes('\n'), `${name} to be online`, ONLINE_DEADLINE_MS),
      service.exited,
    ]);
  }
}

export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
    if (signal?.aborted) done();
  });
}
