/** The data types of SSH's wire and file formats. RFC 4251, 5. */

/** A 32-bit number, big endian. */
export function sshUint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Length and bytes; text as UTF-8. */
export function sshString(value: string | Uint8Array): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  return Buffer.concat([sshUint32(bytes.length), bytes]);
}

/** Reads from front to back. Without enough bytes, a method returns undefined and does not advance. */
export class SshReader {
  readonly #buffer: Buffer;
  #offset = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  get remaining(): number {
    return this.#buffer.length - this.#offset;
  }

  bytes(length: number): Buffer | undefined {
    if (this.remaining < length) return undefined;
    const start = this.#offset;
    this.#offset += length;
    return this.#buffer.subarray(start, this.#offset);
  }

  uint32(): number | undefined {
    return this.bytes(4)?.readUInt32BE();
  }

  string(): Buffer | undefined {
    if (this.remaining < 4) return undefined;
    const length = this.#buffer.readUInt32BE(this.#offset);
    if (this.remaining < 4 + length) return undefined;
    this.#offset += 4;
    return this.bytes(length);
  }
}
