/** stdout and stderr as the commands see them: bytes in order, back-pressure on request, and a reader that may walk away. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import type { Clock } from '../../shared/clock.ts';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import { createTerminalStyle, type TerminalStyle } from './terminal-style.ts';

/** What of a stream tells whether it is a terminal, and how large. */
export type OutputStream = Writable & { isTTY?: boolean; columns?: number; rows?: number };

export interface OutputPort extends ByteSink {
  /** What is written after the reader has gone is dropped. */
  write(data: Uint8Array | string): void;
  /** Resolves when the reader has caught up, or is gone. */
  ready(): Promise<void>;
  /** Resolves when everything is written, or the reader is gone. */
  flush(): Promise<void>;
  /** Drops what the reader has not taken by then: nobody waits for it any longer. */
  giveUp(clock: Clock, afterMs: number): void;
  /** Aborts when nothing can be written any more. Its reason is a FleetError, or {@link READER_GONE} for a closed pipe. */
  readonly gone: AbortSignal;
  readonly isTerminal: boolean;
  /** In characters; undefined when it is no terminal. */
  size(): { columns: number; rows: number } | undefined;
  /** Calls `listener` whenever the terminal has another size (SIGWINCH), until the returned function is called. */
  onResize(listener: () => void): () => void;
  readonly style: TerminalStyle;
}

/** The reader closed the pipe, as `head` does: no failure. */
export const READER_GONE = Symbol('reader gone');

export function openOutputPort(
  stream: OutputStream,
  name: string,
  env: Readonly<Record<string, string | undefined>>,
): OutputPort {
  const gone = new AbortController();
  const isTerminal = stream.isTTY === true;
  stream.on('error', (error) => {
    const code = systemErrorCode(error);
    if (code === 'EPIPE') return gone.abort(READER_GONE);
    gone.abort(new FleetError('storage_failed', `cannot write to ${name}: ${code ?? error.message}`, { cause: error }));
  });
  return {
    isTerminal,
    style: createTerminalStyle({ isTTY: isTerminal, env }),
    gone: gone.signal,
    // A terminal that was never told its size says 0.
    size: () => (stream.columns && stream.rows ? { columns: stream.columns, rows: stream.rows } : undefined),
    onResize(listener) {
      stream.on('resize', listener);
      return () => void stream.off('resize', listener);
    },
    write(data) {
      if (!gone.signal.aborted && data.length > 0) stream.write(data);
    },
    async ready() {
      if (!stream.writableNeedDrain || gone.signal.aborted) return;
      await Promise.race([once(stream, 'drain'), aborted(gone.signal)]).catch(() => {
        // An error of the stream: the listener above has noted it.
      });
    },
    giveUp(clock, afterMs) {
      clock.after(afterMs, () => gone.abort(READER_GONE), { unref: true });
    },
    async flush() {
      if (gone.signal.aborted) return;
      await Promise.race([
        new Promise<void>((resolve) => void stream.write('', () => resolve())),
        aborted(gone.signal),
      ]);
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

export interface ByteSink {
  write(bytes: Uint8Array): void;
}

/** stdout and stderr of the CLI. */
export interface OutputSinks {
  stdout: ByteSink;
  stderr: ByteSink;
}

/** Which of a command's two outputs. */
export type StreamName = keyof OutputSinks;
