/** Sends events as NDJSON (one JSON object a line) for as long as the reader keeps reading. */
import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';
import type { JobEvent } from '../../protocol/job-messages.ts';

/** A silent stream says `ping` so often, ms: so that the reader can tell a quiet job from a dead gateway. */
const PING_INTERVAL_MS = 10_000;

/** Takes over the reply; resolves when the events have ended or the reader is gone. `open` gets a signal that aborts then. */
export async function sendEvents(
  reply: FastifyReply,
  open: (signal: AbortSignal) => AsyncIterable<JobEvent>,
): Promise<void> {
  reply.hijack();
  const { raw } = reply;
  const gone = new AbortController();
  raw.once('close', () => gone.abort());
  raw.writeHead(200, { 'content-type': 'application/x-ndjson' });
  const ping = setInterval(() => raw.write('{"type":"ping"}\n'), PING_INTERVAL_MS);
  ping.unref();
  try {
    for await (const event of open(gone.signal)) {
      if (gone.signal.aborted) return;
      if (!raw.write(`${JSON.stringify(event)}\n`)) await drained(raw);
    }
    raw.end();
  } catch (error) {
    // The head is out, so the only honest way to say "not the end" is to break the stream.
    raw.destroy(error instanceof Error ? error : undefined);
    throw error;
  } finally {
    clearInterval(ping);
  }
}

/** Resolves when there is room again, or nobody reads any more. */
function drained(raw: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      raw.off('drain', done);
      raw.off('close', done);
      resolve();
    };
    raw.on('drain', done);
    raw.on('close', done);
  });
}
