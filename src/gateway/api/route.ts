/** Adds a route of the table in `protocol/routes.ts` to an app: its permission, its name in the audit log, its body's schema. */
import type { FastifyReply, FastifyRequest, HTTPMethods } from 'fastify';
import {
  type AnswerOf,
  type BodyOf,
  type ParamsOf,
  ROUTES,
  type Route,
  type RouteName,
  type Routes,
} from '../../protocol/routes.ts';
import { type App, parseInput } from '../../shared/http/fastify-app.ts';
import type { Action } from '../identity/permissions.ts';

/** `input` validates the body when it is called; `what` names it in errors. A reply is returned when the answer has been sent. */
type Handler<N extends RouteName> = (
  request: FastifyRequest<{ Params: ParamsOf<N> }>,
  reply: FastifyReply,
  input: (what?: string) => BodyOf<Routes[N]>,
) => Answer<N> | Promise<Answer<N>>;
type Answer<N extends RouteName> = AnswerOf<Routes[N]> | FastifyReply;

export function addRoute<N extends RouteName>(app: App, name: N, handler: Handler<N>): void {
  const { action, audit, body, streamsBody }: Route & { action: Action } = ROUTES[name];
  const [method = '', url = ''] = name.split(' ');
  app.route({
    method: method as HTTPMethods,
    url,
    config: { action, ...(audit !== undefined && { audit }), ...(streamsBody && { streamsBody }) },
    handler: (request, reply) =>
      handler(request as Parameters<Handler<N>>[0], reply, (what) => {
        return (body === undefined ? undefined : parseInput(body, request.body, what)) as BodyOf<Routes[N]>;
      }),
  });
}
