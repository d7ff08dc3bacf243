/** A gateway's SSH port, honest peers and hostile ones, on loopback. */
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import type { ConnectConfig } from 'ssh2';
import { PublicPort, type PublicPortOptions } from '../../../src/gateway/ssh/public-port.ts';
import { systemClock } from '../../../src/shared/clock.ts';
import { silentLogger } from '../../../src/shared/logger.ts';
import { CLIENT_ALGORITHMS } from '../../../src/shared/ssh/algorithms.ts';
import type { SshConnection } from '../../../src/shared/ssh/connection/client-connection.ts';
import { connectSsh, type SshConnectOptions } from '../../../src/shared/ssh/connection/connect.ts';
import { internalsOf, type Ssh2Connection } from '../../../src/shared/ssh/patches/internals.ts';
import { Client } from '../../../src/shared/ssh/patches/ssh2.ts';
import type { PeerAccess } from '../../../src/shared/ssh/server/peers.ts';
import type { SshPeer } from '../../../src/shared/ssh/server/ssh-session.ts';
import { encodeOpenSshPrivateKey, type SshKeyPair } from '../../../src/shared/ssh/ssh-key.ts';
import { sshString, sshUint32 } from '../../../src/shared/ssh/ssh-wire.ts';

export function newKeyPair(comment = 'test'): SshKeyPair {
  const { privateKey } = generateKeyPairSync('ed25519');
  const { d = '', x = '' } = privateKey.export({ format: 'jwk' });
  return { seed: Buffer.from(d, 'base64url'), publicKey: Buffer.from(x, 'base64url'), comment };
}

export function newKeyText(): string {
  return encodeOpenSshPrivateKey(newKeyPair());
}

export interface TestServer {
  server: PublicPort;
  port: number;
  hostKey: SshKeyPair;
  /** In the order in which they authenticated. */
  peers: SshPeer[];
  /** The next peer, or the one that came already and was not asked for. */
  nextPeer(): Promise<SshPeer>;
}

/** A server on a free port of loopback; every peer gets `handlers`. Close `server` afterwards. */
export async function startServer(
  handlers: Partial<PeerAccess> | ((peer: SshPeer) => Partial<PeerAccess>) = {},
  options: Partial<PublicPortOptions> = {},
): Promise<TestServer> {
  const hostKey = newKeyPair('host');
  const peers: SshPeer[] = [];
  const waiting: ((peer: SshPeer) => void)[] = [];
  let taken = 0;
  const server = new PublicPort({
    hostKey: encodeOpenSshPrivateKey(hostKey),
    clock: systemClock,
    logger: silentLogger,
    onPeer: (peer) => {
      peers.push(peer);
      waiting.shift()?.(peer);
      return { maxChannels: 64, ...(typeof handlers === 'function' ? handlers(peer) : handlers) };
    },
    ...options,
  });
  const { port } = await server.listen('127.0.0.1', 0);
  const nextPeer = (): Promise<SshPeer> => {
    const peer = peers[taken];
    taken += 1;
    return peer === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(peer);
  };
  return { server, port, hostKey, peers, nextPeer };
}

/** An honest peer, as a node would connect. */
export function connectPeer(port: number, options: Partial<SshConnectOptions> = {}): Promise<SshConnection> {
  return connectSsh({
    host: '127.0.0.1',
    port,
    user: 'node',
    privateKey: newKeyText(),
    verifyHostKey: () => {},
    clock: systemClock,
    logger: silentLogger,
    ...options,
  });
}

/** ssh2's own client with nothing hardened, and a way to send any packet. */
export class HostileClient {
  readonly client = new Client();
  readonly closed: Promise<void>;

  constructor() {
    // Being cut off is what these tests are about.
    this.client.on('error', () => {});
    this.closed = new Promise((resolve) => this.client.once('close', () => resolve()));
  }

  get internals(): Ssh2Connection {
    return internalsOf(this.client);
  }

  start(port: number, config: ConnectConfig = {}): void {
    this.client.connect({
      host: '127.0.0.1',
      port,
      username: 'hostile',
      privateKey: newKeyText(),
      algorithms: CLIENT_ALGORITHMS,
      ...config,
    });
  }

  async connect(port: number, config: ConnectConfig = {}): Promise<this> {
    this.start(port, config);
    await once(this.client, 'ready');
    return this;
  }

  send(payload: Buffer): void {
    sendPacket(this.internals, payload);
  }

  destroy(): void {
    this.internals._sock.destroy();
  }
}

interface PacketSender {
  _cipher: { encrypt(packet: Buffer): void };
  _packetRW: { write: { allocStart: number; alloc(size: number): Buffer; finalize(packet: Buffer): Buffer } };
}

/** Sends one SSH packet as it is, past all of ssh2's state. */
export function sendPacket(connection: Ssh2Connection, payload: Buffer): void {
  const { _cipher, _packetRW } = connection._protocol as unknown as PacketSender;
  const packet = _packetRW.write.alloc(payload.length);
  packet.set(payload, _packetRW.write.allocStart);
  _cipher.encrypt(_packetRW.write.finalize(packet));
}

/** Fails when `promise` takes longer than `ms`, so that a defect is a failed test and not a hanging one. */
export async function within<T>(ms: number, promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks again and again until it is true. */
export async function eventually(condition: () => boolean, what: string, ms = 20_000): Promise<void> {
  const deadline = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The value of a counter once it has stopped changing for 50 ms. */
export async function settled(read: () => number, what: string): Promise<number> {
  let last = Number.NaN;
  let unchanged = 0;
  await eventually(() => {
    const now = read();
    unchanged = now === last ? unchanged + 1 : 0;
    last = now;
    return unchanged >= 10;
  }, what);
  return last;
}

/** Fields of SSH packets for {@link sendPacket}. */
export function packet(type: number, ...fields: (string | number | boolean | Uint8Array)[]): Buffer {
  const parts = fields.map((field) => {
    if (typeof field === 'boolean') return Buffer.from([field ? 1 : 0]);
    return typeof field === 'number' ? sshUint32(field) : sshString(field);
  });
  return Buffer.concat([Buffer.from([type]), ...parts]);
}

/** SSH_MSG_CHANNEL_OPEN of a `direct-tcpip` channel. RFC 4254, 7.2. */
export function directTcpipOpen(
  sender: number,
  { window = 2 ** 21, packetSize = 32_768, host = 'any', port = 1 } = {},
) {
  return packet(90, 'direct-tcpip', sender, window, packetSize, host, port, '127.0.0.1', 1);
}
