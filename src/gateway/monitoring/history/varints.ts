/** Whole numbers in as few bytes as they need (LEB128): seven bits per byte, lowest first; the highest bit means that more follow. */

/** Larger figures are nonsense and are stored as this. */
const LARGEST = Number.MAX_SAFE_INTEGER / 4;

export class VarintWriter {
  readonly #bytes: number[] = [];

  /** @param value At least 0. */
  unsigned(value: number): void {
    let rest = Math.min(Math.max(0, Math.round(value)), LARGEST);
    // Shifts would work on 32 bits only.
    while (rest >= 0x80) {
      this.#bytes.push((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes.push(rest);
  }

  /** Small numbers of either sign are short (zigzag). */
  signed(value: number): void {
    const whole = Math.min(Math.max(-LARGEST / 4, Math.round(value)), LARGEST / 4);
    this.unsigned(whole < 0 ? -2 * whole - 1 : 2 * whole);
  }

  finish(): Buffer {
    return Buffer.from(this.#bytes);
  }
}

/** Reads what {@link VarintWriter} wrote, and zeros past the end, so that a damaged row gives wrong figures but no failure. */
export class VarintReader {
  readonly #bytes: Uint8Array;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
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

  signed(): number {
    const value = this.unsigned();
    return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
  }

  /** Skips `count` numbers of either kind. */
  skip(count: number): void {
    const bytes = this.#bytes;
    let left = count;
    for (; left > 0 && this.#position < bytes.length; this.#position += 1) {
      if ((bytes[this.#position] ?? 0) < 0x80) left -= 1;
    }
  }
}
