/** SSH messages that are almost right: the right fields with wrong values, wrong lengths, cut short, too long, out of place. */
import { sshString, sshUint32 } from '../../../src/shared/ssh/ssh-wire.ts';
import type { SeededRandom } from '../chaos/seeded-random.ts';

type Field = string | number | boolean | Buffer;

const NUMBERS = [
  0,
  1,
  2,
  7,
  1023,
  1024,
  32_768,
  35_000,
  2 ** 21,
  0x7fff_ffff,
  0x8000_0000,
  0xffff_fffe,
  0xffff_ffff,
] as const;
const NAMES = [
  '',
  'ssh-userauth',
  'ssh-connection',
  'publickey',
  'password',
  'none',
  'keyboard-interactive',
  'hostbased',
  'ssh-ed25519',
  'rsa-sha2-256',
  'ecdsa-sha2-nistp256',
  'session',
  'direct-tcpip',
  'forwarded-tcpip',
  'direct-streamlocal@openssh.com',
  'x11',
  'auth-agent@openssh.com',
  'tcpip-forward',
  'cancel-tcpip-forward',
  'streamlocal-forward@openssh.com',
  'hostkeys-00@openssh.com',
  'no-more-sessions@openssh.com',
  'keepalive@openssh.com',
  'server-sig-algs',
  'curve25519-sha256',
  'kex-strict-c-v00@openssh.com',
  'aes128-gcm@openssh.com',
  'zlib',
  'pty-req',
  'exec',
  'shell',
  'subsystem',
  'env',
  'signal',
  'exit-status',
  'exit-signal',
  'window-change',
  'x11-req',
  '__proto__',
  'constructor',
] as const;

/** What a channel to the API may carry, whole or in part. */
const REQUESTS = [
  'GET /v1/nodes HTTP/1.1\r\nhost: x\r\n\r\n',
  'POST /v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer x.y.z\r\ncontent-length: 4000000000\r\n\r\n{"',
  'POST /v1/pairing/challenge HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}',
  'PUT /v1/heartbeat HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n',
  'GET / HTTP/1.1\r\nhost: x\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n',
] as const;

/** By name, the messages of RFC 4253, 4252, 4254 and 8308 that a peer may send, with fields as they ought to be. */
const TEMPLATES = {
  disconnect: () => [1, 11, 'bye', ''],
  ignore: (random) => [2, bytes(random, 200)],
  unimplemented: (random) => [3, number(random)],
  debug: () => [4, true, 'debug', ''],
  serviceRequest: () => [5, 'ssh-userauth'],
  serviceAccept: () => [6, 'ssh-userauth'],
  extInfo: (random) => [7, number(random), 'server-sig-algs', 'ssh-ed25519', name(random), 'value'],
  kexInit: (random) => kexInit(random),
  newKeys: () => [21],
  kexReply: (random) => [random.int(30, 49), bytes(random, 32), bytes(random, 32), bytes(random, 83)],
  authPublicKey: (random) => [
    50,
    'user',
    'ssh-connection',
    'publickey',
    true,
    name(random),
    bytes(random, 51),
    bytes(random, 83),
  ],
  authProbe: (random) => [50, 'user', 'ssh-connection', 'publickey', false, 'ssh-ed25519', bytes(random, 51)],
  authOther: (random) => [50, 'user', 'ssh-connection', name(random), true, bytes(random, 20), bytes(random, 20)],
  authAnswer: (random) => [random.int(51, 66), name(random), true, number(random), name(random)],
  globalRequest: (random) => [80, name(random), random.chance(0.5), name(random), number(random)],
  hostKeys: (random) => [80, 'hostkeys-00@openssh.com', true, bytes(random, 51), key(random)],
  globalAnswer: (random) => [random.int(81, 82), number(random)],
  channelOpen: (random) => [
    90,
    name(random),
    id(random),
    number(random),
    packetSize(random),
    name(random),
    number(random),
    '::1',
    1,
  ],
  directOpen: (random) => [
    90,
    'direct-tcpip',
    id(random),
    2 ** 21,
    packetSize(random),
    random.pick(['echo', 'fleet-gateway'] as const),
    1,
    '127.0.0.1',
    1,
  ],
  forwardedOpen: (random) => [90, 'forwarded-tcpip', id(random), 2 ** 21, 32_768, 'fleet-node', 1, '127.0.0.1', 1],
  confirmation: (random) => [91, id(random), id(random), number(random), packetSize(random)],
  openFailure: (random) => [92, id(random), number(random), 'no', ''],
  windowAdjust: (random) => [93, id(random), number(random)],
  data: (random) => [94, id(random), bytes(random, random.pick([0, 1, 100, 32_000] as const))],
  request: (random) => [94, id(random), random.pick(REQUESTS)],
  extendedData: (random) => [95, id(random), number(random), bytes(random, 100)],
  eof: (random) => [96, id(random)],
  close: (random) => [97, id(random)],
  channelRequest: (random) => [
    98,
    id(random),
    name(random),
    random.chance(0.5),
    name(random),
    number(random),
    number(random),
  ],
  channelAnswer: (random) => [random.int(99, 100), id(random)],
  unknown: (random) => [random.int(101, 255), bytes(random, 50)],
} satisfies Record<string, (random: SeededRandom) => Field[]>;

const TEMPLATE_NAMES = Object.keys(TEMPLATES) as [keyof typeof TEMPLATES, ...(keyof typeof TEMPLATES)[]];
const STRANGERS = [
  'ignore',
  'debug',
  'unimplemented',
  'extInfo',
  'serviceRequest',
  'authPublicKey',
  'authProbe',
  'authOther',
] as const;
/** One in so many is left as it is, so that a session gets anywhere. */
const HONEST = 0.4;
/** ssh2 takes packets up to 35,000 bytes. */
const OVERSIZED_BYTES = 40_000;

/** The payload of some message, right or wrong. */
export function somePayload(random: SeededRandom): Buffer {
  return mutate(random, TEMPLATES[random.pick(TEMPLATE_NAMES)](random));
}

/** The payload of some message that a stranger may send, or of it at least the type. */
export function someStrangersPayload(random: SeededRandom): Buffer {
  return mutate(random, TEMPLATES[random.pick(STRANGERS)](random));
}

/** What a peer does first: a forward, and two channels. */
export function honestBeginning(random: SeededRandom, destination: string): Buffer[] {
  const open = (sender: number): Field[] => {
    return [90, 'direct-tcpip', sender, 2 ** 21, packetSize(random), destination, 1, '127.0.0.1', 1];
  };
  return [[80, 'tcpip-forward', true, 'fleet-node', 1], open(0), open(1)].map(assemble);
}

/** KEXINIT (RFC 4253, 7.1) as a client would send it, or nearly so. */
export function someKexInit(random: SeededRandom): Buffer {
  return mutate(random, kexInit(random));
}

/** As it goes over the wire before there are keys, or nearly so. RFC 4253, 6. */
export function plainPacket(random: SeededRandom, payload: Buffer): Buffer {
  const paddingBytes = 8 - ((5 + payload.length) % 8) + 8;
  const packet = Buffer.alloc(5 + payload.length + paddingBytes);
  packet.writeUInt32BE(random.chance(0.1) ? number(random) : packet.length - 4);
  packet.writeUInt8(random.chance(0.1) ? random.int(0, 255) : paddingBytes, 4);
  packet.set(payload, 5);
  return packet;
}

function mutate(random: SeededRandom, [type, ...fields]: Field[]): Buffer {
  const parts: Buffer[] = [Buffer.from([Number(type)])];
  const honest = random.chance(HONEST);
  for (const field of fields) parts.push(honest ? encode(undefined, field) : encode(random, evil(random, field)));
  const payload = Buffer.concat(parts);
  if (honest) return payload;
  if (random.chance(0.1)) return payload.subarray(0, random.int(0, payload.length));
  if (random.chance(0.1)) return Buffer.concat([payload, bytes(random, 1000)]);
  if (random.chance(0.01)) return Buffer.concat([payload, Buffer.alloc(OVERSIZED_BYTES)]);
  if (random.chance(0.2)) flipBits(random, payload);
  return payload;
}

function assemble([type, ...fields]: Field[]): Buffer {
  return Buffer.concat([Buffer.from([Number(type)]), ...fields.map((field) => encode(undefined, field))]);
}

function evil(random: SeededRandom, field: Field): Field {
  if (!random.chance(0.25)) return field;
  if (typeof field === 'number') return number(random);
  if (typeof field === 'boolean') return !field;
  return random.pick([name(random), key(random), bytes(random, 30_000), ','.repeat(30_000), '\u0000'] as const);
}

/** With `random`, the length of a text may be a lie. */
function encode(random: SeededRandom | undefined, field: Field): Buffer {
  if (typeof field === 'boolean') return Buffer.from([field ? 1 : 0]);
  if (typeof field === 'number') return sshUint32(field >>> 0);
  const text = sshString(field);
  if (random?.chance(0.05)) text.writeUInt32BE(number(random));
  return text;
}

function kexInit(random: SeededRandom): Field[] {
  const lists = [
    random.pick(['curve25519-sha256', 'curve25519-sha256,kex-strict-c-v00@openssh.com'] as const),
    'ssh-ed25519',
    ...random.pick([
      ['aes128-gcm@openssh.com', 'aes128-gcm@openssh.com'],
      ['chacha20-poly1305@openssh.com', 'aes256-gcm@openssh.com'],
    ] as const),
    '',
    '',
    'none',
    'none',
    '',
    '',
  ];
  // The cookie has no length, so it comes as four numbers.
  return [20, number(random), number(random), number(random), number(random), ...lists, random.chance(0.3), 0];
}

/** What looks like a key to some parser, up to the longest that fits. */
function key(random: SeededRandom): Buffer {
  const header = random.pick([
    '-----BEGIN RSA PRIVATE KEY-----\n',
    '---- BEGIN SSH2 PUBLIC KEY ----\n',
    'ssh-rsa ',
    '',
  ] as const);
  const line = random.pick(['a:b\n', 'a::\n', 'A', ' ', '\n', '\u0000\u0000\u0000\u0001x'] as const);
  return Buffer.from(
    (header + line.repeat(Math.floor(34_000 / line.length))).slice(0, random.int(0, 34_000)),
    'latin1',
  );
}

function flipBits(random: SeededRandom, payload: Buffer): void {
  for (let count = random.int(1, 4); count > 0 && payload.length > 0; count -= 1) {
    const at = random.int(0, payload.length - 1);
    payload[at] = (payload[at] ?? 0) ^ (1 << random.int(0, 7));
  }
}

function bytes(random: SeededRandom, mostBytes: number): Buffer {
  const length = random.chance(0.5) ? mostBytes : random.int(0, mostBytes);
  // Random bytes are dear, and of long ones only the length matters.
  if (length > 256) return Buffer.alloc(length, random.int(0, 255));
  return Buffer.from(Array.from({ length }, () => random.int(0, 255)));
}

function number(random: SeededRandom): number {
  return random.chance(0.8) ? random.pick(NUMBERS) : random.int(0, 0xffff_ffff);
}

/** Mostly channels that exist: both sides count from 0. */
function id(random: SeededRandom): number {
  return random.chance(0.8) ? random.int(0, 3) : number(random);
}

/** Mostly one that does not end the connection. */
function packetSize(random: SeededRandom): number {
  return random.chance(0.85) ? 32_768 : number(random);
}

function name(random: SeededRandom): string {
  return random.pick(NAMES);
}
