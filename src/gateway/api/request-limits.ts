/** What requests may take: of one key, over all its connections, a bounded number at once with bounded bodies; and a body must arrive in time. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { MAX_BODY_BYTES } from '../../domain/limits.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import type { App } from '../../shared/http/fastify-app.ts';
import type { Origin, Origins } from './caller.ts';

/** Requests of one key that are being answered, followed jobs included: as many as it may have channels. HTTP lets one channel carry many. */
const MAX_REQUESTS_PER_KEY = 256;
/** Bodies of all requests of one key together, bytes: one whose length is not told counts as the longest. */
const MAX_BODY_BYTES_PER_KEY = 8 * MAX_BODY_BYTES;
/** From the head of a request to the end of its body, ms: 35 KB/s for the longest one. */
export const BODY_DEADLINE_MS = 30_000;

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Its body is a stream that takes as long as somebody wants it: the deadline begins with the answer. */
    streamsBody?: boolean;
  }
}

interface Usage {
  requests: number;
  bodyBytes: number;
}

/** Call before the check of who is asking: what is too much is refused before any work. */
export function limitRequests(app: App, { origins, clock }: { origins: Origins; clock: Clock }): void {
  const usages = new Map<string, Usage>();

  app.addHook('onRequest', async (request: FastifyRequest, reply: FastifyReply) => {
    limitBodyTime(request, reply, clock);
    const key = keyOf(origins.get(request.raw.socket));
    if (key === undefined) return;
    const usage = usages.get(key) ?? { requests: 0, bodyBytes: 0 };
    const bodyBytes = bodyBytesOf(request);
    if (usage.requests >= MAX_REQUESTS_PER_KEY || usage.bodyBytes + bodyBytes > MAX_BODY_BYTES_PER_KEY) {
      throw new FleetError('busy', 'too many requests of this key are under way', {
        hint: 'Wait until some of them have ended, or follow fewer jobs at once.',
      });
    }
    usages.set(key, usage);
    usage.requests += 1;
    usage.bodyBytes += bodyBytes;
    reply.raw.once('close', () => {
      usage.requests -= 1;
      usage.bodyBytes -= bodyBytes;
      if (usage.requests === 0) usages.delete(key);
    });
  });
}

/** The connection goes with a body that is late: nothing else can be said on it. */
function limitBodyTime({ raw, routeOptions }: FastifyRequest, { raw: answer }: FastifyReply, clock: Clock): void {
  if (!hasBody(raw.headers)) return;
  const arm = (): void => {
    if (raw.complete || raw.destroyed) return;
    const timer = clock.after(BODY_DEADLINE_MS, () => void raw.socket.destroy(), { unref: true });
    raw.once('close', () => timer.cancel());
  };
  if (routeOptions.config.streamsBody === true) answer.once('close', arm);
  else arm();
}

function hasBody(headers: FastifyRequest['headers']): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** What a body may take of memory until its request has been answered. A stream is passed on piece by piece. */
function bodyBytesOf({ headers, routeOptions }: FastifyRequest): number {
  if (!hasBody(headers) || routeOptions.config.streamsBody === true) return 0;
  return Math.min(Number(headers['content-length'] ?? MAX_BODY_BYTES), MAX_BODY_BYTES);
}

/** The machine's own users, over the socket or with the token, are not limited. */
function keyOf(origin: Origin | undefined): string | undefined {
  return origin?.kind === 'ssh' ? origin.peer.publicKey.toString('hex') : undefined;
}
