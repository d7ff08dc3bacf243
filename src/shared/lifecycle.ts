/** Opens the parts of something long-lived one after the other and closes them in reverse, also when the close comes in the middle of the start. */
import { FleetError } from './errors.ts';

type Close = () => Promise<void> | void;

export class Lifecycle {
  /** In the order of the start. */
  readonly #closers: Close[] = [];
  #starting: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  /** Runs `open`, which tells each part by {@link opened}. When it fails, what it has opened is closed again before this rejects. */
  async start(open: () => Promise<void>): Promise<void> {
    this.#throwIfClosed();
    this.#starting = open();
    try {
      await this.#starting;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /**
   * Remembers how to close what was opened just now.
   * @throws FleetError `not_running` when the close came meanwhile: nothing more is to be opened.
   */
  opened(...closers: Close[]): void {
    this.#closers.push(...closers);
    this.#throwIfClosed();
  }

  /** Resolves when all is closed, and the start at its end. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#closeOpened();
    // It may be opening a part at this moment. How it ends is told to the one who started.
    await this.#starting?.catch(() => {});
    await this.#closeOpened();
  }

  async #closeOpened(): Promise<void> {
    for (let close = this.#closers.pop(); close !== undefined; close = this.#closers.pop()) await close();
  }

  #throwIfClosed(): void {
    if (this.#closing !== undefined) throw new FleetError('not_running', 'it was stopped before it was up');
  }
}
