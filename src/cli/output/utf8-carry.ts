/** Keeps UTF-8 characters whole across the chunks of a stream, so that text stays text wherever the network cut it. */

/** Longest part of a character that can be missing its end, bytes (RFC 3629: a character has at most 4). */
const MAX_TAIL_BYTES = 3;

/** One stream's memory of the last, unfinished character. */
export class Utf8Carry {
  #tail: Buffer = Buffer.alloc(0);

  /** `chunk` after what was held back, without an unfinished character at its end. May be empty. */
  push(chunk: Uint8Array): Buffer {
    const bytes = Buffer.concat([this.#tail, chunk]);
    const whole = bytes.length - unfinishedTailBytes(bytes);
    this.#tail = Buffer.from(bytes.subarray(whole));
    return bytes.subarray(0, whole);
  }

  /** What is still held back, at the end of the stream. */
  flush(): Buffer {
    const tail = this.#tail;
    this.#tail = Buffer.alloc(0);
    return tail;
  }
}

/** Bytes at the end that begin a character of UTF-8 without finishing it: 0 to 3. */
export function unfinishedTailBytes(bytes: Uint8Array): number {
  for (let length = 1; length <= Math.min(MAX_TAIL_BYTES, bytes.length); length += 1) {
    const byte = bytes[bytes.length - length] ?? 0;
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) return characterBytes(byte) > length ? length : 0;
  }
  return 0;
}

function characterBytes(leadByte: number): number {
  if (leadByte >= 0xf8) return 1;
  if (leadByte >= 0xf0) return 4;
  return leadByte >= 0xe0 ? 3 : 2;
}
