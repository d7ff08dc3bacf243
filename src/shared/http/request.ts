/** The one HTTP client of fleet: JSON in and out, errors as FleetError, a deadline on every answer. */
import http from 'node:http';
import type { Readable } from 'node:stream';
import { ERROR_CODES, type ErrorCode, FleetError, systemErrorCode } from '../errors.ts';

/** Without an answer's head by then, the request has failed, ms. */
export const DEFAULT_ANSWER_DEADLINE_MS = 15_000;
/** A body that is read as a whole and brings nothing for so long has stalled, ms. */
const BODY_SILENCE_MS = 15_000;
/** Largest JSON answer that is read into memory, bytes. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

export interface RequestOptions {
  agent?: http.Agent | undefined;
  socketPath?: string | undefined;
  method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  path: string;
  headers?: Record<string, string> | undefined;
  /** A JSON value, or bytes that are sent as they are, or a stream. */
  body?: unknown;
  bytes?: Buffer | undefined;
  stream?: Readable | undefined;
  answerDeadlineMs?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** Sends a request and resolves with the answer's head once it is there. A status of 400 and above becomes the FleetError that the other side meant. */
export function openRequest(options: RequestOptions): Promise<http.IncomingMessage> {
  const body = options.bytes ?? (options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body)));
  const headers: Record<string, string | number> = { ...options.headers };
  if (body !== undefined) {
    headers['content-type'] ??= 'application/json';
    headers['content-length'] = body.length;
  }
  return new Promise((resolve, reject) => {
    const deadlineMs = options.answerDeadlineMs ?? DEFAULT_ANSWER_DEADLINE_MS;
    const request = http.request({
      method: options.method,
      path: options.path,
      headers,
      host: 'fleet',
      ...(options.agent === undefined ? {} : { agent: options.agent }),
      ...(options.socketPath === undefined ? {} : { socketPath: options.socketPath }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    // A request that still waits for its connection emits no error when it is destroyed, so each way out rejects by itself.
    const fail = (error: Error): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', abort);
      reject(connectionError(error));
    };
    const abort = (): void => fail(new FleetError('connection_lost', 'the request was aborted'));
    const timer = setTimeout(() => {
      const late = new FleetError('timeout', `no answer to ${options.method} ${options.path} within ${deadlineMs} ms`);
      request.destroy(late);
      fail(late);
    }, deadlineMs);
    options.signal?.addEventListener('abort', abort, { once: true });
    if (options.signal?.aborted) abort();
    request.once('response', (response) => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', abort);
      const status = response.statusCode ?? 0;
      if (status < 400) return resolve(response);
      readAll(response).then(
        (bytes) => reject(parseErrorAnswer(status, bytes)),
        (error: Error) => reject(connectionError(error)),
      );
    });
    request.on('error', fail);
    // Of a connection that was closed on its way here node:http hears nothing any more.
    request.once('socket', (socket) => {
      if (socket.destroyed)
        fail(new FleetError('connection_lost', 'the connection was lost before the request was on it'));
    });
    if (options.stream !== undefined) options.stream.pipe(request);
    else request.end(body);
  });
}

/** {@link openRequest}, and the whole answer as JSON. */
export async function requestJson<T>(options: RequestOptions): Promise<T> {
  return await readJson<T>(await openRequest(options), options);
}

/** The whole answer to that request as JSON; undefined when it is empty. */
export async function readJson<T>(
  response: http.IncomingMessage,
  { method, path }: Pick<RequestOptions, 'method' | 'path'>,
): Promise<T> {
  let bytes: Buffer;
  try {
    bytes = await readAll(response);
  } catch (error) {
    throw connectionError(error);
  }
  if (bytes.length === 0) return undefined as T;
  try {
    return JSON.parse(bytes.toString('utf8')) as T;
  } catch (error) {
    throw new FleetError('connection_lost', `the answer to ${method} ${path} is not JSON`, { cause: error });
  }
}

async function readAll(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let total = 0;
  const silence = setTimeout(() => {
    stream.destroy(new FleetError('timeout', `the answer stalled for ${BODY_SILENCE_MS} ms`));
  }, BODY_SILENCE_MS);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      silence.refresh();
      total += chunk.length;
      if (total > MAX_ANSWER_BYTES)
        throw new FleetError('too_large', `an answer of more than ${MAX_ANSWER_BYTES} bytes`);
      chunks.push(chunk);
    }
  } finally {
    clearTimeout(silence);
  }
  return Buffer.concat(chunks);
}

function parseErrorAnswer(status: number, bytes: Buffer): FleetError {
  try {
    const { error } = JSON.parse(bytes.toString('utf8')) as {
      error?: { code?: string; message?: string; hint?: string };
    };
    if (error?.code !== undefined && Object.hasOwn(ERROR_CODES, error.code)) {
      return new FleetError(error.code as ErrorCode, error.message ?? error.code, { hint: error.hint });
    }
  } catch {
    // Not one of fleet's answers; the status below says what there is to say.
  }
  return new FleetError('internal', `the other side answered with HTTP ${status}`);
}

/** What node:http threw, as a FleetError; one that passed through it is given back as it was. */
export function connectionError(error: unknown): FleetError {
  if (error instanceof FleetError) return error;
  if (error instanceof Error && error.cause instanceof FleetError) return error.cause;
  const message = error instanceof Error ? error.message : String(error);
  return new FleetError('connection_lost', `the connection was lost: ${systemErrorCode(error) ?? message}`, {
    cause: error,
  });
}
