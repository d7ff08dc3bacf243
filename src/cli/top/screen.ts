/** The terminal while `fleet top` has it: another screen without a cursor, keys as they are pressed; and as it was before, whatever happens. */
import type { CliContext, InputStream } from '../context.ts';
import { decodeKeys, type Key } from './keys.ts';

/** Alternate screen buffer and cursor off (xterm: DECSET 1049, DECTCEM). */
const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_TO_END_OF_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';

export interface ScreenEvents {
  key(key: Key): void;
  resize(): void;
  /** The keyboard is gone: the terminal was closed. */
  hangUp(): void;
}

export class Screen {
  readonly #context: Pick<CliContext, 'out' | 'openStdin'>;
  readonly #events: ScreenEvents;
  #input: InputStream | undefined;
  #stopResize: (() => void) | undefined;

  constructor(context: Pick<CliContext, 'out' | 'openStdin'>, events: ScreenEvents) {
    this.#context = context;
    this.#events = events;
  }

  enter(): void {
    const { out } = this.#context;
    out.write(ENTER);
    this.#stopResize = out.onResize(() => this.#events.resize());
    const input = this.#context.openStdin();
    // Without a keyboard it still shows; Ctrl-C ends it.
    if (input.isTTY !== true) return;
    this.#input = input;
    input.setRawMode?.(true);
    input.on('data', this.#onData);
    input.once('end', this.#onEnd);
    input.on('error', this.#onEnd);
    input.resume();
  }

  /** Lines from the top; nothing of the frame before stays, and nothing flickers. */
  show(lines: readonly string[]): void {
    const frame = lines.map((line) => line + CLEAR_TO_END_OF_LINE).join('\r\n');
    this.#context.out.write(`${HOME}${frame}${CLEAR_BELOW}`);
  }

  /** Gives the terminal back. Idempotent. */
  leave(): void {
    if (this.#stopResize === undefined) return;
    this.#stopResize();
    this.#stopResize = undefined;
    const input = this.#input;
    if (input !== undefined) {
      input.off('data', this.#onData);
      input.off('end', this.#onEnd);
      input.off('error', this.#onEnd);
      // A terminal that was closed cannot be set any more.
      if (!input.destroyed) input.setRawMode?.(false);
      input.pause();
    }
    this.#context.out.write(LEAVE);
  }

  readonly #onData = (chunk: Buffer | string): void => {
    for (const key of decodeKeys(chunk.toString())) this.#events.key(key);
  };

  readonly #onEnd = (): void => this.#events.hangUp();
}
