/** The gateway's API as typed calls: the CLI and scripts use the same client. */
import type http from 'node:http';
import type { Readable } from 'node:stream';
import { DEFAULT_JOB_LIST, TIME_HEADER } from '../domain/limits.ts';
import type { JobView } from '../protocol/job-messages.ts';
import type { Answer, AnsweredRoute, BodyInput, Query, Routes } from '../protocol/routes.ts';
import { toFleetError } from '../shared/errors.ts';
import { openRequest, type RequestOptions } from '../shared/http/request.ts';
import { type GatewayTransport, requestAnswer, UnixSocketTransport } from './transport.ts';

/** An upload may take as long as the command that reads it; the longest delay of a timer, ms. */
const NO_DEADLINE_MS = 2 ** 31 - 1;
/** Longest wait for the head of a report on thousands of nodes, ms. */
const REPORT_DEADLINE_MS = 120_000;
/** Longer than any webhook or alert command should take, ms. */
const ALERT_TEST_DEADLINE_MS = 300_000;
/** Earlier versions stored errors of up to 256 MiB in audit rows, which must stay verifiable; bytes. */
const MAX_WHOLE_ROWS_BYTES = 400 * 1024 * 1024;

/** The gateway's Unix socket, or another way that is opened with the first request. `time` compares the clocks. */
type GatewayClientOptions = ({ socketPath: string } | { connect(): Promise<GatewayTransport> }) & {
  time?: { own(): number; learn(gatewayMs: number): void };
};

type Route = keyof Routes & AnsweredRoute;
export type QueryInput<K extends keyof Routes> = Partial<NonNullable<Query<K>>>;
type PathInput<K> = K extends `${string}:${string}` ? [which: string] : [];
type Input<K extends Route> = Routes[K] extends { body: unknown }
  ? [body: BodyInput<K>]
  : Routes[K] extends { query: unknown }
    ? [query?: QueryInput<K>]
    : [];
/** The value of the path's parameter, then the body or the query. */
type Call<K extends Route, R = Answer<K>> = (...args: [...PathInput<K>, ...Input<K>]) => Promise<R>;
type Listed<K extends Route> = Answer<K>[keyof Answer<K>];

type Parts = Omit<RequestOptions, 'method' | 'path'> & { which?: string; query?: object };

/**
 * Throws the FleetError that the gateway answered, or `gateway_unreachable`, `connection_lost`, `timeout`. `which` is a name, an id or the
 * unique beginning of an id.
 */
export class GatewayClient {
  readonly #options: GatewayClientOptions;
  #transport: GatewayTransport | undefined;

  readonly gateway = this.#call('GET /v1/gateway');
  /** Reloads the gateway's configuration. */
  readonly reload = this.#call('POST /v1/gateway/reload');
  /** Starts a clean shutdown of the gateway; it is over once the process has gone. */
  readonly shutdown = this.#call('POST /v1/gateway/shutdown');
  /** Replaces the key that signs tokens and tickets. */
  readonly rotateKey = this.#call('POST /v1/gateway/rotate-key');

  readonly invite = this.#call('POST /v1/invites');
  /** Those that can still be used. */
  readonly invites = this.#list('GET /v1/invites');
  /** By the first four characters of its code. */
  readonly revokeInvite = this.#call('DELETE /v1/invites/:invite');
  /** People's keys first; revoked ones are included. */
  readonly keys = this.#list('GET /v1/keys');
  /** Also by fingerprint. */
  readonly revokeKey = this.#call('POST /v1/keys/:key/revoke');

  /** All nodes, or those that match a selector. */
  readonly nodes = this.#list('GET /v1/nodes');
  readonly node = this.#call('GET /v1/nodes/:node');
  readonly changeNode = this.#call('PATCH /v1/nodes/:node');
  readonly revokeNode = this.#call('POST /v1/nodes/:node/revoke');
  /** Clears the suspicion that two machines use the node's key. */
  readonly resetNode = this.#call('POST /v1/nodes/:node/reset');
  readonly removeNode = this.#call('DELETE /v1/nodes/:node');
  readonly processes = this.#call('GET /v1/nodes/:node/processes');
  readonly pending = this.#list('GET /v1/pending');
  /** By name or comparison code. */
  readonly decidePending = this.#call('POST /v1/pending/:which');

  /** One part of the list of jobs; {@link readJobs} reads all parts. */
  readonly jobPage = this.#call('GET /v1/jobs');
  readonly job = this.#call('GET /v1/jobs/:job');
  readonly cancelJob = this.#call('POST /v1/jobs/:job/cancel');

  readonly auditHead = this.#call('GET /v1/audit/head');
  /** Newest first; with `active`, only active ones, worst first. */
  readonly alerts = this.#list('GET /v1/alerts');
  readonly silences = this.#list('GET /v1/alerts/silences');
  /** `what` is a rule, a node or an alert. */
  readonly silence = this.#call('POST /v1/alerts/silences');

  readonly addSchedule = this.#call('POST /v1/schedules');
  /** Sorted by name. */
  readonly schedules = this.#list('GET /v1/schedules');
  readonly schedule = this.#call('GET /v1/schedules/:schedule');
  readonly removeSchedule = this.#call('DELETE /v1/schedules/:schedule');
  /** Runs it now; resolves once that has started, waits, or was skipped. */
  readonly runSchedule = this.#call('POST /v1/schedules/:schedule/run');

  constructor(options: GatewayClientOptions) {
    this.#options = options;
  }

  /** Ends the connection and every stream over it. Idempotent. */
  close(): void {
    this.#transport?.close();
  }

  submitJob(body: BodyInput<'POST /v1/jobs'>) {
    return this.#request('POST /v1/jobs', { body: { ...body, follow: false } });
  }

  /** Newest first. */
  async jobs(query: QueryInput<'GET /v1/jobs'> = {}) {
    const jobs: JobView[] = [];
    for await (const part of readJobs(this, query)) jobs.push(...part);
    return jobs;
  }

  /** Sends `stream` to the stdin of a job's only run; resolves when the node has taken all of it or the run has ended. */
  sendStdin(which: string, stream: Readable, signal?: AbortSignal): Promise<void> {
    const headers = { 'content-type': 'application/octet-stream' };
    const answerDeadlineMs = NO_DEADLINE_MS;
    return this.#request('POST /v1/jobs/:job/stdin', { which, headers, stream, answerDeadlineMs, signal });
  }

  /** Submits a job and opens its stream of events for follow-job.ts. `whole`: all output is taken, at our pace. */
  openSubmit(body: BodyInput<'POST /v1/jobs'>, signal?: AbortSignal, whole = false): Promise<Readable> {
    return this.#open('POST /v1/jobs', {
      query: { whole: whole || undefined },
      body: { ...body, follow: true },
      signal,
    });
  }

  /** The stream of events of a job, each run's log from the given offset on. */
  openFollow(which: string, from: Record<string, number>, signal?: AbortSignal, whole = false): Promise<Readable> {
    const query = { whole: whole || undefined };
    return this.#open('POST /v1/jobs/:job/follow', { which, query, body: { from }, signal });
  }

  /** The live output of a job that was submitted as `whole`, including what is not kept; `from` counts bytes of output. */
  openLive(which: string, from: number, signal?: AbortSignal): Promise<Readable> {
    return this.#open('GET /v1/jobs/:job/live', { which, query: { from }, signal });
  }

  auditPage(query: QueryInput<'GET /v1/audit'>) {
    const maxAnswerBytes = query.whole === undefined ? undefined : MAX_WHOLE_ROWS_BYTES;
    return this.#request('GET /v1/audit', { query, maxAnswerBytes });
  }

  health(node?: string) {
    return this.#request('GET /v1/health', { query: { node } });
  }

  async unsilence(what: string) {
    return (await this.#request('POST /v1/alerts/unsilence', { body: { what } })).silences;
  }

  /** Sends a test message to one receiver or to all; resolves when each has accepted it or failed. */
  async testAlerts(receiver?: string) {
    const options = { body: { receiver }, answerDeadlineMs: ALERT_TEST_DEADLINE_MS };
    return (await this.#request('POST /v1/alerts/test', options)).results;
  }

  /** A rendered report from `since` (ms since the epoch) until now, and the status of the whole fleet. */
  async healthReport(query: { since: number; format: string }): Promise<{ status: string; body: Readable }> {
    const body = await this.#open('GET /v1/health/report', { query, answerDeadlineMs: REPORT_DEADLINE_MS });
    const status = body.headers['fleet-status'];
    return { status: typeof status === 'string' ? status : 'unknown', body };
  }

  pauseSchedule(which: string, paused: boolean) {
    return this.#request('PATCH /v1/schedules/:schedule', { which, body: { paused } });
  }

  /** Newest first. */
  async scheduleHistory(which: string, limit?: number) {
    return (await this.#request('GET /v1/schedules/:schedule/history', { which, query: { limit } })).firings;
  }

  #call<K extends Route>(route: K): Call<K> {
    return (...args: readonly unknown[]) => {
      const which = route.includes(':') ? { which: String(args[0]) } : {};
      const input = args[route.includes(':') ? 1 : 0] as object | undefined;
      return this.#request(
        route,
        route.startsWith('GET') ? { ...which, query: input ?? {} } : { ...which, body: input },
      );
    };
  }

  /** For answers with a single list: resolves with the list. */
  #list<K extends Route>(route: K): Call<K, Listed<K>> {
    const call = this.#call(route);
    return async (...args) => Object.values((await call(...args)) as Record<string, Listed<K>>)[0] as Listed<K>;
  }

  #request<K extends Route>(route: K, parts: Parts): Promise<Answer<K>> {
    return this.#send(route, parts, (routed) => requestAnswer(route, routed));
  }

  #open(route: keyof Routes, parts: Parts): Promise<http.IncomingMessage> {
    return this.#send(route, parts, openRequest);
  }

  /** Retries once with a new token if the gateway rejects the present one, unless a stream has been consumed by then. */
  async #send<T>(route: keyof Routes, parts: Parts, send: (options: RequestOptions) => Promise<T>): Promise<T> {
    const transport = await this.#opened();
    const { time } = this.#options;
    const { which = '', query = {}, ...options } = parts;
    const [method, pattern] = route.split(' ') as [RequestOptions['method'], string];
    const path = withQuery(
      pattern.replace(/:\w+/, () => encodeURIComponent(which)),
      query,
    );
    const attempt = async (): Promise<T> => {
      try {
        const way = await transport.route();
        const headers = { ...options.headers, ...way.headers, ...(time && { [TIME_HEADER]: String(time.own()) }) };
        const onHead = (head: http.IncomingHttpHeaders): void => time?.learn(Number(head[TIME_HEADER]));
        return await send({ ...options, method, path, ...way, headers, onHead });
      } catch (error) {
        const failure = toFleetError(error);
        throw transport.explain?.(failure) ?? failure;
      }
    };
    try {
      return await attempt();
    } catch (error) {
      const isStale = toFleetError(error).code === 'token_invalid';
      if (!isStale || transport.renew === undefined || options.stream !== undefined) throw error;
      await transport.renew();
      return await attempt();
    }
  }

  async #opened(): Promise<GatewayTransport> {
    const options = this.#options;
    this.#transport ??= 'connect' in options ? await options.connect() : new UnixSocketTransport(options.socketPath);
    return this.#transport;
  }
}

/** The list of jobs, newest first, in parts of some megabytes: the whole list may exceed the longest possible string. */
export async function* readJobs(
  source: Pick<GatewayClient, 'jobPage'>,
  query: QueryInput<'GET /v1/jobs'>,
): AsyncGenerator<JobView[]> {
  let left = query.limit ?? DEFAULT_JOB_LIST;
  let before: number | undefined;
  while (left > 0) {
    const { jobs, next } = await source.jobPage(before === undefined ? query : { ...query, before, limit: left });
    yield jobs;
    left -= jobs.length;
    // Every part must make progress.
    if (jobs.length === 0 || next === null || next >= (before ?? Number.POSITIVE_INFINITY)) return;
    before = next;
  }
}

/** `path` with the values that are set. */
function withQuery(path: string, query: object): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined);
  if (pairs.length === 0) return path;
  return `${path}?${pairs.map(([key, value]) => `${key}=${encodeURIComponent(String(value))}`).join('&')}`;
}
