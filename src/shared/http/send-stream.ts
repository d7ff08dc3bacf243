/** Sends the items of an iterator as the body of an answer, as fast as the reader reads. */
import { once } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import type { FastifyReply } from 'fastify';

/** Longest wait of an answer's head for the beginning of its body, to share a packet, ms. */
const HEAD_WAITS_MS = 10;

/** A reader that takes nothing for this long is blocked, ms; for one that is only slow, releasing would mean reading everything again and again. */
const RELEASE_AFTER_MS = 250;

export type WhenBlocked = (release: () => void) => void;

export interface SendStreamOptions {
  contentType: string;
  /** Default 200. */
  statusCode?: number;
  /** The body. Its signal aborts when the reader is gone; `whenBlocked` registers what to release while the reader takes nothing. */
  open(signal: AbortSignal, whenBlocked: WhenBlocked): AsyncIterable<Buffer | string>;
  /** Sent while the iterator has nothing; only for bodies that may contain it between any two chunks. */
  ping?: { text: string; intervalMs: number };
}

/**
 * Takes over the reply; resolves when the body has ended or the reader is gone. When the iterator throws, breaks the stream off, because
 * an orderly end would mean "that was all", and rejects with that error.
 */
export async function sendStream(reply: FastifyReply, options: SendStreamOptions): Promise<void> {
  const gone = new AbortController();
  // First: what it throws at once can still be answered as an ordinary error.
  let release = (): void => {};
  const body = options.open(gone.signal, (given) => {
    release = given;
  });
  reply.hijack();
  const { raw } = reply;
  raw.once('close', () => gone.abort());
  // A reader that leaves is not an error; without a listener, a write after its end would be.
  raw.on('error', () => gone.abort());
  raw.writeHead(options.statusCode ?? 200, { 'content-type': options.contentType });
  const head = setTimeout(() => raw.flushHeaders(), HEAD_WAITS_MS);
  const { ping } = options;
  const timer = ping && setInterval(() => raw.writableNeedDrain || raw.write(ping.text), ping.intervalMs);
  timer?.unref();
  try {
    for await (const chunk of body) {
      if (gone.signal.aborted) return;
      if (raw.write(chunk)) continue;
      const letGo = setTimeout(release, RELEASE_AFTER_MS);
      await drained(raw, gone.signal).finally(() => clearTimeout(letGo));
    }
    raw.end();
  } catch (error) {
    if (gone.signal.aborted) return;
    // Lets the data before the fault leave first.
    await setImmediate();
    raw.destroy();
    throw error;
  } finally {
    clearTimeout(head);
    clearInterval(timer);
  }
}

async function drained(stream: NodeJS.WritableStream, gone: AbortSignal): Promise<void> {
  try {
    await once(stream, 'drain', { signal: gone });
  } catch (error) {
    if (!gone.aborted) throw error;
  }
}
