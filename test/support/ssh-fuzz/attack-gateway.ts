/** Hostile connections against a gateway's port, one seed each: before the key exchange, before authentication, and after. */
import { connect } from 'node:net';
import { HostileClient } from '../../gateway/ssh/fixtures.ts';
import type { SeededRandom } from '../chaos/seeded-random.ts';
import type { GatewayTarget } from './gateway-target.ts';
import { honestBeginning, plainPacket, someKexInit, somePayload, someStrangersPayload } from './mutate-packet.ts';

/** What a connection that is not cut waits for, at most, before it goes by itself, ms. */
const LINGER_MS = 30;
/** A handshake that does not come about is given up, ms. */
const HANDSHAKE_MS = 10_000;

const IDENTS = [
  'SSH-2.0-fuzz\r\n',
  'SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n',
  'SSH-1.99-x\n',
  'SSH-2.0-Cisco-1.25\r\n',
] as const;
const WRONG_IDENTS = [
  '',
  'SSH-1.5-x\r\n',
  'GET / HTTP/1.1\r\n\r\n',
  '\r'.repeat(50_000),
  `SSH-2.0-${'x'.repeat(9000)}\r\n`,
  '\u0016\u0003\u0001',
] as const;

export const PHASES = ['before keys', 'before authentication', 'authenticated'] as const;
export type Phase = (typeof PHASES)[number];

export type AttackTarget = Pick<GatewayTarget, 'port' | 'keys' | 'destination'>;

export interface Attack {
  phase: Phase;
  packets: number;
}

/** One connection from its beginning to its end; resolves when its socket is closed. */
export async function attackGateway(target: AttackTarget, random: SeededRandom): Promise<Attack> {
  const phase = random.pick(PHASES);
  const packets =
    phase === 'before keys' ? await attackPlain(target.port, random) : await attackEncrypted(target, random, phase);
  return { phase, packets };
}

async function attackPlain(port: number, random: SeededRandom): Promise<number> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.on('error', () => {}).resume();
  socket.write(random.chance(0.9) ? random.pick(IDENTS) : random.pick(WRONG_IDENTS), 'latin1');
  let packets = 0;
  for (let left = random.int(1, 8); left > 0; left -= 1) {
    // Whatever else comes first, cuts the connection.
    const payload = random.chance(packets === 0 ? 0.9 : 0.5) ? someKexInit(random) : somePayload(random);
    socket.write(plainPacket(random, payload));
    packets += 1;
    if (random.chance(0.3)) await turn();
  }
  await linger(closed);
  if (random.chance(0.5)) socket.resetAndDestroy();
  else socket.destroy();
  await closed;
  return packets;
}

async function attackEncrypted(
  { port, keys: privateKeys, destination }: AttackTarget,
  random: SeededRandom,
  phase: Phase,
): Promise<number> {
  const hostile = new HostileClient();
  const event = phase === 'authenticated' ? 'ready' : 'handshake';
  const begun = new Promise<void>((resolve) => {
    if (event === 'ready') hostile.client.once('ready', resolve);
    else hostile.client.once('handshake', () => resolve());
  });
  const keys = { privateKey: random.pick(privateKeys), readyTimeout: HANDSHAKE_MS };
  // The attacker's own ssh2 does nothing more by itself than it must to get there.
  hostile.start(port, event === 'handshake' ? { ...keys, authHandler: () => undefined } : keys);
  await Promise.race([begun, hostile.closed]);
  const { _protocol, _sock } = hostile.internals;
  for (const name of Object.keys(_protocol._handlers)) Object.assign(_protocol._handlers, { [name]: () => {} });
  const isStranger = phase !== 'authenticated';
  let packets = 0;
  if (!isStranger && random.chance(0.7))
    for (const payload of honestBeginning(random, destination)) hostile.send(payload);
  for (let left = random.int(1, 60); left > 0 && _sock.writable; left -= 1) {
    packets += 1;
    try {
      if (random.chance(0.02)) _protocol.rekey();
      else if (random.chance(0.01)) _sock.write(Buffer.alloc(random.int(1, 200), random.int(0, 255)));
      else {
        const payload = isStranger && random.chance(0.95) ? someStrangersPayload(random) : somePayload(random);
        sendTimes(hostile, payload, random.chance(0.05) ? 50 : 1);
      }
    } catch {
      // The attacker's ssh2 has given up; so has this connection.
      break;
    }
    if (random.chance(0.2)) await turn();
  }
  if (random.chance(0.1)) _sock.pause();
  await linger(hostile.closed);
  hostile.destroy();
  await hostile.closed;
  return packets;
}

function sendTimes(hostile: HostileClient, payload: Buffer, times: number): void {
  for (let count = 0; count < times; count += 1) hostile.send(payload);
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function linger(closed: Promise<void>): Promise<void> {
  return Promise.race([closed, new Promise<void>((resolve) => setTimeout(resolve, LINGER_MS))]);
}
