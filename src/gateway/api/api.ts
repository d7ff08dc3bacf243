/** The gateway's API: one app for the Unix socket, the TCP port and SSH channels, with checks and limits for every route. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { MAX_BODY_BYTES, TIME_HEADER } from '../../domain/limits.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import { type App, createApp } from '../../shared/http/fastify-app.ts';
import type { Logger } from '../../shared/logger.ts';
import { type Action, isAllowed } from '../identity/permissions.ts';
import type { NodeSignals } from '../monitoring/alerts/node-signals.ts';
import { fleetRoutes, gatewayRoutes, pendingRoutes } from './admin-routes.ts';
import { type AuditHookOptions, addAuditHook } from './audit-hook.ts';
import { auditRoutes } from './audit-routes.ts';
import type { Authenticator, Caller, Origin, Origins } from './authenticate.ts';
import type { ApiStore } from './find.ts';
import { jobRoutes } from './job-routes.ts';
import { inviteRoutes, keyRoutes } from './key-routes.ts';
import { alertRoutes, healthRoutes, metricsRoutes } from './monitoring-routes.ts';
import { nodeRoutes } from './node-routes.ts';
import { type ApiContext, addRoutes } from './route.ts';
import { scheduleRoutes } from './schedule-routes.ts';

/** Differences between clocks that need no correction, ms. */
const NEAR_MS = 2_000;

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Required permission (identity/permissions.ts). */
    action?: Action;
  }
  interface FastifyRequest {
    caller: Caller;
  }
}

interface ApiOptions extends AuditHookOptions {
  authenticator: Authenticator;
  clock: Clock;
  logger: Logger;
}

/** An app that rejects routes without an action, refuses callers without permission, and audits changes. */
export function createApi(options: ApiOptions): App {
  const app = createApp(options.logger, MAX_BODY_BYTES);
  app.decorateRequest('caller');
  app.addHook('onRoute', (route) => {
    if (route.config?.action === undefined && route.method !== 'HEAD') {
      throw new Error(`the route ${String(route.method)} ${route.url} names no action`);
    }
  });
  app.addHook('onRequest', async (request, reply) => {
    const now = options.clock.now();
    reply.header(TIME_HEADER, now);
    // The caller computed it with its own clock, which may be days off.
    const aheadMs = now - Number(request.headers[TIME_HEADER]);
    const query = request.query as Record<string, unknown>;
    const since = Number(query.since);
    if (Math.abs(aheadMs) > NEAR_MS && since > 0) query.since = String(Math.max(0, Math.round(since + aheadMs)));
  });
  limitRequests(app, options);
  app.addHook('onRequest', async (request: FastifyRequest) => {
    if (request.is404) return;
    const { action } = request.routeOptions.config;
    const origin = options.origins.get(request.raw.socket);
    if (action === undefined || origin === undefined)
      throw new FleetError('forbidden', 'this connection has no identity');
    const caller = await options.authenticator.identify(
      origin,
      request.headers.authorization,
      action,
      options.clock.now(),
    );
    request.caller = caller;
    if (!isAllowed(caller.role, action)) {
      throw new FleetError('forbidden', `permission denied: requires ${action}`, {
        hint: `This key has the role ${caller.role}.`,
      });
    }
  });
  // The key may have been revoked between the request's head and the end of its body.
  app.addHook('preHandler', async ({ caller }) => (caller as Caller | undefined)?.recheck?.());
  addAuditHook(app, options);
  return app;
}

/** Most concurrent requests of one key, followed jobs included; equals its limit of channels, each of which could carry many. */
const MAX_REQUESTS_PER_KEY = 256;
/** Most bytes of all concurrent bodies of one key; a body without a length counts as the longest. */
const MAX_BODY_BYTES_PER_KEY = 8 * MAX_BODY_BYTES;
/** Deadline from the head of a request to the end of its body, ms; 35 KB/s for the longest one. */
export const BODY_DEADLINE_MS = 30_000;

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The body is a stream of any duration: its deadline begins with the answer. */
    streamsBody?: boolean;
  }
}

interface Usage {
  requests: number;
  bodyBytes: number;
}

/** Add before authentication, so that excess requests cost no work. */
function limitRequests(app: App, { origins, clock }: { origins: Origins; clock: Clock }): void {
  const usages = new Map<string, Usage>();

  app.addHook('onRequest', async (request: FastifyRequest, reply: FastifyReply) => {
    limitBodyTime(request, reply, clock);
    const key = keyOf(origins.get(request.raw.socket));
    if (key === undefined) return;
    const usage = usages.get(key) ?? { requests: 0, bodyBytes: 0 };
    const bodyBytes = bodyBytesOf(request);
    if (usage.requests >= MAX_REQUESTS_PER_KEY || usage.bodyBytes + bodyBytes > MAX_BODY_BYTES_PER_KEY) {
      throw new FleetError('busy', 'too many concurrent requests of this key', {
        hint: 'Wait for some to finish, or follow fewer jobs at once.',
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

/** Closes the connection of a late body, which can carry nothing else. */
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

/** Most memory that a body takes until its request has been answered. Streams are forwarded in pieces. */
function bodyBytesOf({ headers, routeOptions }: FastifyRequest): number {
  if (!hasBody(headers) || routeOptions.config.streamsBody === true) return 0;
  return Math.min(Number(headers['content-length'] ?? MAX_BODY_BYTES), MAX_BODY_BYTES);
}

/** Undefined for local callers, who are not limited. */
function keyOf(origin: Origin | undefined): string | undefined {
  return origin?.kind === 'ssh' ? origin.peer.publicKey.toString('hex') : undefined;
}

/** Alerts on nodes whose token was refused: such a node keeps its tunnel, but all its requests fail. */
interface TokenRefusalOptions {
  store: Pick<ApiStore, 'nodes'>;
  origins: Origins;
  clock: Clock;
  signals: Pick<NodeSignals, 'tokenRefused'>;
}

/** Call before routes are added. */
export function noteTokenRefusals(app: App, { store, origins, clock, signals }: TokenRefusalOptions): void {
  app.addHook('onError', async (request, _reply, error) => {
    if (!(error instanceof FleetError) || error.code !== 'token_invalid') return;
    const origin = origins.get(request.raw.socket);
    if (origin?.kind !== 'ssh') return;
    const node = store.nodes.byPublicKey(origin.peer.publicKey);
    if (node !== undefined) signals.tokenRefused(node.id, clock.now());
  });
}

/** All routes of the table. */
export function addAllRoutes(app: App, context: ApiContext): void {
  addRoutes(app, {
    ...nodeRoutes(context),
    ...gatewayRoutes(context),
    ...fleetRoutes(context),
    ...pendingRoutes(context),
    ...inviteRoutes(context),
    ...keyRoutes(context),
    ...jobRoutes(context),
    ...auditRoutes(context),
    ...healthRoutes(context),
    ...alertRoutes(context),
    ...scheduleRoutes(context),
    ...metricsRoutes(context),
  });
}
