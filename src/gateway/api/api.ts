/** The gateway's API: one app for the Unix socket, the TCP port and SSH channels, and the check that stands before every route. */
import type { FastifyRequest } from 'fastify';
import { MAX_BODY_BYTES, TIME_HEADER } from '../../domain/limits.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import { type App, createApp } from '../../shared/http/fastify-app.ts';
import type { Logger } from '../../shared/logger.ts';
import { type Action, isAllowed } from '../identity/permissions.ts';
import { type AuditHookOptions, addAuditHook } from './audit-hook.ts';
import type { Authenticator } from './authenticate.ts';
import type { Caller } from './caller.ts';
import { limitRequests } from './request-limits.ts';

/** Differences between clocks that need no correction, ms. */
const NEAR_MS = 2_000;

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the caller must be allowed to do (identity/permissions.ts). */
    action?: Action;
  }
  interface FastifyRequest {
    caller: Caller;
  }
}

export interface ApiOptions extends AuditHookOptions {
  authenticator: Authenticator;
  clock: Clock;
  logger: Logger;
}

/** An app that refuses every route without an action, and every caller who may not do it, and audits what changes something. */
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
    // Counted back from a clock that may be days off.
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
      throw new FleetError('forbidden', `a key with the role ${caller.role} may not do that (${action})`);
    }
  });
  // Between a request's head and the end of its body its key may have been revoked.
  app.addHook('preHandler', async ({ caller }) => (caller as Caller | undefined)?.recheck?.());
  addAuditHook(app, options);
  return app;
}
