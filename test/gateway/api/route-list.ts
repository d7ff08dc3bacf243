/** The routes of a whole gateway, as it registers them itself: so a test of all of them cannot miss a new one. */
import { channel } from 'node:diagnostics_channel';
import type { TestContext } from 'node:test';
import type { FastifyInstance } from 'fastify';
import type { Action } from '../../../src/gateway/identity/permissions.ts';
import { TestGateway } from '../../node/tunnel/real-gateway.ts';

export interface Route {
  method: string;
  url: string;
  action: Action;
}

export async function startWithRoutes(
  t: TestContext,
  options: Parameters<TestGateway['start']>[0] = {},
): Promise<{ gateway: TestGateway; routes: Route[] }> {
  const routes: Route[] = [];
  // Published by fastify for each app, before anything is added to it.
  const created = channel('fastify.initialization');
  const listen = (message: unknown): void => {
    (message as { fastify: FastifyInstance }).fastify.addHook('onRoute', ({ method, url, config }) => {
      if (method !== 'HEAD') routes.push({ method: String(method), url, action: config?.action as Action });
    });
  };
  created.subscribe(listen);
  try {
    return { gateway: await new TestGateway(t).start(options), routes };
  } finally {
    created.unsubscribe(listen);
  }
}
