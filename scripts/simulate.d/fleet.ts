/** Measures one real gateway with many simulated nodes: first connects, rest, commands, broadcasts, and the storm after a `kill -9`. */
import { type ChildProcess, fork } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createHeadSigner } from '../../src/gateway/audit/audit-log.ts';
import { SigningKeys } from '../../src/gateway/identity/signing-keys.ts';
import { Tokens } from '../../src/gateway/identity/tokens.ts';
import { Store } from '../../src/gateway/store.ts';
import { systemClock } from '../../src/shared/clock.ts';
import { gatewayPaths } from '../../src/shared/home.ts';
import { openRequest } from '../../src/shared/http/request.ts';
import { silentLogger } from '../../src/shared/logger.ts';
import { formatFingerprint, parseOpenSshPrivateKey, sshPublicKeyBlob } from '../../src/shared/ssh/ssh-key.ts';
import { FleetWorld, type Service } from '../../test/support/fleet-processes.ts';
import type { Counters, SimulatedNode, Work } from './nodes.ts';

/** Longest wait for all nodes to be online, ms. */
const PATIENCE_MS = 300_000;
const USAGE = `usage: scripts/simulate N [--processes P] [--rest S] [--ramp S] [--broadcasts K] [--storms K] [--prof DIR]
  N             nodes, each from a loopback address of its own
  --processes   processes that hold them (1, from 3,001 nodes on 2)
  --rest        seconds at rest that are measured (60)
  --ramp        seconds over which the first connects spread (0)
  --broadcasts  broadcasts of one line to all nodes (3)
  --storms      kill -9 of the gateway, measured until all nodes are back (1)
  --prof        writes CPU profiles of the gateway into this folder`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    help: { type: 'boolean', default: false },
    processes: { type: 'string' },
    rest: { type: 'string', default: '60' },
    ramp: { type: 'string', default: '0' },
    broadcasts: { type: 'string', default: '3' },
    storms: { type: 'string', default: '1' },
    prof: { type: 'string' },
  },
});
const count = Number(positionals[0]);
if (values.help || !Number.isInteger(count) || count < 1) {
  console.error(USAGE);
  process.exit(values.help ? 0 : 2);
}
const processes = Number(values.processes ?? (count > 3_000 ? 2 : 1));

const agent = new http.Agent();
const world = await FleetWorld.create();
const memory = mkdtempSync('/dev/shm/fleet-simulate-');
const children: ChildProcess[] = [];
const counters: Counters[] = [];
const total = (name: 'online' | 'runs' | 'heartbeats'): number => counters.reduce((sum, each) => sum + each[name], 0);

try {
  // It makes its keys and its database.
  await stop(await startGateway());
  const nodes = await enroll();
  let gateway = await startGateway();
  const alone = await vitals(gateway);
  report('gateway alone', alone);
  await startProcesses(nodes);
  let begun = performance.now();
  for (const child of children) child.send('start');
  report('first connects, ms', await allOnline(begun));
  const connected = await vitals(gateway);
  const kib = Math.round(((connected.rssMiB - alone.rssMiB) * 1024) / count);
  report('after the first connects', { ...connected, kibPerNode: kib, failures: failures() });

  await sleep(5_000);
  // The figures of the event loop start again with each read.
  const before = { ...(await vitals(gateway)), at: performance.now(), heartbeats: total('heartbeats') };
  await sleep(Number(values.rest) * 1_000);
  const rested = await vitals(gateway);
  const seconds = (performance.now() - before.at) / 1_000;
  report('at rest', {
    ...rested,
    cpuPctOfCore: round(((rested.cpuS - before.cpuS) / seconds) * 100),
    heartbeatsPerS: round((total('heartbeats') - before.heartbeats) / seconds),
  });

  for (const command of [['nodes'], ['health'], ['run', 'sim-1', 'true']]) {
    const times: number[] = [];
    for (let index = 0; index < 5; index += 1) times.push((await timed(command)).ms);
    report(`fleet ${command.join(' ')}, median ms of 5`, Math.round(times.sort((a, b) => a - b)[2] ?? Number.NaN));
  }
  for (let index = 0; index < Number(values.broadcasts); index += 1) {
    // Counters of earlier runs arrive late.
    await sleep(200);
    const start = { ...(await vitals(gateway)), runs: total('runs') };
    const { ms, code } = await timed(['broadcast', 'uptime']);
    // The last counters arrive a moment later.
    await sleep(200);
    const end = await vitals(gateway);
    const runs = total('runs') - start.runs;
    report('broadcast', { ms: Math.round(ms), code, runs, gatewayCpuS: round(end.cpuS - start.cpuS), ...end });
    await sleep(2_000);
  }
  for (let index = 0; index < Number(values.storms); index += 1) {
    await sleep(12_000);
    gateway.child.kill('SIGKILL');
    await gateway.exited;
    gateway = await startGateway();
    begun = performance.now();
    report('storm after kill -9, ms since ready', { ...(await allOnline(begun)), ...(await vitals(gateway)) });
  }
  report('failed attempts in all', failures());
} finally {
  for (const child of children) child.disconnect();
  await world.close();
  rmSync(memory, { recursive: true, force: true });
}

async function startGateway(): Promise<Service> {
  const { prof } = values;
  if (prof === undefined) return await world.startGateway();
  process.env.NODE_OPTIONS = `--cpu-prof --cpu-prof-dir=${path.resolve(prof)}`;
  try {
    return await world.startGateway();
  } finally {
    delete process.env.NODE_OPTIONS;
  }
}

async function stop(service: Service): Promise<void> {
  service.child.kill('SIGTERM');
  await service.exited;
}

/** Puts paired nodes with valid tokens into the database of a gateway that is down. */
async function enroll(): Promise<SimulatedNode[]> {
  const paths = gatewayPaths(world.home);
  const common = { clock: systemClock, logger: silentLogger };
  const files = { file: paths.signingKey, retiredFile: paths.retiredSigningKeys };
  const keys = new SigningKeys({ ...common, ...files, graceMs: 48 * 3_600_000 });
  const hostKey = sshPublicKeyBlob(parseOpenSshPrivateKey(readFileSync(paths.hostKey, 'utf8')).publicKey);
  const tokens = new Tokens({ keys, gatewayId: formatFingerprint(hostKey), clock: systemClock });
  const store = new Store(paths.database, { clock: systemClock, signer: createHeadSigner(keys) });
  const nodes: SimulatedNode[] = [];
  for (let number = 1; number <= count; number += 1) {
    const { publicKey, seed } = newKey();
    const [id, name] = [randomBytes(12).toString('hex'), `sim-${number}`];
    const { token, expiresAt } = await tokens.issue({ subject: id, role: 'node', publicKey });
    nodes.push({
      id,
      name,
      seed: seed.toString('base64'),
      publicKey: publicKey.toString('base64'),
      address: `127.${10 + (number >> 16)}.${(number >> 8) & 255}.${number & 255 || 1}`,
      state: {
        version: 1,
        gateway: { host: '127.0.0.1', port: world.port },
        hostKey: hostKey.toString('base64'),
        pairing: { id, name, token, tokenIssuedAt: Date.now(), tokenExpiresAt: expiresAt, signingKeys: [] },
      },
    });
  }
  await store.write(() => {
    for (const { id, name, publicKey } of nodes) {
      const labels = { ownLabels: {}, labels: {} };
      store.nodes.insert({
        id,
        name,
        publicKey: Buffer.from(publicKey, 'base64'),
        ...labels,
        facts: null,
        createdAt: 0,
      });
    }
  });
  store.close();
  return nodes;
}

function newKey(): { publicKey: Buffer; seed: Buffer } {
  const { d = '', x = '' } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  return { seed: Buffer.from(d, 'base64url'), publicKey: Buffer.from(x, 'base64url') };
}

async function startProcesses(nodes: SimulatedNode[]): Promise<void> {
  const share = Math.ceil(count / processes);
  for (let index = 0; index < processes; index += 1) {
    const work: Work = {
      gateway: { host: '127.0.0.1', port: world.port },
      nodes: nodes.slice(index * share, (index + 1) * share),
      folder: path.join(memory, String(index)),
      rampMs: Number(values.ramp) * 1_000,
    };
    const file = path.join(world.folder, `work-${index}.json`);
    writeFileSync(file, JSON.stringify(work), { mode: 0o600 });
    const child = fork(path.join(import.meta.dirname, 'nodes.ts'), [file]);
    await new Promise<void>((resolve, reject) => {
      child.once('message', () => resolve());
      child.once('exit', () => reject(new Error('a process of simulated nodes ended')));
    });
    child.on('message', (message) => {
      counters[index] = message as Counters;
    });
    children.push(child);
  }
}

/** Times since `begun` until half, 95 % and all of the nodes were online, ms; null for what did not happen in {@link PATIENCE_MS}. */
async function allOnline(begun: number): Promise<Record<string, number | null>> {
  const times: Record<string, number | null> = { half: null, most: null, all: null };
  const goals = { half: count / 2, most: count * 0.95, all: count };
  while (times.all === null && performance.now() - begun < PATIENCE_MS) {
    for (const [name, goal] of Object.entries(goals)) {
      if (total('online') >= goal) times[name] ??= Math.round(performance.now() - begun);
    }
    await sleep(10);
  }
  return { ...times, online: total('online') };
}

async function timed(args: string[]): Promise<{ ms: number; code: number | null }> {
  const begun = performance.now();
  const { code, stderr } = await world.fleet(args, { deadlineMs: PATIENCE_MS });
  if (code === null || code > 3) throw new Error(`fleet ${args.join(' ')} ended with ${code}: ${stderr.slice(0, 500)}`);
  return { ms: performance.now() - begun, code };
}

/** The gateway's own figures; the event loop's are of the time since the previous read. */
async function vitals({ child }: Service) {
  const response = await openRequest({
    agent,
    socketPath: path.join(world.home, 'gateway.sock'),
    method: 'GET',
    path: '/metrics',
  });
  const body = await text(response);
  const figure = (name: string): number => Number(new RegExp(`^${name} (.*)$`, 'm').exec(body)?.[1]);
  const pss = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/smaps_rollup`, 'utf8'))?.[1];
  return {
    rssMiB: Math.round(figure('process_resident_memory_bytes') / 2 ** 20),
    pssMiB: Math.round(Number(pss) / 1024),
    cpuS: round(figure('process_cpu_seconds_total')),
    lag99Ms: round(figure('fleet_gateway_event_loop_lag_p99_seconds') * 1e3),
    lagMaxMs: round(figure('fleet_gateway_event_loop_lag_max_seconds') * 1e3),
    sessions: figure('fleet_gateway_sessions'),
    refused: figure('fleet_gateway_ssh_refused_total'),
    load: round(os.loadavg()[0] ?? 0),
  };
}

function failures(): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const each of counters)
    for (const [failure, times] of Object.entries(each.failures)) sums[failure] = (sums[failure] ?? 0) + times;
  return sums;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function report(what: string, figures: unknown): void {
  console.log(`${what}: ${typeof figures === 'object' ? JSON.stringify(figures) : String(figures)}`);
}
