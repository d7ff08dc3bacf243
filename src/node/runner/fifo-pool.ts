/**
 * The named pipes of commands. Node.js gives children socket pairs, which `> /dev/stderr` cannot open (ENXIO), and a file would be
 * truncated by it; a FIFO can be opened again, by the script and by the next process of the node.
 */
import { closeSync, constants, openSync, unlinkSync } from 'node:fs';
import { readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { RunTool } from '../process/run-tool.ts';
import type { RunPipes } from '../shim/messages.ts';
import { removePrompts } from '../shim/pipes.ts';

/** Created together, and kept free at most. A run takes two or three. */
const BATCH = 16;
const MOST_FREE = 32;
const FIFO_NAME = /^(\d+)\.fifo$/;

interface FifoPoolOptions {
  /** Exists, and is closed to other accounts. */
  folder: string;
  runTool: RunTool;
  logger: Logger;
}

export class FifoPool {
  readonly #options: FifoPoolOptions;
  #free: string[] = [];
  #next = 0;
  #making: Promise<void> | undefined;
  #closed = false;

  constructor(options: FifoPoolOptions) {
    this.#options = options;
  }

  /** Removes leftovers except the names `inUse`, and creates the first batch. @throws FleetError `storage_failed`. */
  async start(inUse: ReadonlySet<string>): Promise<void> {
    // On a restart, a batch in the making would be removed as a leftover and still be handed out.
    await this.#making?.catch(() => {});
    this.#free = [];
    for (const name of await readdir(this.#options.folder)) {
      const number = FIFO_NAME.exec(name)?.[1];
      if (number === undefined) continue;
      this.#next = Math.max(this.#next, Number(number) + 1);
      if (!inUse.has(name)) await unlink(this.path(name));
    }
    await removePrompts(this.#options.folder);
    await this.#make();
  }

  path(name: string): string {
    return join(this.#options.folder, name);
  }

  /** FIFOs that no process has open. @throws FleetError `storage_failed`, or `not_running` once closed. */
  async take(stdin: boolean): Promise<RunPipes> {
    for (;;) {
      if (this.#closed) throw new FleetError('not_running', 'the runner is closed');
      const pipes = this.takeNow(stdin);
      if (pipes !== undefined) return pipes;
      await this.#make();
    }
  }

  /** The same, if enough are free. */
  takeNow(stdin: boolean): RunPipes | undefined {
    if (this.#closed || this.#free.length < (stdin ? 3 : 2)) return undefined;
    const [stdout = '', stderr = '', third = null] = this.#free.splice(0, stdin ? 3 : 2);
    if (this.#free.length < BATCH / 2) {
      // A failure is reported to the next `take`.
      this.#make().catch((error: unknown) =>
        this.#options.logger.warn({ err: error }, 'cannot create pipes in advance'),
      );
    }
    return { stdout, stderr, stdin: third };
  }

  /**
   * Returns FIFOs that are closed here and in the shim; `drained`: their end of file was seen. One that a background process of the command
   * still holds is never reused, because that process could read from the next run or write to it.
   */
  release(pipes: RunPipes, drained: boolean): void {
    for (const name of [pipes.stdout, pipes.stderr, pipes.stdin]) {
      if (name === null) continue;
      const keep = drained && !this.#closed && this.#free.length < MOST_FREE;
      if (keep && isUnused(this.path(name))) this.#free.push(name);
      else this.#remove(name);
    }
  }

  /** Removes the free ones; those of running commands stay for the next process. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const name of this.#free.splice(0)) this.#remove(name);
    await this.#making?.catch(() => {});
  }

  #remove(name: string): void {
    try {
      unlinkSync(this.path(name));
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') this.#options.logger.warn({ err: error, name }, 'cannot remove a pipe');
    }
  }

  #make(): Promise<void> {
    this.#making ??= this.#makeBatch().finally(() => {
      this.#making = undefined;
    });
    return this.#making;
  }

  async #makeBatch(): Promise<void> {
    const names = Array.from({ length: BATCH }, () => `${this.#next++}.fifo`);
    // Mode 666 in a folder of mode 700: a command that runs as another user must be able to open its own /dev/stderr.
    const paths = names.map((name) => this.path(name));
    const { exitCode, stderr, cause } = await this.#options.runTool('mkfifo', ['-m', '666', '--', ...paths]);
    if (exitCode !== 0) {
      for (const name of names) this.#remove(name);
      const why = cause instanceof Error ? cause.message : stderr.trim();
      throw new FleetError('storage_failed', `cannot create named pipes in ${this.#options.folder}: ${why}`, {
        hint: exitCode === undefined ? undefined : 'The folder must be on a local file system that supports FIFOs.',
        cause,
      });
    }
    if (this.#closed) for (const name of names) this.#remove(name);
    else this.#free.push(...names);
  }
}

/** Opening a FIFO for writing without blocking succeeds only if someone has it open for reading, as every heir of it does. */
function isUnused(path: string): boolean {
  try {
    closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
    return false;
  } catch (error) {
    return systemErrorCode(error) === 'ENXIO';
  }
}
