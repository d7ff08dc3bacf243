/** stdout and stderr as commands see them: bytes in order, back-pressure on request, and a reader that may go away. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import type { Clock } from '../../shared/clock.ts';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import { createTerminalStyle, type TerminalStyle } from './terminal-style.ts';

/** A stream that may be a terminal, with its size. */
export type OutputStream = Writable & { isTTY?: boolean; columns?: number; rows?: number };

export interface OutputPort extends ByteSink {
  /** Drops data once the reader has gone. */
  write(data: Uint8Array | string): void;
  /** Resolves when the reader has caught up, or has gone. */
  ready(): Promise<void>;
  /** Resolves when everything is written, or the reader has gone. */
  flush(): Promise<void>;
  /** Drops what the reader has not taken by then. */
  giveUp(clock: Clock, afterMs: number): void;
  /** Aborts once writing is impossible. Its reason is a FleetError, or {@link READER_GONE} for a closed pipe. */
  readonly gone: AbortSignal;
  readonly isTerminal: boolean;
  /** In characters; undefined if it is not a terminal. */
  size(): { columns: number; rows: number } | undefined;
  /** Calls `listener` when the terminal is resized (SIGWINCH), until the returned function is called. */
  onResize(listener: () => void): () => void;
  readonly style: TerminalStyle;
}

/** The reader closed the pipe, as `head` does: not a failure. */
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
    // 0: the terminal's size was never set.
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
        // Stream errors are handled by the listener above.
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
