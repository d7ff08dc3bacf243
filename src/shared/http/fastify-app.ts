/** Fastify as both APIs use it: errors in one shape, bodies validated by zod, connections handed in. */
import http from 'node:http';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { FleetError, httpStatusOf, systemErrorCode } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { sqliteFailure } from '../sqlite.ts';
import { describeBadByte } from '../text.ts';
import { SERVER_OPTIONS } from './streams.ts';

export type App = FastifyInstance<http.Server>;

/** An app without routes. Unknown routes, unreadable bodies and thrown errors are all answered with `{error: {code, message, hint?}}`. */
export function createApp(logger: Logger, maxBodyBytes: number): App {
  const app: App = fastify({
    bodyLimit: maxBodyBytes,
    // Closing must not wait for event streams.
    forceCloseConnections: true,
    serverFactory: (handler) => http.createServer(SERVER_OPTIONS, handler),
    // A path that cannot be decoded reaches neither a route nor the error handler.
    frameworkErrors: (_error, _request, reply) => {
      const failure = new FleetError('bad_request', 'the path cannot be read');
      (reply as FastifyReply).code(httpStatusOf(failure.code)).send({ error: failure });
    },
  });
  app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload));
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const fault = textFault(body as Buffer);
    if (fault !== undefined) return done(new FleetError('bad_request', `the body cannot be read: ${fault}`));
    return parseJson(request, body.toString('utf8'), done);
  });
  app.setNotFoundHandler((request) => {
    throw new FleetError('not_found', `no such route: ${request.method} ${request.url.split('?')[0]}`);
  });
  app.setErrorHandler((error, request, reply) => {
    const failure = toApiError(error);
    if (failure.code === 'internal' || failure.code === 'storage_corrupt')
      logger.error({ err: error, route: request.routeOptions.url }, 'request failed');
    return reply.code(httpStatusOf(failure.code)).send({ error: failure });
  });
  return app;
}

/** Possible escapes of a NUL or a lone surrogate, which no system call, file name or UTF-8 text can hold. */
const SUSPECT_ESCAPE = /\\u(?:0000|d[89a-f])/i;

/** What in a body would become different text on its way to a command, a file or the database, if anything. */
function textFault(body: Buffer): string | undefined {
  const badByte = describeBadByte(body);
  if (badByte !== undefined) return `it is not UTF-8 (${badByte})`;
  const text = body.toString('utf8');
  if (!SUSPECT_ESCAPE.test(text)) return undefined;
  let fault: string | undefined;
  const look = (part: unknown): void => {
    if (typeof part !== 'string') return;
    if (part.includes('\0')) fault = 'it contains a NUL';
    else if (!part.isWellFormed()) fault = 'it contains half of a surrogate pair';
  };
  try {
    JSON.parse(text, (key, value: unknown) => {
      look(key);
      look(value);
      return value;
    });
  } catch (error) {
    // The parser itself reports invalid JSON.
    if (!(error instanceof SyntaxError)) return 'it is nested too deeply';
  }
  return fault;
}

/** @throws FleetError `bad_request` naming every invalid field. */
export function parseInput<S extends z.ZodType>(schema: S, value: unknown, what = 'the request'): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => {
    // zod nests the fault of a key in an issue of its own.
    const { message } = (issue.code === 'invalid_key' && issue.issues[0]) || issue;
    return `${issue.path.join('.') || 'body'}: ${message}`;
  });
  throw new FleetError('bad_request', `${what} is wrong: ${faults.join('; ')}`);
}

/** The text of one query parameter, or undefined. */
export function queryText(request: FastifyRequest, name: string): string | undefined {
  const value = (request.query as Record<string, unknown>)[name];
  return typeof value === 'string' ? value : undefined;
}

/** A whole number of a query parameter. @throws FleetError `bad_request`. */
export function queryInteger(request: FastifyRequest, name: string): number | undefined {
  const text = queryText(request, name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0)
    throw new FleetError('bad_request', `${name} is not a whole number: ${text}`);
  return value;
}

/** The error to answer with, from what a route threw or what fastify found wrong with the request. */
export function toApiError(error: unknown): FleetError {
  if (error instanceof FleetError) return error;
  const code = systemErrorCode(error);
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new FleetError('too_large', 'the body is too large');
  if (code?.startsWith('FST_ERR_CTP') || error instanceof SyntaxError) {
    return new FleetError('bad_request', 'the body cannot be read as JSON');
  }
  return sqliteFailure(error, 'cannot read the database');
}
