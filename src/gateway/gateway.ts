/** The gateway: an ordered list of parts, started one after the other and closed in reverse. */
import { FLEET_VERSION } from '../protocol/version.ts';
import type { GatewayView, ReloadView } from '../protocol/views.ts';
import type { Address } from '../shared/address.ts';
import { isoTime } from '../shared/duration.ts';
import { FleetError } from '../shared/errors.ts';
import { Lifecycle } from '../shared/lifecycle.ts';
import type { GatewayConfig } from './config.ts';
import { pendingChanges } from './identity/node-claims.ts';
import {
  createBus,
  createMonitoring,
  createNodes,
  createPorts,
  createSchedules,
  createStorage,
  type GatewayCore,
  type GatewayDependencies,
} from './parts.ts';

export class Gateway {
  readonly #config: GatewayConfig;
  readonly #dependencies: GatewayDependencies;
  readonly #life: Lifecycle;
  #reload: (() => Promise<ReloadView>) | undefined;

  constructor(config: GatewayConfig, dependencies: GatewayDependencies) {
    this.#config = config;
    this.#dependencies = dependencies;
    this.#life = new Lifecycle((error) => dependencies.logger.error({ err: error }, 'could not undo the start'));
  }

  /** Resolves when nodes and people can connect. On failure, everything that was opened is closed again. */
  start(): Promise<GatewayView> {
    return this.#life.start(() => this.#start());
  }

  /** Reads the configuration again and applies what can change at runtime (SIGHUP). @throws FleetError `busy`, `config_invalid`, `storage_failed`. */
  async reload(): Promise<ReloadView> {
    this.#life.throwIfClosed();
    if (this.#reload === undefined) throw new FleetError('busy', 'the gateway is not up');
    return await this.#reload();
  }

  /** Refuses new work, ends the tunnels, and closes the database last. Runs continue on their nodes. Idempotent. */
  close(): Promise<void> {
    return this.#life.close();
  }

  async #start(): Promise<GatewayView> {
    const { clock, logger, paths } = this.#dependencies;
    const storage = createStorage(this.#config, this.#dependencies);
    this.#life.opened(() => storage.store.close());
    const core = createSchedules(createMonitoring(createBus(createNodes(storage))));
    const { store, sessions, bus, monitor, scheduler, alerts, keepers } = core;
    let listen: Address | undefined;
    const describe = () => describeGateway(core, listen && { listen, api: ports.tcp.address });
    const reload = () => core.reloading.reload();
    const ports = createPorts(core, reload, describe);
    const { host, port } = this.#config.listen;
    await this.#life.open([
      ...storage.parts,
      ports.app,
      { close: () => ports.ssh.close() },
      { close: () => sessions.closeAll('gateway_stopping') },
      bus,
      { start: () => monitor.start() },
      scheduler,
      ...keepers,
      {
        start: async () => {
          listen = await ports.ssh.listen(host, port);
        },
      },
      ports.tcp,
      alerts,
      // Closed before the tunnels: from then on, nodes are not offline but unseen.
      { close: () => store.write(() => store.gatewayUptime.noteSeen(clock.now())) },
      // Last: once the socket exists, everything behind it works.
      ports.socket,
    ]);
    this.#reload = reload;
    const view = describe();
    const { version, api, hostKeyFingerprint: fingerprint } = view;
    logger.info({ listen, api, socket: paths.socket, fingerprint, version }, 'gateway ready');
    return view;
  }
}

/** What `fleet gateway status` shows of the parts. @throws FleetError `busy` while the gateway is starting. */
function describeGateway(core: GatewayCore, view: Pick<GatewayView, 'listen' | 'api'> | undefined): GatewayView {
  if (view === undefined) throw new FleetError('busy', 'the gateway is starting');
  const { config, store, sessions, pending } = core;
  return {
    version: FLEET_VERSION,
    pid: process.pid,
    startedAt: isoTime(core.startedAt),
    ...view,
    advertise: config.advertise ?? null,
    hostKeyFingerprint: core.fingerprint,
    nodes: {
      paired: store.nodes.all().length,
      connected: sessions.size,
      pending: pending.list().length + pendingChanges(store).length,
    },
    runs: { open: store.runs.open().length },
    config: core.reloading.view,
    faults: core.faults(),
  };
}
