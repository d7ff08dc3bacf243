/** A whole gateway in this process, and nodes that connect to it over loopback. */

import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { type GatewayConfig, resolveGatewayConfig } from '../../../src/gateway/config.ts';
import { Gateway } from '../../../src/gateway/gateway.ts';
import {
  type ConnectOptions,
  connectOnce,
  type OpenTunnel,
  type Pending,
} from '../../../src/node/tunnel/connect-once.ts';
import { GatewayClock } from '../../../src/node/tunnel/gateway-client.ts';
import { KeyedConnector, NodeKeys } from '../../../src/node/tunnel/keyed-connector.ts';
import { NodeStateFile } from '../../../src/node/tunnel/node-state.ts';
import { parseInviteCode } from '../../../src/protocol/pairing.ts';
import { type Clock, systemClock } from '../../../src/shared/clock.ts';
import { gatewayPaths } from '../../../src/shared/home.ts';
import { type RequestOptions, requestJson } from '../../../src/shared/http/request.ts';
import { type Logger, silentLogger } from '../../../src/shared/logger.ts';
import { ensurePrivateFolder } from '../../../src/shared/private-file.ts';
import { loadOrCreateIdentity } from '../../../src/shared/ssh/identity.ts';
import { FACTS } from '../../gateway/identity/fixtures.ts';
import { cleanUp, tempFolder } from '../../support/temp-folder.ts';

/** The real clock, with a wall clock that is wrong by so much, ms. */
export function skewedClock(skewMs: number): Clock {
  return { ...systemClock, now: () => Date.now() + skewMs };
}

/** So much later, by every clock of the machine. */
export function laterClock(laterMs: number): Clock {
  return { ...skewedClock(laterMs), uptime: () => os.uptime() * 1000 + laterMs };
}

export interface StartOptions {
  clock?: Clock;
  /** `gateway` of the configuration. */
  section?: object;
  readConfig?: () => GatewayConfig;
  newDatabase?: boolean;
}

function lineLogger(onLine: (message: string) => void): Logger {
  const log = (_facts: object, message: string): void => onLine(message);
  const logger: Logger = { debug: () => {}, info: log, warn: log, error: log, child: () => logger };
  return logger;
}

export class TestGateway {
  readonly home: string;
  port = 0;
  #gateway: Gateway | undefined;
  #logger: Logger = silentLogger;

  /** @param onLine gets the message of each line of the log. */
  constructor(t: TestContext, onLine?: (message: string) => void) {
    this.home = tempFolder(t);
    if (onLine !== undefined) this.#logger = lineLogger(onLine);
    cleanUp(t, () => this.stop());
  }

  get paths() {
    return gatewayPaths(this.home);
  }

  /** On the same port as before, if there was one. */
  async start({
    clock = systemClock,
    section = {},
    readConfig,
    newDatabase = false,
  }: StartOptions = {}): Promise<this> {
    ensurePrivateFolder(this.paths.folder);
    const config = resolveGatewayConfig(section, { listen: `127.0.0.1:${this.port}` }, 'test');
    this.#gateway = new Gateway(config, {
      paths: this.paths,
      clock,
      logger: this.#logger,
      random: Math.random,
      alertEnv: {},
      readConfig: readConfig ?? (() => config),
      newDatabase,
      onShutdownAsked: () => {},
    });
    this.port = (await this.#gateway.start()).listen.port;
    return this;
  }

  async stop(): Promise<void> {
    await this.#gateway?.close();
    this.#gateway = undefined;
  }

  /** As SIGHUP does. */
  async reload(): Promise<void> {
    await this.#gateway?.reload();
  }

  /** A request of the admin. */
  api<T = Record<string, never>>(method: RequestOptions['method'], route: string, body?: unknown): Promise<T> {
    return requestJson<T>({ socketPath: this.paths.socket, method, path: route, body });
  }

  async invite(changes: object = {}): Promise<string> {
    const body = { role: 'node', ttlMs: 60_000, uses: 1, labels: {}, ...changes };
    return (await this.api<{ code: string }>('POST', '/v1/invites', body)).code;
  }

  async statusOf(name: string): Promise<string> {
    return (await this.api<{ status: string }>('GET', `/v1/nodes/${name}`)).status;
  }
}

export class TestMachine {
  readonly folder: string;
  readonly #t: TestContext;

  constructor(t: TestContext) {
    this.folder = tempFolder(t);
    this.#t = t;
  }

  /** Read anew each time, as after a restart of the node. */
  get state(): NodeStateFile {
    return new NodeStateFile(path.join(this.folder, 'state.json'));
  }

  options(port: number, changes: Partial<ConnectOptions> & { code?: string } = {}): ConnectOptions {
    const { code, ...options } = changes;
    const clock = options.clock ?? systemClock;
    return {
      address: { host: '127.0.0.1', port },
      identity: loadOrCreateIdentity(path.join(this.folder, 'key'), 'test'),
      state: this.state,
      invite: code === undefined ? undefined : parseInviteCode(code),
      name: 'web',
      nameRequired: false,
      labels: {},
      facts: FACTS,
      journal: 'journal',
      keepaliveIntervalMs: 10_000,
      keepaliveCountMax: 2,
      clock,
      gatewayClock: new GatewayClock(clock),
      logger: silentLogger,
      signal: new AbortController().signal,
      serveApi: (channel) => void channel.destroy(),
      ...options,
    };
  }

  /** One attempt, up to the answer to hello. */
  async attempt(port: number, changes: Partial<ConnectOptions> & { code?: string } = {}) {
    return this.#closeLater(await connectOnce(this.options(port, changes)));
  }

  /** One attempt as a node makes it, which may have a key to change. */
  async attemptKeyed(port: number, keys: NodeKeys) {
    const options = this.options(port);
    const connector = new KeyedConnector({ keys, state: options.state, logger: silentLogger });
    return { connector, opened: this.#closeLater(await connector.connect(options)) };
  }

  /** Read anew each time, too. */
  get keys(): NodeKeys {
    const file = path.join(this.folder, 'key');
    return new NodeKeys({ file, nextFile: `${file}.next`, comment: 'test' });
  }

  #closeLater(result: OpenTunnel | Pending): OpenTunnel | Pending {
    if ('connection' in result) cleanUp(this.#t, () => end(result));
    return result;
  }

  /** An attempt that must succeed. */
  async open(port: number, changes: Partial<ConnectOptions> & { code?: string } = {}): Promise<OpenTunnel> {
    const result = await this.attempt(port, changes);
    if ('pendingCode' in result) throw new Error('it waits for approval');
    return result;
  }
}

export async function end(tunnel: OpenTunnel): Promise<void> {
  tunnel.client.close();
  tunnel.connection.close();
  await tunnel.connection.closed;
}

export function beat() {
  return {
    at: Date.now(),
    bootedAt: null,
    uptimeS: null,
    cpuPct: null,
    cores: null,
    load1: null,
    load5: null,
    load15: null,
    memTotalBytes: null,
    memAvailableBytes: null,
    swapTotalBytes: null,
    swapUsedBytes: null,
    disks: null,
    network: null,
    temperatureC: null,
    battery: null,
    node: { version: '0', rssBytes: null, eventLoopLagMs: null, uptimeS: null },
    runsActive: 0,
    rttMs: null,
    faults: [],
    accepting: true,
  } as unknown as Parameters<OpenTunnel['client']['heartbeat']>[0];
}

/** A line that delivers late what the gateway says, and can be cut before it has. */
export async function slowLine(t: TestContext, port: number, delayMs: number): Promise<{ port: number; cut(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket);
      // Being cut is what this line is for.
      socket.on('error', () => {});
    }
    near.on('data', (chunk: Buffer) => void far.write(chunk));
    far.on('data', (chunk: Buffer) => void setTimeout(() => near.destroyed || near.write(chunk), delayMs));
    near.once('close', () => far.destroy());
    far.once('close', () => near.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  cleanUp(t, () => {
    cut();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, cut };
}
