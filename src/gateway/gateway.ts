/** The gateway: wires the public port, the API, the bus and the health monitor around one store, and takes them down in order. */
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, rmSync } from 'node:fs';
import type { AddressInfo, Socket } from 'node:net';
import { FLEET_VERSION } from '../protocol/version.ts';
import type { GatewayView, ReloadView } from '../protocol/views.ts';
import type { Address } from '../shared/address.ts';
import type { Clock } from '../shared/clock.ts';
import { watchDescriptors } from '../shared/descriptors.ts';
import { FleetError } from '../shared/errors.ts';
import type { GatewayPaths } from '../shared/home.ts';
import type { App } from '../shared/http/fastify-app.ts';
import { StreamAcceptor } from '../shared/http/streams.ts';
import { Lifecycle } from '../shared/lifecycle.ts';
import type { Logger } from '../shared/logger.ts';
import { readPrivateFile } from '../shared/private-file.ts';
import { KeyConnections } from '../shared/ssh/key-connections.ts';
import { formatFingerprint, parseOpenSshPrivateKey, sshPublicKeyBlob } from '../shared/ssh/ssh-key.ts';
import { writePrivateFile } from '../shared/write-file.ts';
import { addAdminRoutes } from './api/admin-routes.ts';
import { addAlertRoutes } from './api/alert-routes.ts';
import { createApi } from './api/api.ts';
import { addAuditRoutes } from './api/audit-routes.ts';
import { Authenticator } from './api/authenticate.ts';
import { Origins } from './api/caller.ts';
import { addHealthRoutes, renderReport } from './api/health-routes.ts';
import { addInviteRoutes } from './api/invite-routes.ts';
import { addJobRoutes } from './api/job-routes.ts';
import { addKeyRoutes } from './api/key-routes.ts';
import { closeServer, listening, serverFor } from './api/listen.ts';
import { addMetricsRoutes } from './api/metrics-routes.ts';
import { addNodeRoutes } from './api/node-routes.ts';
import { noteTokenRefusals } from './api/note-token-refusals.ts';
import { addScheduleRoutes } from './api/schedule-routes.ts';
import { AuditRetention } from './audit/audit-retention.ts';
import { createRotatingHeadSigner } from './audit/head-signer.ts';
import { Refusals } from './audit/refusals.ts';
import { Bus } from './bus/bus.ts';
import { Retention } from './bus/retention.ts';
import { ClockGuard } from './clock-guard.ts';
import { type GatewayConfig, healthThresholdsOf, historyRetentionOf } from './config.ts';
import { ConfigReload } from './config-reload.ts';
import { ConnectEpochs } from './identity/connect-epochs.ts';
import { Invites } from './identity/invites.ts';
import { NodeKeyRotation } from './identity/key-rotation.ts';
import { pendingChanges } from './identity/node-claims.ts';
import { Pairing } from './identity/pairing.ts';
import { PeopleConnections } from './identity/people-connections.ts';
import { loadOrCreateKeyFile } from './identity/signing-key.ts';
import { SigningKeys } from './identity/signing-keys.ts';
import { issueTicket } from './identity/tickets.ts';
import { Tokens } from './identity/tokens.ts';
import { MIGRATIONS } from './migrations.ts';
import { createAlerts } from './monitoring/alerts/create-alerts.ts';
import { HistoryKeeper } from './monitoring/history/history-keeper.ts';
import { HealthMonitor } from './monitoring/judge/monitor.ts';
import { GatewayMetrics } from './monitoring/metrics/gateway-metrics.ts';
import { EphemeralNodes } from './nodes/ephemeral-nodes.ts';
import { NodeRemoval } from './nodes/node-removal.ts';
import { PendingNodes } from './nodes/pending-nodes.ts';
import { Sessions } from './nodes/sessions.ts';
import { createScheduler } from './schedule/create-scheduler.ts';
import { localTimeZone } from './schedule/time-zone.ts';
import { handlersFor } from './ssh/access.ts';
import { affordableSshLimits } from './ssh/ssh-config.ts';
import { SshServer } from './ssh/ssh-server.ts';
import { openDatabase } from './store/database.ts';
import { watchDatabase } from './store/database-watch.ts';
import { Store } from './store.ts';

export interface GatewayDependencies {
  paths: GatewayPaths;
  clock: Clock;
  logger: Logger;
  random: () => number;
  /** What commands that are told of alerts get as their environment. */
  alertEnv: Readonly<Record<string, string | undefined>>;
  /** TZ of this process. */
  tz?: string | undefined;
  /** Reads the configuration anew. @throws FleetError `config_invalid`. */
  readConfig(): GatewayConfig;
  /** Start with an empty database although there are keys, so there was one. */
  newDatabase?: boolean;
  /** Called when somebody asks the API to end the gateway. */
  onShutdownAsked(): void;
}

export class Gateway {
  readonly #config: GatewayConfig;
  readonly #dependencies: GatewayDependencies;
  readonly #life: Lifecycle;
  #view: Omit<GatewayView, 'nodes' | 'runs' | 'config' | 'faults'> | undefined;
  #reload: (() => Promise<ReloadView>) | undefined;

  constructor(config: GatewayConfig, dependencies: GatewayDependencies) {
    this.#config = config;
    this.#dependencies = dependencies;
    this.#life = new Lifecycle((error) => dependencies.logger.error({ err: error }, 'could not undo the start'));
  }

  /** Resolves when nodes and people can connect. On failure, or at a close, everything that was begun is taken down again. */
  start(): Promise<GatewayView> {
    return this.#life.start(() => this.#start());
  }

  /** Reads the configuration anew, and takes over what can be; for who asks by signal. @throws FleetError `busy`, `config_invalid`, `storage_failed`. */
  async reload(): Promise<ReloadView> {
    this.#life.throwIfClosed();
    if (this.#reload === undefined) throw new FleetError('busy', 'the gateway is not up');
    return await this.#reload();
  }

  /** Refuses new work, ends the tunnels, and closes the database last. Runs go on on their nodes. Idempotent. */
  close(): Promise<void> {
    return this.#life.close();
  }

  async #start(): Promise<GatewayView> {
    const { paths, clock, logger, random } = this.#dependencies;
    const config = this.#config;
    const hasKeys = [paths.hostKey, paths.signingKey].some((file) => existsSync(file));
    // Before the keys: then keys without a database mean that it was lost, wherever a first start was cut short.
    if (!hasKeys) openDatabase(paths.database, MIGRATIONS).close();
    const hostKeyText = loadOrCreateKeyFile(paths.hostKey, 'fleet gateway host key');
    const keys = new SigningKeys({
      file: paths.signingKey,
      retiredFile: paths.retiredSigningKeys,
      graceMs: config.keyGrace,
      clock,
      logger,
    });
    const hostKey = sshPublicKeyBlob(parseOpenSshPrivateKey(hostKeyText).publicKey);
    const fingerprint = formatFingerprint(hostKey);

    const store = new Store(paths.database, {
      clock,
      signer: createRotatingHeadSigner(keys),
      mayBeNew: this.#dependencies.newDatabase === true,
    });
    this.#life.opened(() => store.close());
    if (store.audit.damage !== undefined) {
      const found = store.audit.damage;
      logger.error({ found }, 'the audit log was changed while no gateway ran: see fleet audit verify');
    }
    await store.write(() => store.audit.noteStart({ version: FLEET_VERSION, pid: process.pid }));
    const descriptors = watchDescriptors({ clock, logger });
    const ages = new ClockGuard({ store, clock, logger, onStep: (byMs) => keys.clockStepped(byMs) });
    this.#life.opened(() => ages.close());
    await ages.start();
    const databaseWatch = watchDatabase({ file: paths.database, clock, logger });
    const readFaults = (): string[] =>
      [...databaseWatch.faults, ...descriptors.faults, monitor.storageFault].filter((fault) => fault !== null);
    const refusals = new Refusals({ store, clock, logger });
    this.#life.opened(() => refusals.close());
    await store.write(() => {
      store.sessions.closeStaleSessions(store.gatewayUptime.lastSeenAt() ?? 0);
      store.gatewayUptime.noteStart(clock.now());
      store.incidents.endStale();
    });

    const sessions = new Sessions({ store, clock, logger });
    const epochs = new ConnectEpochs({ store, clock, logger, randomBytes });
    const monitor = new HealthMonitor({
      store,
      sessions,
      epochs,
      clock,
      logger,
      thresholds: healthThresholdsOf(config),
    });
    const bus = new Bus({
      store,
      sessions,
      clock,
      logger,
      random,
      concurrencyPerNode: config.concurrencyPerNode,
      maxRunsInFlight: config.maxRunsInFlight,
      maxOutputBytes: config.maxOutputBytes,
      approveCapabilities: config.approveCapabilities,
      signTicket: (run, body) => {
        const known = sessions.get(run.nodeId)?.signingKeys.newest;
        return issueTicket({ signingKey: keys.signerFor(known), clock: { now: ages.nodeTime } }, run, body);
      },
    });
    const invites = new Invites({ store, ages, clock, randomBytes });
    const pending = new PendingNodes(clock);
    const connections = new KeyConnections();
    const people = new PeopleConnections({ store, clock, logger });
    const tokens = new Tokens({ keys, gatewayId: fingerprint, clock, randomBytes });
    const rotation = new NodeKeyRotation({ store, epochs, hostKey, clock, logger });
    const pairing = new Pairing({ store, invites, pending, tokens, keys, hostKey, clock, logger, randomBytes });

    const { alertEnv: env, readConfig } = this.#dependencies;
    const alerts = createAlerts(config, { store, ages, monitor, epochs, clock, logger, random, env });
    const reloading = new ConfigReload({ config, read: readConfig, alerts, audit: store.audit, clock, logger });
    const origins = new Origins();
    const authenticator = new Authenticator({ store, tokens, apiToken: loadOrCreateApiToken(paths.apiToken) });
    const app = createApi({ authenticator, origins, clock, logger, audit: store.audit, refusals });
    noteTokenRefusals(app, { store, origins, clock, signals: alerts.signals });
    const removal = new NodeRemoval({
      store,
      sessions,
      connections,
      abandonRuns: (nodeId, reason) => bus.abandon(nodeId, reason),
      forget: (nodeId) => {
        monitor.forget(nodeId);
        epochs.forget(nodeId);
      },
      clock,
      logger,
    });
    const sources = { store, sessions, connections, removal, monitor, epochs, clock, logger };
    const { approveCapabilities, heartbeatInterval: heartbeatIntervalMs } = config;
    addNodeRoutes(app, { ...sources, pairing, rotation, keys, heartbeatIntervalMs, approveCapabilities });
    addJobRoutes(app, { ...sources, bus });
    addAuditRoutes(app, { store });
    addInviteRoutes(app, { invites, logger });
    addKeyRoutes(app, { ...sources, people });
    const health = { ...sources, limits: config.thresholds };
    addHealthRoutes(app, { ...health, alerts, readFaults });
    addAlertRoutes(app, { alerts });
    const places = { home: paths.home, reports: paths.reports };
    const report = async (format: string, from: number) => (await renderReport(health, format, from)).text;
    const metrics = new GatewayMetrics();
    store.runs.onEnd = (run) => metrics.runEnded(run);
    const scheduler = createScheduler({
      ...sources,
      bus,
      places,
      renderReport: report,
      onOutcome: (...outcome) => metrics.scheduleOutcome(...outcome),
    });
    addScheduleRoutes(app, { ...sources, scheduler, places, localTimeZone: localTimeZone(this.#dependencies.tz) });
    const describeGateway = (): GatewayView => {
      if (this.#view === undefined) throw new FleetError('busy', 'the gateway is starting');
      const nodes = {
        paired: store.nodes.all().length,
        connected: sessions.size,
        pending: pending.list().length + pendingChanges(store).length,
      };
      const runs = { open: store.runs.open().length };
      return { ...this.#view, nodes, runs, config: reloading.view, faults: readFaults() };
    };
    addAdminRoutes(app, {
      ...sources,
      pending,
      describeGateway,
      rotateKey: () => keys.rotate(),
      reload: () => reloading.reload(),
      shutdown: () => this.#dependencies.onShutdownAsked(),
    });
    const startedAt = clock.now();
    addMetricsRoutes(app, {
      ...sources,
      metrics,
      alerts,
      readFigures: () => ({
        runs: store.runs.countOpen(),
        schedules: store.schedules.all().map(({ name }) => name),
        sessions: sessions.size,
        ssh: ssh.stats,
        version: FLEET_VERSION,
        startedAt,
      }),
    });
    await app.ready();
    this.#life.opened(() => app.close());

    const acceptor = new StreamAcceptor(app.server);
    const ssh = new SshServer({
      hostKey: hostKeyText,
      limits: affordableSshLimits(config.ssh, logger),
      clock,
      logger,
      random,
      keys: connections,
      onPeer: (peer) =>
        handlersFor(peer, {
          store,
          sessions,
          people,
          logger,
          refusals,
          serveApi: (channel) => {
            origins.set(channel, { kind: 'ssh', peer });
            acceptor.accept(channel);
          },
        }),
    });
    bus.start();
    monitor.start();
    scheduler.start();
    const keepers = [
      databaseWatch,
      descriptors,
      metrics,
      new Retention({ store, ages, clock, logger, retentionMs: config.retention }),
      new AuditRetention({ store, ages, clock, logger, retentionMs: config.auditRetention }),
      new HistoryKeeper({ store, ages, clock, logger, retention: historyRetentionOf(config) }),
      new EphemeralNodes({ ...sources, graceMs: config.ephemeralGrace }),
    ];
    for (const keeper of keepers) keeper.start();
    this.#life.opened(
      ...keepers.map((keeper) => () => keeper.close()),
      () => ssh.close(),
      () => sessions.closeAll('gateway_stopping'),
      () => bus.close(),
      () => scheduler.close(),
      () => alerts.close(),
      // Before the tunnels are closed: from here on, nodes are not away but unseen.
      () => store.write(() => store.gatewayUptime.noteSeen(clock.now())),
    );
    const listen = await ssh.listen(config.listen.host, config.listen.port);
    this.#life.throwIfClosed();
    const api = config.api === undefined ? null : await this.#listenTcp(app, origins, config.api);
    this.#view = {
      version: FLEET_VERSION,
      pid: process.pid,
      startedAt: new Date(startedAt).toISOString(),
      listen,
      api,
      advertise: config.advertise ?? null,
      hostKeyFingerprint: fingerprint,
    };
    await alerts.start();
    this.#reload = () => reloading.reload();
    // Last: whoever finds the socket may rely on everything behind it.
    await this.#listenSocket(app, origins);
    logger.info({ listen, api, socket: paths.socket, fingerprint, version: FLEET_VERSION }, 'gateway ready');
    return describeGateway();
  }

  async #listenSocket(app: App, origins: Origins): Promise<void> {
    const { socket } = this.#dependencies.paths;
    const server = serverFor(app, this.#dependencies.logger);
    server.on('connection', (connection: Socket) => origins.set(connection, { kind: 'socket' }));
    // Left over from a process that was killed; the process lock says that nobody uses it.
    rmSync(socket, { force: true });
    await listening(server, () => server.listen(socket), socket);
    chmodSync(socket, 0o600);
    this.#life.opened(() => closeServer(server));
  }

  async #listenTcp(app: App, origins: Origins, address: Address): Promise<Address> {
    const server = serverFor(app, this.#dependencies.logger);
    server.on('connection', (connection: Socket) => origins.set(connection, { kind: 'tcp' }));
    await listening(server, () => server.listen(address.port, address.host), `${address.host}:${address.port}`);
    this.#life.opened(() => closeServer(server));
    const { address: host, port } = server.address() as AddressInfo;
    return { host, port };
  }
}

function loadOrCreateApiToken(file: string): string {
  const present = readPrivateFile(file)?.trim();
  if (present) return present;
  const token = randomBytes(32).toString('base64url');
  writePrivateFile(file, `${token}\n`);
  return token;
}
