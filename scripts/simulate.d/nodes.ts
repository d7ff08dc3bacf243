/** A process full of simulated nodes; `fleet.ts` starts it and hears from it how many are online. */
import { createPrivateKey, sign } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import path from 'node:path';
import { Attempts } from '../../src/node/tunnel/attempt.ts';
import { GatewayClock } from '../../src/node/tunnel/gateway-client.ts';
import { KeyedConnector, type NodeKeys } from '../../src/node/tunnel/keyed-connector.ts';
import { type NodeState, NodeStateFile } from '../../src/node/tunnel/node-state.ts';
import { Tunnel } from '../../src/node/tunnel/tunnel.ts';
import { encodeFrame, FRAME_TYPE, LOG_CONTENT_TYPE } from '../../src/protocol/frames.ts';
import type { Heartbeat } from '../../src/protocol/heartbeat.ts';
import { FLEET_VERSION } from '../../src/protocol/version.ts';
import { systemClock } from '../../src/shared/clock.ts';
import { toFleetError } from '../../src/shared/errors.ts';
import { SERVER_OPTIONS, StreamAcceptor } from '../../src/shared/http/streams.ts';
import { silentLogger } from '../../src/shared/logger.ts';
import type { OwnIdentity } from '../../src/shared/ssh/identity.ts';
import { encodeOpenSshPrivateKey } from '../../src/shared/ssh/ssh-key.ts';

/** How often the counters are reported, ms. */
const REPORT_MS = 20;
const GIB = 2 ** 30;

export interface SimulatedNode {
  id: string;
  name: string;
  /** Ed25519, base64. */
  seed: string;
  publicKey: string;
  /** Own address to connect from. */
  address: string;
  state: NodeState;
}

export interface Work {
  gateway: { host: string; port: number };
  nodes: SimulatedNode[];
  /** For the nodes' state files; on a RAM disk, since a thousand nodes do not share one. */
  folder: string;
  /** The first connects spread over this time, ms. */
  rampMs: number;
}

export interface Counters {
  online: number;
  runs: number;
  heartbeats: number;
  /** Failed attempts by message. */
  failures: Record<string, number>;
}

const counters: Counters = { online: 0, runs: 0, heartbeats: 0, failures: {} };
const bootedAt = Date.now() - 86_400_000;
// A node dials in the same tick in which its attempt begins; net.connect takes the address of that one.
let localAddress: string | undefined;
const dial = net.connect as (options: object) => net.Socket;
Object.assign(net, { connect: (options: object) => dial({ ...options, localAddress }) });
syncBuiltinESMExports();

const acceptor = new StreamAcceptor(http.createServer(SERVER_OPTIONS, answer));

/** What a node's API answers: every run has succeeded already, with one line of output. */
function answer(request: http.IncomingMessage, response: http.ServerResponse): void {
  request.resume();
  const json = (status: number, body: object): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  if (request.method === 'PUT') {
    request.once('end', () => {
      counters.runs += 1;
      response.writeHead(201, { 'content-type': LOG_CONTENT_TYPE }).end(finishedLog());
    });
  } else if (request.url?.startsWith('/v1/acknowledge')) json(200, { refused: [] });
  else if (request.url?.startsWith('/v1/runs')) json(200, { runs: [] });
  else json(404, { error: { code: 'not_found', message: 'no such run' } });
}

function finishedLog(): Buffer {
  const output = Buffer.from('up 1 day\n');
  const startedAt = Date.now();
  const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));
  const bytes = { stdoutBytes: output.length, stderrBytes: 0, droppedBytes: 0 };
  const outcome = { state: 'exited', exitCode: 0, signal: null, reason: null, startedAt, endedAt: startedAt, ...bytes };
  return Buffer.concat([
    encodeFrame(FRAME_TYPE.started, json({ startedAt, pid: 1234 })),
    encodeFrame(FRAME_TYPE.stdout, output),
    encodeFrame(FRAME_TYPE.end, json(outcome)),
  ]);
}

function sample(rttMs: number | null, lostKeepalives: number): Promise<Heartbeat> {
  counters.heartbeats += 1;
  const disk = { fsType: 'ext4', inodesUsedPct: 5 };
  return Promise.resolve({
    at: Date.now(),
    bootedAt,
    uptimeS: (Date.now() - bootedAt) / 1000,
    cpuPct: 10 + 20 * Math.random(),
    load1: Math.random(),
    load5: 0.5,
    load15: 0.4,
    cores: 4,
    memTotalBytes: 8 * GIB,
    memUsedBytes: (2 + Math.random()) * GIB,
    swapTotalBytes: 0,
    swapUsedBytes: 0,
    disks: [
      { ...disk, mount: '/', sizeBytes: 100 * GIB, usedBytes: 40 * GIB, usedPct: 40 },
      { ...disk, mount: '/home', sizeBytes: 400 * GIB, usedBytes: 100 * GIB, usedPct: 25 },
    ],
    network: { rxBytesPerS: 1e4 * Math.random(), txBytesPerS: 1e4 * Math.random(), errorsPerS: 0, dropsPerS: 0 },
    temperatureC: 45 + 5 * Math.random(),
    battery: null,
    node: { version: FLEET_VERSION, rssBytes: 8e7, eventLoopLagMs: 1, uptimeS: 3600 },
    runsActive: 0,
    rttMs,
    tunnel: { lostKeepalives },
    faults: [],
    accepting: true,
    policy: false,
  });
}

function identityOf({ seed, publicKey }: SimulatedNode): OwnIdentity {
  const pair = { seed: Buffer.from(seed, 'base64'), publicKey: Buffer.from(publicKey, 'base64') };
  // PKCS #8 of an Ed25519 seed (RFC 8410, 7).
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), pair.seed]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  return {
    privateKey: encodeOpenSshPrivateKey({ ...pair, comment: '' }),
    publicKey: pair.publicKey,
    sign: (message) => sign(null, message, key),
  };
}

function startNode(node: SimulatedNode, { gateway, folder }: Work): void {
  const file = path.join(folder, node.id);
  writeFileSync(file, JSON.stringify(node.state), { mode: 0o600 });
  const common = { clock: systemClock, logger: silentLogger };
  const state = new NodeStateFile(file);
  const keys = { current: identityOf(node), next: undefined } as NodeKeys;
  const attempts = new Attempts(undefined, {
    ...common,
    keys,
    state,
    connector: new KeyedConnector({ ...common, keys, state }),
    address: gateway,
    name: node.name,
    nameRequired: false,
    labels: {},
    facts: {
      hostname: node.name,
      os: 'linux',
      osRelease: '6.1.0',
      arch: 'x64',
      version: FLEET_VERSION,
      capabilities: ['shell'],
    },
    journal: node.id,
    keepaliveIntervalMs: 10_000,
    keepaliveCountMax: 2,
    gatewayClock: new GatewayClock(systemClock),
    serveApi: (channel) => acceptor.accept(channel),
    sample,
    onRoundTrip: () => {},
  });
  const attempt = async (signal: AbortSignal) => {
    try {
      localAddress = node.address;
      const attempting = attempts.run(signal);
      localAddress = undefined;
      const opened = await attempting;
      if ('pendingCode' in opened) return opened;
      counters.online += 1;
      void opened.connection.closed.then(() => {
        counters.online -= 1;
      });
      return opened;
    } catch (error) {
      note(error);
      throw error;
    }
  };
  const tunnel = new Tunnel({ ...common, attempt, onPending: () => {}, random: Math.random });
  // Ends only when the gateway refuses the node for good, which its failure says.
  tunnel.start().catch(note);
}

function note(error: unknown): void {
  const { code, message } = toFleetError(error);
  const text = `${code}: ${message.replaceAll(/\d+/g, 'N').slice(0, 80)}`;
  counters.failures[text] = (counters.failures[text] ?? 0) + 1;
}

const work = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as Work;
mkdirSync(work.folder, { recursive: true, mode: 0o700 });
process.once('disconnect', () => {
  rmSync(work.folder, { recursive: true, force: true });
  process.exit(0);
});
process.once('message', () => {
  for (const [index, node] of work.nodes.entries())
    setTimeout(() => startNode(node, work), (index / work.nodes.length) * work.rampMs);
});
setInterval(() => process.send?.(counters), REPORT_MS);
