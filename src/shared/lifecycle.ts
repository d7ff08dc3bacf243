/** Opens the parts of something long-lived one after the other and closes them in reverse, also when the close comes in the middle of the start. */
import { FleetError } from './errors.ts';

type Close = () => Promise<unknown> | unknown;

/**
 * Runs every closer in order, each after the one before has ended, whatever that threw.
 * @throws What the one that failed threw; an AggregateError when there were several.
 */
export async function closeAll(...closers: Close[]): Promise<void> {
  const errors: unknown[] = [];
  for (const close of closers) {
    try {
      await close();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 1) throw new AggregateError(errors, errors.map(String).join('; '));
  if (errors.length === 1) throw errors[0];
}

/** A part of something long-lived. `close` may be called without a `start`, after one that failed, and during one. */
export interface Part {
  start?(): unknown;
  close?(): unknown;
}

export class Lifecycle {
  /** In the order of the start. */
  readonly #closers: Close[] = [];
  readonly #onFailedUndo: (error: unknown) => void;
  #starting: Promise<unknown> | undefined;
  #closing: Promise<void> | undefined;

  /** `onFailedUndo` gets what a part threw that was closed because the start had failed: {@link start} rejects with the reason for that. */
  constructor(onFailedUndo: (error: unknown) => void) {
    this.#onFailedUndo = onFailedUndo;
  }

  /** Runs `open`, which names each part by {@link opened}. When it fails, what it has opened is closed again before this rejects. */
  async start<T>(open: () => Promise<T>): Promise<T> {
    this.throwIfClosed();
    const starting = open();
    this.#starting = starting;
    try {
      return await starting;
    } catch (error) {
      // Whatever it meets among parts that are being closed comes of that.
      const reason = this.#closing === undefined ? error : stopped(error);
      await this.close().catch(this.#onFailedUndo);
      throw reason;
    }
  }

  /**
   * Remembers how to close what was opened just now.
   * @throws FleetError `not_running` when the close came meanwhile: nothing more is to be opened.
   */
  opened(...closers: Close[]): void {
    this.#closers.push(...closers);
    this.throwIfClosed();
  }

  /** Starts the parts in this order; {@link close} closes them in reverse. @throws FleetError `not_running` as {@link opened} does. */
  async open(parts: readonly Part[]): Promise<void> {
    for (const part of parts) {
      this.opened(() => part.close?.());
      await part.start?.();
      this.throwIfClosed();
    }
  }

  /** @throws FleetError `not_running` when the close has begun. */
  throwIfClosed(): void {
    if (this.#closing !== undefined) throw stopped();
  }

  /** Resolves when all is closed, and the start at its end. Idempotent. @throws as {@link closeAll}. */
  close(): Promise<void> {
    this.#closing ??= closeAll(
      () => this.#closeOpened(),
      // It may be opening a part at this moment. How it ends is told to the one who started.
      () => this.#starting?.catch(() => {}),
      () => this.#closeOpened(),
    );
    return this.#closing;
  }

  #closeOpened(): Promise<void> {
    return closeAll(...this.#closers.splice(0).reverse());
  }
}

function stopped(cause?: unknown): FleetError {
  return new FleetError('not_running', 'it was stopped before it was up', { cause });
}

/** Starts something that has a {@link Lifecycle}; closes it, so that its start rejects, when `signal` aborts before it is up or has already. */
export async function startUnlessAborted<T>(
  part: { start(): Promise<T>; close(): Promise<void> },
  signal: AbortSignal,
): Promise<T> {
  // What the close throws, the start does, too.
  const abort = (): void => void part.close().catch(() => {});
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  try {
    return await part.start();
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
