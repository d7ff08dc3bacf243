/** The gateway's whole API without its SSH port: real routes, store and sessions, and connections of any origin. */
import { randomBytes } from 'node:crypto';
import type http from 'node:http';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import type { TestContext } from 'node:test';
import { addAllRoutes, createApi, noteTokenRefusals } from '../../../src/gateway/api/api.ts';
import { type ApiPeer, Authenticator, type Origin, Origins } from '../../../src/gateway/api/authenticate.ts';
import { describeTarget, resolveTarget } from '../../../src/gateway/api/find.ts';
import { renderReport } from '../../../src/gateway/api/monitoring-routes.ts';
import { Refusals } from '../../../src/gateway/audit/refusals.ts';
import { Bus } from '../../../src/gateway/bus/bus.ts';
import { resolveGatewayConfig } from '../../../src/gateway/config.ts';
import { PeopleConnections } from '../../../src/gateway/identity/people-connections.ts';
import { Alerts } from '../../../src/gateway/monitoring/alerts/alerts.ts';
import { DEFAULT_HEALTH_THRESHOLDS } from '../../../src/gateway/monitoring/judge/limits.ts';
import { HealthMonitor } from '../../../src/gateway/monitoring/judge/monitor.ts';
import { GatewayMetrics } from '../../../src/gateway/monitoring/metrics/gateway-metrics.ts';
import { NodeRemoval } from '../../../src/gateway/nodes/node-removal.ts';
import { Sessions } from '../../../src/gateway/nodes/sessions.ts';
import { Scheduler } from '../../../src/gateway/schedule/scheduler.ts';
import { FleetError } from '../../../src/shared/errors.ts';
import type { App } from '../../../src/shared/http/fastify-app.ts';
import { openRequest, type RequestOptions, requestJson } from '../../../src/shared/http/request.ts';
import { createStreamAgent, StreamAcceptor } from '../../../src/shared/http/streams.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { type KeyConnection, KeyConnections } from '../../../src/shared/ssh/server/peers.ts';
import { agesOf } from '../../support/fake-clock.ts';
import { socketPair } from '../../support/socket-pair.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';
import { FakeNode } from '../bus/fake-node.ts';
import { FACTS, type TestGateway, testGateway } from '../identity/fixtures.ts';

export const API_TOKEN = 'api-token';

/** An authenticated SSH connection with that key. */
export function peerOf(publicKey: Buffer): ApiPeer & KeyConnection & { endings: string[] } {
  const closed = Promise.withResolvers<string>();
  const endings: string[] = [];
  const end = (reason: string): void => {
    // As a connection does: the first reason stays.
    if (endings.length === 0) endings.push(reason);
    closed.resolve(reason);
  };
  return {
    id: randomBytes(6).toString('hex'),
    publicKey,
    remoteAddress: '192.0.2.1',
    connectedAt: 0,
    closed: closed.promise,
    endings,
    close: end,
    cut: end,
    isOpen: true,
    channelCount: 0,
    waitingBytes: 0,
    openForwarded: () => Promise.reject(new Error('no forward')),
  };
}

export interface Client {
  json<T = Record<string, never>>(
    method: RequestOptions['method'],
    path: string,
    body?: unknown,
    more?: Partial<RequestOptions>,
  ): Promise<T>;
  open(
    method: RequestOptions['method'],
    path: string,
    body?: unknown,
    more?: Partial<RequestOptions>,
  ): Promise<http.IncomingMessage>;
}

export async function testApi(
  t: TestContext,
  options: {
    authenticator?: Authenticator;
    alerts?: object;
    failingReload?: boolean;
    approveCapabilities?: boolean;
    addRoutes?(app: App, gateway: TestGateway): void;
  } = {},
) {
  const { approveCapabilities = false } = options;
  const gateway = testGateway(t);
  const { store, clock, epochs, hostKey, keys, tokens, pairing, invites, pending } = gateway;
  const logger = silentLogger;
  const sessions = new Sessions({ store, clock, logger });
  const people = new PeopleConnections({ store, clock, logger });
  const connections = new KeyConnections();
  const thresholds = { ...DEFAULT_HEALTH_THRESHOLDS, offlineAfterMs: 90_000 };
  const monitor = new HealthMonitor({ store, sessions, epochs, clock, logger, thresholds });
  const bus = new Bus({
    store,
    links: sessions,
    clock,
    logger,
    random: () => 0,
    concurrencyPerNode: 4,
    maxRunsInFlight: 100,
    maxOutputBytes: 64 * 1024 * 1024,
    approveCapabilities,
    signTicket: () => 'ticket',
  });
  monitor.start();
  bus.start();
  const origins = new Origins();
  const refusals = new Refusals({ store, clock, logger });
  const authenticator = options.authenticator ?? new Authenticator({ store, tokens, apiToken: API_TOKEN });
  const app: App = createApi({ authenticator, origins, clock, logger, audit: store.audit, refusals });
  const routes: { method: string; url: string; action: string | undefined }[] = [];
  app.addHook(
    'onRoute',
    ({ method, url, config }) => void routes.push({ method: String(method), url, action: config?.action }),
  );
  const refusedTokens: string[] = [];
  noteTokenRefusals(app, { store, origins, clock, signals: { tokenRefused: (id) => void refusedTokens.push(id) } });
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
  let shutdowns = 0;
  const config = resolveGatewayConfig({ alerts: options.alerts ?? {} }, {}, '');
  const alerts = new Alerts({
    ages: agesOf(clock),
    ...sources,
    random: () => 0,
    settings: {
      rules: config.alerts.rules ?? [],
      receivers: config.alerts.notify,
      groupWaitMs: config.alerts.groupWait,
    },
    heartbeatIntervalMs: 30_000,
    settlingMs: 0,
    env: {},
  });
  const health = { ...sources, limits: config.thresholds };
  const home = tempFolder(t);
  const places = { home, reports: path.join(home, 'reports') };
  const metrics = new GatewayMetrics();
  const schedulerOptions: ConstructorParameters<typeof Scheduler>[0] = {
    ...sources,
    bus,
    places,
    submit: (request, submitter) =>
      bus.submit(request, resolveTarget(request, sources), describeTarget(request), submitter),
    renderReport: async (format, from) => (await renderReport(health, format, from)).text,
    onOutcome: (...outcome) => metrics.scheduleOutcome(...outcome),
  };
  const scheduler = new Scheduler(schedulerOptions);
  store.runs.onEnd = (run) => metrics.runEnded(run);
  const ssh = { connections: 3, unauthenticated: 1, refused: 2, killed: { grace: 1 } };
  addAllRoutes(app, {
    ...health,
    ...{ people, pending, pairing, invites, keys, hostKey, bus, alerts, metrics, scheduler, places },
    localTimeZone: 'UTC',
    heartbeatIntervalMs: 30_000,
    approveCapabilities,
    faults: () => [],
    figures: () => ({
      runs: store.runs.countOpen(),
      schedules: store.schedules.all().map(({ name }) => name),
      sessions: sessions.size,
      ssh,
      version: '0',
      startedAt: clock.now(),
    }),
    describe: () => ({ nodes: { paired: store.nodes.all().length } }) as never,
    reload: async () => {
      if (options.failingReload) throw new FleetError('config_invalid', 'the file is wrong');
      return { changed: ['alerts.rules'], restartNeeded: [] };
    },
    shutdown: () => {
      shutdowns += 1;
    },
  });
  options.addRoutes?.(app, gateway);
  await app.ready();
  const acceptor = new StreamAcceptor(app.server);
  cleanUp(t, async () => {
    await scheduler.close();
    await alerts.close();
    await bus.close();
    await sessions.closeAll('stopped');
    await app.close();
    await refusals.close();
  });

  /** Serves a connection that somebody else has accepted. */
  const serve = (origin: Origin, stream: Duplex): void => {
    origins.set(stream, origin);
    acceptor.accept(stream);
  };
  const connect = (origin: Origin | undefined, token?: string): Client => {
    if (origin?.kind === 'ssh') {
      connections.add(origin.peer.publicKey, origin.peer as ReturnType<typeof peerOf>, origin.peer.closed);
    }
    const opened: Duplex[] = [];
    const agent = createStreamAgent(async () => {
      const [near, far] = socketPair();
      opened.push(near);
      if (origin !== undefined) origins.set(far, origin);
      acceptor.accept(far);
      return near;
    });
    cleanUp(t, () => opened.forEach((stream) => void stream.destroy()));
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const options = (
      method: RequestOptions['method'],
      path: string,
      body: unknown,
      more: Partial<RequestOptions> = {},
    ): RequestOptions => ({
      agent,
      method,
      path,
      body,
      ...more,
      headers: { ...headers, ...more.headers },
    });
    return {
      json: (method, path, body, more) => requestJson(options(method, path, body, more)),
      open: (method, path, body, more) => openRequest(options(method, path, body, more)),
    };
  };

  /** A paired node: its record, its connection, and a client that has its token. */
  const addNode = async (name: string) => {
    const publicKey = randomBytes(32);
    const id = `id-${name}`;
    await store.write(() =>
      store.nodes.insert({ id, name, publicKey, ownLabels: {}, labels: {}, facts: FACTS, createdAt: 0 }),
    );
    const peer = peerOf(publicKey);
    const { token } = await tokens.issue({ subject: id, role: 'node', publicKey });
    const fake = new FakeNode(id, name, () => sessions);
    cleanUp(t, () => fake.close());
    return { id, name, publicKey, peer, token, client: connect({ kind: 'ssh', peer }, token), fake };
  };

  const admin = connect({ kind: 'socket' });
  return {
    ...gateway,
    refusals,
    sessions,
    people,
    connections,
    removal,
    monitor,
    bus,
    scheduler,
    schedulerOptions,
    places,
    app,
    routes,
    alerts,
    refusedTokens,
    connect,
    serve,
    addNode,
    admin,
    shutdowns: () => shutdowns,
  };
}

export type TestApi = Awaited<ReturnType<typeof testApi>>;
