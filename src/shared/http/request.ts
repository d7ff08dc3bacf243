/** The one HTTP client of fleet: JSON in, checked JSON out, errors as FleetError, and a limit on the time and size of every answer. */
import http from 'node:http';
import type { Readable } from 'node:stream';
import { ERROR_CODES, type ErrorCode, FleetError, systemErrorCode } from '../errors.ts';
import { harmlessLine } from '../text.ts';

/** Without an answer's head by then, the request has failed, ms. */
export const DEFAULT_ANSWER_DEADLINE_MS = 15_000;
/** A body that is read as a whole and brings nothing for so long has stalled, ms. */
const BODY_SILENCE_MS = 15_000;
/** A body that is read as a whole must come faster than this on average, bytes per ms; a slow mobile link does. */
const MIN_BODY_BYTES_PER_MS = 16;
/** Largest answer that says what went wrong, bytes. */
export const MAX_ERROR_BYTES = 64 * 1024;
/** Most bytes of an answer that are read although nobody needs them. */
const MAX_DISCARDED_BYTES = 4 * 1024 * 1024;
/** Largest JSON answer unless the call says otherwise, bytes. */
export const DEFAULT_MAX_ANSWER_BYTES = 1024 * 1024;

/** What checks an answer: a zod schema, without the command line having to load zod. */
export interface AnswerSchema<T> {
  safeParse(value: unknown): { success: true; data: T } | { success: false; error: Error };
}

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
  /** Largest JSON answer, bytes; {@link DEFAULT_MAX_ANSWER_BYTES} by default. */
  maxAnswerBytes?: number | undefined;
  /** Who answers, if that is another machine. Its words are then attributed to it, and its hints and foreign codes are dropped. */
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
  /** Stands for every other code, and for an error that cannot be read. */
  otherCode: ErrorCode;
  /** What to do next, from our own catalogue. */
  hints?: Partial<Record<ErrorCode, string>>;
  /** Messages that say by themselves whose words they are. */
  ownWords?: RegExp;
}

/**
 * Sends a request and resolves with the answer's head once it is there. A status of 400 and above becomes the FleetError that the other
 * side meant, cut and harmless to print.
 */
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
      options.onHead?.(response.headers);
      const status = response.statusCode ?? 0;
      if (status < 400) return resolve(response);
      readAll(response, MAX_ERROR_BYTES).then(
        (bytes) => reject(parseErrorAnswer(status, bytes, options.peer)),
        (error: Error) => reject(connectionError(error)),
      );
    });
    request.on('error', fail);
    // Of a connection that was closed on its way here node:http hears nothing any more.
    request.once('socket', (socket) => {
      if (socket.destroyed)
        fail(new FleetError('connection_lost', 'the connection was lost before the request was on it'));
    });
    if (options.stream === undefined) return void request.end(body);
    // Broken off, so that the other side never takes it for all there was.
    options.stream.once('error', (error) => {
      const failure = new FleetError(
        'connection_lost',
        `cannot read what is to be sent: ${systemErrorCode(error) ?? error.message}`,
      );
      request.destroy(failure);
      fail(failure);
    });
    options.stream.pipe(request);
  });
}

/**
 * {@link openRequest}, and the whole answer as JSON that fits `schema`. @throws FleetError `protocol_unsupported` when it does not.
 * Only tests may leave the schema out; test/architecture.test.ts looks.
 */
export async function requestJson<T>(options: RequestOptions, schema?: AnswerSchema<T>): Promise<T> {
  return await readJson(await openRequest(options), options, schema);
}

/** The whole answer to that request as JSON that fits `schema`; an empty one is undefined. */
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

/** Lets the rest of an answer go by that nobody needs: a short one, so that the connection can be used again; a longer one is cut. */
export function discardRest(response: Readable): void {
  let left = MAX_DISCARDED_BYTES;
  const timer = setTimeout(() => response.destroy(), BODY_SILENCE_MS);
  timer.unref();
  response.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) response.destroy();
  });
  // Nobody waits for it.
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
    return new FleetError(
      peer?.otherCode ?? 'internal',
      `${peer?.name ?? 'the other side'} answered with HTTP ${status}`,
    );
  }
  if (peer === undefined) return new FleetError(said.code, said.message, { hint: said.hint });
  const code = peer.codes.has(said.code) ? said.code : peer.otherCode;
  const message = peer.ownWords?.test(said.message) ? said.message : `${peer.name} answered: ${said.message}`;
  return new FleetError(code, message, { hint: peer.hints?.[code] });
}

/** Undefined when it is not one of fleet's answers: then the status says what there is to say. */
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

/** What node:http threw, as a FleetError; one that passed through it is given back as it was. */
export function connectionError(error: unknown): FleetError {
  if (error instanceof FleetError) return error;
  if (error instanceof Error && error.cause instanceof FleetError) return error.cause;
  const message = error instanceof Error ? error.message : String(error);
  return new FleetError('connection_lost', `the connection was lost: ${systemErrorCode(error) ?? message}`, {
    cause: error,
  });
}
