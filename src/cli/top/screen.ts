/** The terminal of `fleet top`: the alternate screen without a cursor, single key presses; and its state restored, whatever happens. */
import type { CliContext, InputStream } from '../context/command.ts';

/** Alternate screen buffer and cursor off (xterm: DECSET 1049, DECTCEM). */
const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_TO_END_OF_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';

interface ScreenEvents {
  key(key: Key): void;
  resize(): void;
  /** The terminal was closed. */
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
    const input = this.#context.openStdin();
    // First: in the background this stops the process before it writes to the terminal of the foreground job.
    if (input.isTTY === true) input.setRawMode?.(true);
    out.write(ENTER);
    this.#stopResize = out.onResize(() => this.#events.resize());
    // Works without a keyboard; Ctrl-C ends it.
    if (input.isTTY !== true) return;
    this.#input = input;
    input.on('data', this.#onData);
    input.once('end', this.#onEnd);
    input.on('error', this.#onEnd);
    input.resume();
  }

  /** Replaces the previous frame without flicker. */
  show(lines: readonly string[]): void {
    const frame = lines.map((line) => line + CLEAR_TO_END_OF_LINE).join('\r\n');
    this.#context.out.write(`${HOME}${frame}${CLEAR_BELOW}`);
  }

  /** Restores the terminal. Idempotent. */
  leave(): void {
    if (this.#stopResize === undefined) return;
    this.#stopResize();
    this.#stopResize = undefined;
    const input = this.#input;
    if (input !== undefined) {
      input.off('data', this.#onData);
      input.off('end', this.#onEnd);
      input.off('error', this.#onEnd);
      // A closed terminal cannot be changed.
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

/** A named key, or the character that was typed. */
export type Key =
  | { name: 'up' | 'down' | 'pageUp' | 'pageDown' | 'home' | 'end' | 'enter' | 'escape' | 'erase' | 'quit' | 'stop' }
  | { text: string };

const SEQUENCES: Readonly<Record<string, Extract<Key, { name: string }>['name']>> = {
  '[A': 'up',
  OA: 'up',
  '[B': 'down',
  OB: 'down',
  '[5~': 'pageUp',
  '[6~': 'pageDown',
  '[H': 'home',
  OH: 'home',
  '[1~': 'home',
  '[F': 'end',
  OF: 'end',
  '[4~': 'end',
};

const CONTROL: Readonly<Record<string, Extract<Key, { name: string }>['name']>> = {
  '\r': 'enter',
  '\n': 'enter',
  '\u007f': 'erase',
  '\b': 'erase',
  // In raw mode, Ctrl-C, Ctrl-D and Ctrl-Z are ordinary characters.
  '\u0003': 'quit',
  '\u0004': 'quit',
  '\u001a': 'stop',
};

/** The keys of one chunk from a terminal in raw mode, in order (ECMA-48, xterm's "PC-Style Function Keys"). Drops unknown ones. */
export function decodeKeys(chunk: string): Key[] {
  const keys: Key[] = [];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
  for (const [part] of chunk.matchAll(/\u001b(?:\[[0-9;?]*[@-~]|O[@-~])|./gsu)) {
    if (part.length > 1 && part.startsWith('\u001b')) {
      const name = SEQUENCES[part.slice(1)];
      if (name !== undefined) keys.push({ name });
    } else if (part === '\u001b') keys.push({ name: 'escape' });
    else if (Object.hasOwn(CONTROL, part)) keys.push({ name: CONTROL[part] ?? 'escape' });
    else if (!/\p{C}/u.test(part)) keys.push({ text: part });
  }
  return keys;
}
