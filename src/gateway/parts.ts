/** The gateway's parts, each put together from those before it; `gateway.ts` says in which order they start. */
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, rmSync } from 'node:fs';
import type { AddressInfo, Socket } from 'node:net';
import { FLEET_VERSION } from '../protocol/version.ts';
import type { GatewayView, ReloadView } from '../protocol/views.ts';
import type { Clock } from '../shared/clock.ts';
import { watchDescriptors } from '../shared/descriptors.ts';
import type { FaultWatch } from '../shared/fault-watch.ts';
import type { GatewayPaths } from '../shared/home.ts';
import type { App } from '../shared/http/fastify-app.ts';
import { StreamAcceptor } from '../shared/http/streams.ts';
import type { Part } from '../shared/lifecycle.ts';
import type { Logger } from '../shared/logger.ts';
import { readPrivateFile } from '../shared/private-file.ts';
import { KeyConnections } from '../shared/ssh/server/peers.ts';
import { formatFingerprint, parseOpenSshPrivateKey, sshPublicKeyBlob } from '../shared/ssh/ssh-key.ts';
import { writePrivateFile } from '../shared/write-file.ts';
import { addAllRoutes, createApi, noteTokenRefusals } from './api/api.ts';
import { Authenticator, Origins } from './api/authenticate.ts';
import { describeTarget, resolveTarget } from './api/find.ts';
import { closeServer, listening, serverFor } from './api/listen.ts';
import { renderReport } from './api/monitoring-routes.ts';
import { createAuditRetention, createHeadSigner } from './audit/audit-log.ts';
import { Refusals } from './audit/refusals.ts';
import { Bus } from './bus/bus.ts';
import { createJobRetention } from './bus/retention.ts';
import { ClockGuard } from './clock-guard.ts';
import { type GatewayConfig, healthThresholdsOf, historyRetentionOf, offlineAfterMs } from './config.ts';
import { ConfigReload } from './config-reload.ts';
import { ConnectEpochs } from './identity/connect-epochs.ts';
import { Invites } from './identity/invites.ts';
import { Pairing } from './identity/pairing.ts';
import { PeopleConnections } from './identity/people-connections.ts';
import { loadOrCreateKeyFile, SigningKeys } from './identity/signing-keys.ts';
import { issueTicket, Tokens } from './identity/tokens.ts';
import { MIGRATIONS } from './migrations.ts';
import { Alerts } from './monitoring/alerts/alerts.ts';
import { alertSettingsOf } from './monitoring/alerts/config.ts';
import { createHistoryKeeper } from './monitoring/judge/history-keeper.ts';
import { HealthMonitor } from './monitoring/judge/monitor.ts';
import { GatewayMetrics } from './monitoring/metrics/gateway-metrics.ts';
import { EphemeralNodes } from './nodes/ephemeral-nodes.ts';
import { NodeRemoval } from './nodes/node-removal.ts';
import { PendingNodes } from './nodes/pending-nodes.ts';
import { Sessions } from './nodes/sessions.ts';
import { localTimeZone } from './schedule/cron.ts';
import { Scheduler } from './schedule/scheduler.ts';
import { accessOf } from './ssh/access.ts';
import { PublicPort } from './ssh/public-port.ts';
import { affordableSshLimits } from './ssh/ssh-config.ts';
import { openDatabase } from './store/database.ts';
import { watchDatabase } from './store/database-watch.ts';
import { Store } from './store.ts';

export interface GatewayDependencies {
  paths: GatewayPaths;
  clock: Clock;
  logger: Logger;
  random: () => number;
  /** The environment of alert commands. */
  alertEnv: Readonly<Record<string, string | undefined>>;
  /** TZ of this process. */
  tz?: string | undefined;
  /** Reads the configuration again. @throws FleetError `config_invalid`. */
  readConfig(): GatewayConfig;
  /** Start with an empty database although keys exist, so that there was one. */
  newDatabase?: boolean;
  /** Called when the API is asked to stop the gateway. */
  onShutdownAsked(): void;
}

/** Keys, database and clock. The caller closes the store. */
export function createStorage(config: GatewayConfig, dependencies: GatewayDependencies) {
  const { paths, clock, logger } = dependencies;
  const hasKeys = [paths.hostKey, paths.signingKey].some((file) => existsSync(file));
  // Before the keys: then keys without a database mean that it was lost, wherever a first start was interrupted.
  if (!hasKeys) openDatabase(paths.database, MIGRATIONS).close();
  const hostKeyText = loadOrCreateKeyFile(paths.hostKey, 'fleet gateway host key');
  const hostKey = sshPublicKeyBlob(parseOpenSshPrivateKey(hostKeyText).publicKey);
  const keys = new SigningKeys({
    file: paths.signingKey,
    retiredFile: paths.retiredSigningKeys,
    graceMs: config.keyGrace,
    clock,
    logger,
  });
  const mayBeNew = dependencies.newDatabase === true;
  const store = new Store(paths.database, { clock, signer: createHeadSigner(keys), mayBeNew });
  const ages = new ClockGuard({ store, clock, logger, onStep: (byMs) => keys.clockStepped(byMs) });
  const refusals = new Refusals({ store, clock, logger });
  const descriptors = watchDescriptors({ clock, logger });
  let databaseWatch: FaultWatch | undefined;
  const opened: Part = {
    async start() {
      const found = store.audit.damage;
      if (found !== undefined)
        logger.error({ found }, 'the audit log was changed while no gateway ran: see fleet audit verify');
      await store.write(() => store.audit.noteStart({ version: FLEET_VERSION, pid: process.pid }));
      // After the first write: only now are all files there.
      databaseWatch = watchDatabase({ file: paths.database, clock, logger });
      databaseWatch.start();
    },
    close: () => databaseWatch?.close(),
  };
  const resumed: Part = {
    start: () =>
      store.write(() => {
        store.sessions.closeStaleSessions(store.gatewayUptime.lastSeenAt() ?? 0);
        store.gatewayUptime.noteStart(clock.now());
        store.incidents.endStale();
      }),
    close: () => refusals.close(),
  };
  return {
    ...dependencies,
    config,
    hostKeyText,
    hostKey,
    fingerprint: formatFingerprint(hostKey),
    keys,
    store,
    ages,
    refusals,
    parts: [opened, ages, resumed, descriptors],
    faults: () => [...(databaseWatch?.faults ?? []), ...descriptors.faults],
  };
}

/** Who may connect, who is connected, and how healthy they are. */
export function createNodes(storage: ReturnType<typeof createStorage>) {
  const { config, store, ages, clock, logger, keys, hostKey, fingerprint } = storage;
  const sessions = new Sessions({ store, clock, logger });
  const epochs = new ConnectEpochs({ store, clock, logger });
  const thresholds = healthThresholdsOf(config);
  const monitor = new HealthMonitor({ store, sessions, epochs, clock, logger, thresholds });
  const invites = new Invites({ store, ages, clock });
  const pending = new PendingNodes(clock);
  const tokens = new Tokens({ keys, gatewayId: fingerprint, clock });
  const pairing = new Pairing({ store, invites, pending, tokens, keys, hostKey, clock, logger });
  return {
    ...storage,
    sessions,
    epochs,
    monitor,
    invites,
    pending,
    tokens,
    pairing,
    connections: new KeyConnections(),
    people: new PeopleConnections({ store, clock, logger }),
    faults: () => [...storage.faults(), ...(monitor.storageFault === null ? [] : [monitor.storageFault])],
  };
}

/** The command bus, and the end of a node's membership, which gives up its runs. */
export function createBus(nodes: ReturnType<typeof createNodes>) {
  const { config, store, sessions, connections, monitor, epochs, keys, ages, clock, logger, random } = nodes;
  const bus = new Bus({
    store,
    links: sessions,
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
  return { ...nodes, bus, removal };
}

/** Alerts, metrics, and whatever is deleted because of its age. */
export function createMonitoring(core: ReturnType<typeof createBus>) {
  const { config, store, clock, alertEnv: env, readConfig } = core;
  const alerts = new Alerts({
    ...core,
    env,
    settings: alertSettingsOf(config.alerts, config.thresholds),
    heartbeatIntervalMs: config.heartbeatInterval,
    settlingMs: offlineAfterMs(config),
  });
  const metrics = new GatewayMetrics();
  store.runs.onEnd = (run) => metrics.runEnded(run);
  const reloading = new ConfigReload({ ...core, read: readConfig, alerts, audit: store.audit });
  const keepers: Part[] = [
    metrics,
    createJobRetention({ ...core, retentionMs: config.retention }),
    createAuditRetention({ ...core, retentionMs: config.auditRetention }),
    createHistoryKeeper({ ...core, retention: historyRetentionOf(config) }),
    new EphemeralNodes({ ...core, graceMs: config.ephemeralGrace }),
  ];
  return { ...core, alerts, metrics, reloading, keepers, limits: config.thresholds, startedAt: clock.now() };
}

/** Jobs and reports at given times. */
export function createSchedules(core: ReturnType<typeof createMonitoring>) {
  const { paths, metrics, tz, bus } = core;
  const places = { home: paths.home, reports: paths.reports };
  const scheduler = new Scheduler({
    ...core,
    places,
    submit: (request, submitter) =>
      bus.submit(request, resolveTarget(request, core), describeTarget(request), submitter),
    renderReport: async (format, from) => (await renderReport(core, format, from)).text,
    onOutcome: (...outcome) => metrics.scheduleOutcome(...outcome),
  });
  return { ...core, scheduler, places, localTimeZone: localTimeZone(tz) };
}

export type GatewayCore = ReturnType<typeof createSchedules>;

/** The API, its sockets and the public SSH port. */
export function createPorts(core: GatewayCore, reload: () => Promise<ReloadView>, describe: () => GatewayView) {
  const { config, paths, store, tokens, sessions, people, connections, clock, logger, random, refusals } = core;
  const origins = new Origins();
  const authenticator = new Authenticator({ store, tokens, apiToken: loadOrCreateApiToken(paths.apiToken) });
  const app = createApi({ authenticator, origins, clock, logger, audit: store.audit, refusals });
  const acceptor = new StreamAcceptor(app.server);
  const ssh = new PublicPort({
    hostKey: core.hostKeyText,
    limits: affordableSshLimits(config.ssh, logger),
    clock,
    logger,
    random,
    keys: connections,
    onPeer: (peer) =>
      accessOf(peer, {
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
  noteTokenRefusals(app, { store, origins, clock, signals: core.alerts.signals });
  addAllRoutes(app, {
    ...core,
    heartbeatIntervalMs: config.heartbeatInterval,
    approveCapabilities: config.approveCapabilities,
    figures: () => ({
      runs: store.runs.countOpen(),
      schedules: store.schedules.all().map(({ name }) => name),
      sessions: sessions.size,
      ssh: ssh.stats,
      version: FLEET_VERSION,
      startedAt: core.startedAt,
    }),
    describe,
    reload,
    shutdown: () => core.onShutdownAsked(),
  });
  return { app: { start: () => app.ready(), close: () => app.close() }, ssh, ...createListeners(core, app, origins) };
}

/** The API's sockets: the Unix socket, and the TCP port if there is one. */
function createListeners({ config, paths, logger }: GatewayCore, app: App, origins: Origins) {
  const socket = serverFor(app, logger);
  socket.on('connection', (connection: Socket) => origins.set(connection, { kind: 'socket' }));
  const tcp = serverFor(app, logger);
  tcp.on('connection', (connection: Socket) => origins.set(connection, { kind: 'tcp' }));
  return {
    socket: {
      async start() {
        // Left over from a process that was killed; the process lock says that nobody uses it.
        rmSync(paths.socket, { force: true });
        await listening(socket, () => socket.listen(paths.socket), paths.socket);
        chmodSync(paths.socket, 0o600);
      },
      close: () => closeServer(socket),
    },
    tcp: {
      async start() {
        if (config.api === undefined) return;
        const { host, port } = config.api;
        await listening(tcp, () => tcp.listen(port, host), `${host}:${port}`);
      },
      close: () => closeServer(tcp),
      get address() {
        const address = tcp.address() as AddressInfo | null;
        return address === null ? null : { host: address.address, port: address.port };
      },
    },
  };
}

function loadOrCreateApiToken(file: string): string {
  const present = readPrivateFile(file)?.trim();
  if (present) return present;
  const token = randomBytes(32).toString('base64url');
  writePrivateFile(file, `${token}\n`);
  return token;
}
