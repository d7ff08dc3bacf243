/** A client that speaks by hand up to the first keys, and says when it likes what no library lets it say. */
import { generateKeyPairSync } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { SshReader, sshString, sshUint32 } from '../../../src/shared/ssh/ssh-wire.ts';
import { within } from './fixtures.ts';

export const KEXINIT = 20;
export const ECDH_INIT = 30;
export const ECDH_REPLY = 31;
const COOKIE_BYTES = 16;
const PADDING_BYTES = 4;
const BLOCK_BYTES = 8;
/** For a machine that is ten times slower than most. */
const ANSWER_MS = 20_000;

/** What this end offers; one list of ciphers for both directions. RFC 4253, 7.1. */
export interface ClientList {
  kex: string[];
  ciphers: string[];
  /** `first_kex_packet_follows`. */
  guesses?: boolean;
}

export function kexInit({ kex, ciphers, guesses = false }: ClientList): Buffer {
  const lists = [
    kex,
    ['ssh-ed25519'],
    ciphers,
    ciphers,
    ['hmac-sha2-256'],
    ['hmac-sha2-256'],
    ['none'],
    ['none'],
    [],
    [],
  ];
  const names = lists.map((list) => sshString(list.join(',')));
  return Buffer.concat([
    Buffer.from([KEXINIT]),
    Buffer.alloc(COOKIE_BYTES, 7),
    ...names,
    Buffer.from([Number(guesses)]),
    sshUint32(0),
  ]);
}

/** A key exchange that a server answers. RFC 8731, 3. */
export function ecdhInit(): Buffer {
  const { x = '' } = generateKeyPairSync('x25519').publicKey.export({ format: 'jwk' });
  return Buffer.concat([Buffer.from([ECDH_INIT]), sshString(Buffer.from(x, 'base64url'))]);
}

/** The packet of a payload, as it is before the first keys. RFC 4253, 6. */
export function plainPacket(payload: Buffer): Buffer {
  const padding = PADDING_BYTES + BLOCK_BYTES - ((5 + payload.length + PADDING_BYTES) % BLOCK_BYTES);
  return Buffer.concat([
    sshUint32(1 + payload.length + padding),
    Buffer.from([padding]),
    payload,
    Buffer.alloc(padding),
  ]);
}

/** Key exchanges, and ciphers from client to server, of a KEXINIT. */
export function readList(payload: Buffer): { kex: string[]; ciphers: string[] } {
  const reader = new SshReader(payload.subarray(1 + COOKIE_BYTES));
  const names = (): string[] => String(reader.string()).split(',');
  const [kex = [], , ciphers = []] = [names(), names(), names()];
  return { kex, ciphers };
}

export class PlainClient {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  #received = Buffer.alloc(0);
  #wake = (): void => {};

  constructor(port: number) {
    this.socket = connect({ host: '127.0.0.1', port, noDelay: true });
    // Being cut off is what these tests are about.
    this.socket.on('error', () => {});
    this.socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    this.closed = new Promise((resolve) => this.socket.once('close', () => resolve()));
    void this.closed.then(() => this.#wake());
  }

  /** In one segment. */
  send(...parts: (string | Buffer)[]): void {
    this.socket.write(
      Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : plainPacket(part)))),
    );
  }

  /** The next line, or undefined when the connection is closed before it comes. */
  line(): Promise<string | undefined> {
    return this.#take(() => this.#received.indexOf('\n') + 1).then((bytes) => bytes?.toString().trimEnd());
  }

  /** The payload of the next packet, likewise. */
  payload(): Promise<Buffer | undefined> {
    const length = (): number => (this.#received.length < 4 ? 0 : 4 + this.#received.readUInt32BE());
    return this.#take(length).then((packet) => packet?.subarray(5, packet.length - (packet[4] ?? 0)));
  }

  async #take(length: () => number): Promise<Buffer | undefined> {
    const wait = async (): Promise<Buffer | undefined> => {
      while (length() === 0 || this.#received.length < length()) {
        if (this.socket.destroyed) return undefined;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      const taken = this.#received.subarray(0, length());
      this.#received = this.#received.subarray(taken.length);
      return taken;
    };
    return within(ANSWER_MS, wait(), 'an answer of the server');
  }
}
