/** Opens the parts of something long-lived in order and closes them in reverse, even when the close comes during the start. */
import { FleetError } from './errors.ts';

type Close = () => Promise<unknown> | unknown;

/**
 * Runs the closers one after the other, even if some throw.
 * @throws the error of the one that failed; an AggregateError of several.
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

  /** `onFailedUndo` receives errors of parts closed because of a failed start; {@link start} rejects with the cause of the failure. */
  constructor(onFailedUndo: (error: unknown) => void) {
    this.#onFailedUndo = onFailedUndo;
  }

  /** Runs `open`, which reports each part to {@link opened}. When it fails, everything opened is closed before this rejects. */
  async start<T>(open: () => Promise<T>): Promise<T> {
    this.throwIfClosed();
    const starting = open();
    this.#starting = starting;
    try {
      return await starting;
    } catch (error) {
      // While parts are closing, any error is a consequence of that.
      const reason = this.#closing === undefined ? error : stopped(error);
      await this.close().catch(this.#onFailedUndo);
      throw reason;
    }
  }

  /**
   * Registers how to close what has just been opened.
   * @throws FleetError `not_running` when the close came meanwhile: open nothing more.
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
      // A close that came during the start may have found nothing to close yet.
      if (this.#closing !== undefined && part.start !== undefined) this.opened(() => part.close?.());
      this.throwIfClosed();
    }
  }

  /** @throws FleetError `not_running` when the close has begun. */
  throwIfClosed(): void {
    if (this.#closing !== undefined) throw stopped();
  }

  /** Resolves when everything is closed and the start has ended. Idempotent. @throws as {@link closeAll}. */
  close(): Promise<void> {
    this.#closing ??= closeAll(
      () => this.#closeOpened(),
      // It may be opening a part right now; its caller learns how it ends.
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
  return new FleetError('not_running', 'stopped before it was up', { cause });
}

/** Starts something that has a {@link Lifecycle}; if `signal` aborts before it is up, closes it, so that its start rejects. */
export async function startUnlessAborted<T>(
  part: { start(): Promise<T>; close(): Promise<void> },
  signal: AbortSignal,
): Promise<T> {
  // The start throws what the close does.
  const abort = (): void => void part.close().catch(() => {});
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  try {
    return await part.start();
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
