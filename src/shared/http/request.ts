/** The one HTTP client of fleet: JSON out, validated JSON in, errors as FleetError, and a limit on the time and size of every answer. */
import http from 'node:http';
import type { Readable } from 'node:stream';
import { ERROR_CODES, type ErrorCode, FleetError, systemErrorCode } from '../errors.ts';
import { harmlessLine } from '../text.ts';

/** From sending a request to the head of its answer, ms. */
const DEFAULT_ANSWER_DEADLINE_MS = 15_000;
/** A body that is read as a whole has stalled after this long without data, ms. */
const BODY_SILENCE_MS = 15_000;
/** Slowest average rate of a body that is read as a whole, bytes per ms; a slow mobile link is faster. */
const MIN_BODY_BYTES_PER_MS = 16;
/** Largest error answer, bytes. */
const MAX_ERROR_BYTES = 64 * 1024;
/** Most bytes of an unneeded answer that are read. */
const MAX_DISCARDED_BYTES = 4 * 1024 * 1024;
/** Largest JSON answer unless the call says otherwise, bytes. */
const DEFAULT_MAX_ANSWER_BYTES = 1024 * 1024;

/** Validates an answer: a zod schema, without the command line having to load zod. */
export interface AnswerSchema<T> {
  safeParse(value: unknown): { success: true; data: T } | { success: false; error: Error };
}

export interface RequestOptions {
  agent?: http.Agent | undefined;
  socketPath?: string | undefined;
  method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  path: string;
  headers?: Record<string, string> | undefined;
  /** A JSON value, or raw bytes, or a stream. */
  body?: unknown;
  bytes?: Buffer | undefined;
  stream?: Readable | undefined;
  answerDeadlineMs?: number | undefined;
  /** Largest JSON answer, bytes; {@link DEFAULT_MAX_ANSWER_BYTES} by default. */
  maxAnswerBytes?: number | undefined;
  /** The other machine that answers, if any. Its messages are attributed to it; its hints and foreign codes are dropped. */
  peer?: AnsweringPeer | undefined;
  signal?: AbortSignal | undefined;
  /** Called with the head of the answer, also of an error. */
  onHead?: ((headers: http.IncomingHttpHeaders) => void) | undefined;
}

export interface AnsweringPeer {
  /** `node-1`, `the gateway`. */
  name: string;
  /** Error codes that it may use. */
  codes: ReadonlySet<ErrorCode>;
  /** Replaces every other code, and stands for an error that cannot be read. */
  otherCode: ErrorCode;
  /** What to do next, from our own catalogue. */
  hints?: Partial<Record<ErrorCode, string>>;
  /** Messages that need no attribution. */
  ownWords?: RegExp;
}

/**
 * Sends a request and resolves with the answer once its head is there. A status of 400 and above becomes the FleetError that the other
 * side meant, cut and harmless to print.
 */
export function openRequest(options: RequestOptions): Promise<http.IncomingMessage> {
  const { method, path, agent, socketPath, signal, stream, answerDeadlineMs = DEFAULT_ANSWER_DEADLINE_MS } = options;
  const body = options.bytes ?? (options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body)));
  const headers: Record<string, string | number> = { ...options.headers };
  if (body !== undefined) {
    headers['content-type'] ??= 'application/json';
    headers['content-length'] = body.length;
  }
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  const request = http.request({
    method,
    path,
    headers,
    host: 'fleet',
    ...(agent && { agent }),
    ...(socketPath !== undefined && { socketPath }),
    ...(signal && { signal }),
  });
  const settle = (): void => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  };
  // A request that still waits for its connection emits no error when it is destroyed, so each failure rejects by itself.
  const fail = (error: Error): void => {
    settle();
    request.destroy(error);
    reject(connectionError(error));
  };
  const abort = (): void => fail(new FleetError('connection_lost', 'the request was aborted'));
  const timer = setTimeout(
    () => fail(new FleetError('timeout', `no answer to ${method} ${path} within ${answerDeadlineMs} ms`)),
    answerDeadlineMs,
  );
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted) abort();
  request.on('error', fail);
  request.once('response', (response) => {
    settle();
    options.onHead?.(response.headers);
    const status = response.statusCode ?? 0;
    if (status < 400) return resolve(response);
    readAll(response, MAX_ERROR_BYTES).then(
      (bytes) => reject(parseErrorAnswer(status, bytes, options.peer)),
      (error: Error) => reject(connectionError(error)),
    );
  });
  // node:http does not notice a connection that closed on its way here.
  request.once('socket', ({ destroyed }) => {
    if (destroyed) fail(new FleetError('connection_lost', 'the connection was lost before the request was sent'));
  });
  if (stream === undefined) request.end(body);
  else {
    // Broken off, so that the other side never mistakes it for the whole.
    stream.once('error', (error) =>
      fail(
        new FleetError('connection_lost', `cannot read the data to send: ${systemErrorCode(error) ?? error.message}`),
      ),
    );
    stream.pipe(request);
  }
  return promise;
}

/**
 * {@link openRequest}, and the whole answer as JSON that matches `schema`. @throws FleetError `protocol_unsupported` when it does not.
 * Only tests may omit the schema; test/architecture.test.ts checks.
 */
export async function requestJson<T>(options: RequestOptions, schema?: AnswerSchema<T>): Promise<T> {
  return await readJson(await openRequest(options), options, schema);
}

/** The whole answer to that request as JSON that matches `schema`; an empty one is undefined. */
export async function readJson<T>(
  response: http.IncomingMessage,
  options: Pick<RequestOptions, 'method' | 'path' | 'maxAnswerBytes' | 'peer'>,
  schema?: AnswerSchema<T>,
): Promise<T> {
  const who = options.peer?.name ?? 'the other side';
  const route = `${options.method} ${options.path.split('?')[0]}`;
  let bytes: Buffer;
  try {
    bytes = await readAll(response, options.maxAnswerBytes ?? DEFAULT_MAX_ANSWER_BYTES);
  } catch (error) {
    throw connectionError(error);
  }
  let value: unknown;
  try {
    if (bytes.length > 0) value = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new FleetError('connection_lost', `the answer to ${route} is not JSON`, { cause: error });
  }
  if (schema === undefined) return value as T;
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new FleetError('protocol_unsupported', `${who} answered ${route} in a way that this version does not know`, {
    hint: 'Install the same fleet version on both machines.',
    cause: parsed.error,
  });
}

/** Drops the rest of an unneeded answer: reads a short one, so that the connection can be reused, and cuts a longer one. */
export function discardRest(response: Readable): void {
  let left = MAX_DISCARDED_BYTES;
  const timer = setTimeout(() => response.destroy(), BODY_SILENCE_MS);
  timer.unref();
  response.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) response.destroy();
  });
  response.on('error', () => {});
  response.once('close', () => clearTimeout(timer));
  response.resume();
}

async function readAll(stream: Readable, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let total = 0;
  const stop = (message: string) => (): void => void stream.destroy(new FleetError('timeout', message));
  const silence = setTimeout(stop(`the answer stalled for ${BODY_SILENCE_MS} ms`), BODY_SILENCE_MS);
  const deadlineMs = BODY_SILENCE_MS + maxBytes / MIN_BODY_BYTES_PER_MS;
  const deadline = setTimeout(stop(`the answer was not complete within ${Math.round(deadlineMs)} ms`), deadlineMs);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      silence.refresh();
      total += chunk.length;
      // Leaving the loop destroys the stream.
      if (total > maxBytes) throw new FleetError('protocol_unsupported', `an answer of more than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
  } finally {
    clearTimeout(silence);
    clearTimeout(deadline);
  }
  return Buffer.concat(chunks);
}

function parseErrorAnswer(status: number, bytes: Buffer, peer: AnsweringPeer | undefined): FleetError {
  const said = readError(bytes);
  if (said === undefined) {
    const who = peer?.name ?? 'the other side';
    return new FleetError(peer?.otherCode ?? 'internal', `${who} answered with HTTP ${status}`);
  }
  if (peer === undefined) return new FleetError(said.code, said.message, { hint: said.hint });
  const code = peer.codes.has(said.code) ? said.code : peer.otherCode;
  const message = peer.ownWords?.test(said.message) ? said.message : `${peer.name} answered: ${said.message}`;
  return new FleetError(code, message, { hint: peer.hints?.[code] });
}

/** Undefined when it is not one of fleet's error answers. */
function readError(bytes: Buffer): { code: ErrorCode; message: string; hint: string | undefined } | undefined {
  let answer: { error?: { code?: unknown; message?: unknown; hint?: unknown } } | null;
  try {
    answer = JSON.parse(bytes.toString('utf8')) as typeof answer;
  } catch {
    return undefined;
  }
  const { code, message, hint } = answer?.error ?? {};
  if (typeof code !== 'string' || !Object.hasOwn(ERROR_CODES, code)) return undefined;
  return {
    code: code as ErrorCode,
    message: typeof message === 'string' ? harmlessLine(message) : code,
    hint: typeof hint === 'string' ? harmlessLine(hint) : undefined,
  };
}

/** What node:http threw, as a FleetError; a FleetError that passed through it is returned unchanged. */
export function connectionError(error: unknown): FleetError {
  if (error instanceof FleetError) return error;
  if (error instanceof Error && error.cause instanceof FleetError) return error.cause;
  const message = error instanceof Error ? error.message : String(error);
  return new FleetError('connection_lost', `the connection was lost: ${systemErrorCode(error) ?? message}`, {
    cause: error,
  });
}
