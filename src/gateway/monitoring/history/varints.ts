/** Whole numbers in as few bytes as they need: seven bits a byte, lowest first, the highest bit says that more follow (LEB128). */

/** Beyond what fits, a figure is nonsense: it is stored as the largest that does. */
const MOST = Number.MAX_SAFE_INTEGER / 4;

export class VarintWriter {
  readonly #bytes: number[] = [];

  /** A number from 0 on. */
  unsigned(value: number): void {
    let rest = Math.min(Math.max(0, Math.round(value)), MOST);
    // Not with shifts: those work on 32 bits only.
    while (rest >= 0x80) {
      this.#bytes.push((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes.push(rest);
  }

  /** Any number; small ones of either sign are short (zigzag). */
  signed(value: number): void {
    const whole = Math.min(Math.max(-MOST / 4, Math.round(value)), MOST / 4);
    this.unsigned(whole < 0 ? -2 * whole - 1 : 2 * whole);
  }

  finish(): Buffer {
    return Buffer.from(this.#bytes);
  }
}

/** Reads what {@link VarintWriter} wrote. Past the end it reads zeros, so that a damaged row is wrong but not fatal. */
export class VarintReader {
  readonly #bytes: Uint8Array;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#position >= this.#bytes.length;
  }

  unsigned(): number {
    let byte = this.#bytes[this.#position] ?? 0;
    this.#position += 1;
    if (byte < 0x80) return byte;
    let value = byte & 0x7f;
    let factor = 0x80;
    do {
      byte = this.#bytes[this.#position] ?? 0;
      this.#position += 1;
      value += (byte & 0x7f) * factor;
      factor *= 0x80;
    } while (byte >= 0x80);
    return value;
  }

  /** Passes over `count` numbers, of either kind. */
  skip(count: number): void {
    const bytes = this.#bytes;
    let left = count;
    for (; left > 0 && this.#position < bytes.length; this.#position += 1) {
      if ((bytes[this.#position] ?? 0) < 0x80) left -= 1;
    }
  }

  signed(): number {
    const value = this.unsigned();
    return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
  }
}
