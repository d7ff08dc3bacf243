/** Sends what an iterator yields as the body of an answer, for as long as the reader keeps reading. */
import { once } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import type { FastifyReply } from 'fastify';

/** The head of an answer waits so long for the beginning of its body, to go with it in one packet, ms. */
const HEAD_WAITS_MS = 10;

/** A reader that takes nothing for so long is one that does not read, ms; one that is only slow would have it read again all the time. */
const RELEASE_AFTER_MS = 250;

export type WhenBlocked = (release: () => void) => void;

export interface SendStreamOptions {
  contentType: string;
  /** 200 unless told. */
  statusCode?: number;
  /** The body; gets a signal that aborts when the reader is gone, and may say what it lets go of while the reader takes nothing. */
  open(signal: AbortSignal, whenBlocked: WhenBlocked): AsyncIterable<Buffer | string>;
  /** Sent again and again while the iterator has nothing; only for bodies that may hold it anywhere between two chunks. */
  ping?: { text: string; intervalMs: number };
}

/**
 * Takes over the reply; resolves when the body has ended or the reader is gone. When the iterator throws, the stream is broken
 * off, for the head is out and an orderly end would say "that was all"; then it rejects with that error.
 */
export async function sendStream(reply: FastifyReply, options: SendStreamOptions): Promise<void> {
  const gone = new AbortController();
  // First, for what it throws at once can still be told as an ordinary error.
  let release = (): void => {};
  const body = options.open(gone.signal, (given) => {
    release = given;
  });
  reply.hijack();
  const { raw } = reply;
  raw.once('close', () => gone.abort());
  // A reader that leaves is no error; without this, a write after its end would be one.
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
    // What came before the fault is on its way only when this tick is over.
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
