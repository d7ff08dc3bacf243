/** Sends events as NDJSON: one JSON object a line. */
import type { FastifyReply } from 'fastify';
import type { JobEvent } from '../../protocol/job-messages.ts';
import { sendStream, type WhenBlocked } from '../../shared/http/send-stream.ts';

/** A stream says `ping` so often, ms: so that the reader can tell a quiet job from a gateway that stands still. */
const PING_INTERVAL_MS = 10_000;

/** Takes over the reply; resolves when the events have ended or the reader is gone. `open` gets a signal that aborts then. */
export function sendEvents(
  reply: FastifyReply,
  open: (signal: AbortSignal, whenBlocked: WhenBlocked) => AsyncIterable<JobEvent>,
): Promise<void> {
  return sendStream(reply, {
    contentType: 'application/x-ndjson',
    open: (signal, whenBlocked) => lines(open(signal, whenBlocked)),
    ping: { text: '{"type":"ping"}\n', intervalMs: PING_INTERVAL_MS },
  });
}

async function* lines(events: AsyncIterable<JobEvent>): AsyncGenerator<string> {
  for await (const event of events) yield `${JSON.stringify(event)}\n`;
}
