/** The gateway's API as typed calls: what the command line uses is what a script can import. */
import type http from 'node:http';
import type { Readable } from 'node:stream';
import type { AuditQuery } from '../domain/audit.ts';
import { TIME_HEADER } from '../domain/limits.ts';
import type { SilenceRequest } from '../protocol/alerts.ts';
import type { InvitationRequest, JobView, SubmitJobRequest } from '../protocol/job-messages.ts';
import type { ProcessesQuery } from '../protocol/node-messages.ts';
import type { AnswerOf, ParamsOf, RouteName, Routes } from '../protocol/routes.ts';
import type { AddScheduleRequest } from '../protocol/schedule.ts';
import { toFleetError } from '../shared/errors.ts';
import { openRequest, type RequestOptions } from '../shared/http/request.ts';
import { type ListJobsQuery, readJobs } from './read-jobs.ts';
import { type GatewayTransport, requestAnswer, UnixSocketTransport } from './transport.ts';

/** For an upload, which may last as long as the command that reads it: the longest delay of a timer, ms. */
const NO_DEADLINE_MS = 2 ** 31 - 1;
/** Longest wait for the first byte of a report on thousands of nodes, ms. */
const REPORT_DEADLINE_MS = 120_000;
/** Longest wait for a test of all alert receivers, ms. */
const ALERT_TEST_DEADLINE_MS = 300_000;
/** Earlier versions stored errors of up to 256 MiB in audit rows, which must stay verifiable; bytes. */
const MAX_WHOLE_ROWS_BYTES = 400 * 1024 * 1024;

/** The gateway's Unix socket, or another way that is opened with the first request; `time` learns the gateway's time. */
type GatewayClientOptions = ({ socketPath: string } | { connect(): Promise<GatewayTransport> }) & {
  time?: { own(): number; learn(gatewayMs: number): void };
};

type CallOptions<N extends RouteName> = Omit<RequestOptions, 'method' | 'path'> & {
  query?: object | undefined;
} & (unknown extends ParamsOf<N> ? { params?: undefined } : { params: ParamsOf<N> });

interface Report {
  /** `NodeStatus` of the whole fleet, or `unknown`. */
  status: string;
  body: Readable;
}

interface NodeChange {
  name?: string;
  /** A label of null is removed. */
  labels?: Record<string, string | null>;
}

/** Every method throws the FleetError that the gateway answered, or `gateway_unreachable`, `connection_lost`, `timeout`. */
export class GatewayClient {
  readonly #options: GatewayClientOptions;
  #transport: GatewayTransport | undefined;

  constructor(options: GatewayClientOptions) {
    this.#options = options;
  }

  /** Closes the connection and everything that streams over it. Idempotent. */
  close(): void {
    this.#transport?.close();
  }

  gateway() {
    return this.#call('GET /v1/gateway', {});
  }

  /** Reloads the gateway's configuration. */
  reload() {
    return this.#call('POST /v1/gateway/reload', {});
  }

  /** Begins an orderly shutdown, which is complete when the process has exited. */
  shutdown() {
    return this.#call('POST /v1/gateway/shutdown', {});
  }

  /** Replaces the key that signs tokens and tickets. */
  rotateKey() {
    return this.#call('POST /v1/gateway/rotate-key', {});
  }

  invite(body: InvitationRequest) {
    return this.#call('POST /v1/invites', { body });
  }

  /** Invites that can still be used. */
  async invites() {
    return (await this.#call('GET /v1/invites', {})).invites;
  }

  /** `invite` is the first four characters of its code. */
  revokeInvite(invite: string) {
    return this.#call('DELETE /v1/invites/:invite', { params: { invite } });
  }

  /** Keys of people first; revoked ones, too. */
  async keys() {
    return (await this.#call('GET /v1/keys', {})).keys;
  }

  /** `key` is a name, a fingerprint, an id or a unique prefix of an id. */
  revokeKey(key: string) {
    return this.#call('POST /v1/keys/:key/revoke', { params: { key } });
  }

  /** All nodes, or those that a selector matches. */
  async nodes(query: { selector?: string; exclude?: string | undefined } = {}) {
    return (await this.#call('GET /v1/nodes', { query })).nodes;
  }

  /** `node` is a name, an id or a unique prefix of an id, here and below. */
  node(node: string) {
    return this.#call('GET /v1/nodes/:node', { params: { node } });
  }

  changeNode(node: string, body: NodeChange) {
    return this.#call('PATCH /v1/nodes/:node', { params: { node }, body });
  }

  revokeNode(node: string) {
    return this.#call('POST /v1/nodes/:node/revoke', { params: { node } });
  }

  /** Clears the suspicion that two machines use the node's key. */
  resetNode(node: string) {
    return this.#call('POST /v1/nodes/:node/reset', { params: { node } });
  }

  removeNode(node: string) {
    return this.#call('DELETE /v1/nodes/:node', { params: { node } });
  }

  async pending() {
    return (await this.#call('GET /v1/pending', {})).pending;
  }

  /** `which` is a name or a comparison code. */
  decidePending(
    which: string,
    body: { decision: 'approve' | 'reject'; name?: string | undefined; labels?: Record<string, string> },
  ) {
    return this.#call('POST /v1/pending/:which', { params: { which }, body });
  }

  submitJob(body: SubmitJobRequest) {
    return this.#call('POST /v1/jobs', { body: { ...body, follow: false } });
  }

  /** Newest first. */
  async jobs(query: ListJobsQuery = {}): Promise<JobView[]> {
    const jobs: JobView[] = [];
    for await (const part of readJobs(this, query)) jobs.push(...part);
    return jobs;
  }

  /** One page of that list; {@link readJobs} reads them all. */
  jobPage(query: ListJobsQuery & { before?: number | undefined }) {
    return this.#call('GET /v1/jobs', { query });
  }

  job(job: string) {
    return this.#call('GET /v1/jobs/:job', { params: { job } });
  }

  cancelJob(job: string) {
    return this.#call('POST /v1/jobs/:job/cancel', { params: { job } });
  }

  /** Sends `stream` to the stdin of a job's only run; resolves when the node has taken all of it or the run has ended. */
  sendStdin(job: string, stream: Readable, signal?: AbortSignal) {
    const headers = { 'content-type': 'application/octet-stream' };
    const options = { headers, stream, answerDeadlineMs: NO_DEADLINE_MS, signal };
    return this.#call('POST /v1/jobs/:job/stdin', { params: { job }, ...options });
  }

  /** Submits a job and opens its stream of events, which follow-job.ts reads. `whole`: all output is taken, at our pace. */
  openSubmit(body: SubmitJobRequest, signal?: AbortSignal, whole = false): Promise<Readable> {
    const query = { whole: whole || undefined };
    return this.#open('POST /v1/jobs', { query, body: { ...body, follow: true }, signal });
  }

  /** Opens the stream of events of a job, each run's log from the given offset on. */
  openFollow(job: string, from: Record<string, number>, signal?: AbortSignal, whole = false): Promise<Readable> {
    const query = { whole: whole || undefined };
    return this.#open('POST /v1/jobs/:job/follow', { params: { job }, query, body: { from }, signal });
  }

  /** The output of a job submitted as `whole`, live and beyond what is kept, from this position on, bytes. */
  openLive(job: string, from: number, signal?: AbortSignal): Promise<Readable> {
    return this.#open('GET /v1/jobs/:job/live', { params: { job }, query: { from }, signal });
  }

  /** One page of the audit log. */
  auditPage(query: AuditQuery) {
    const maxAnswerBytes = query.whole === undefined ? undefined : MAX_WHOLE_ROWS_BYTES;
    return this.#call('GET /v1/audit', { query, maxAnswerBytes });
  }

  auditHead() {
    return this.#call('GET /v1/audit/head', {});
  }

  health(node?: string) {
    return this.#call('GET /v1/health', { query: { node } });
  }

  /** Newest first; with `active` the unresolved ones only, most severe first. */
  async alerts(query: { active?: boolean; limit?: number } = {}) {
    return (await this.#call('GET /v1/alerts', { query })).alerts;
  }

  async silences() {
    return (await this.#call('GET /v1/alerts/silences', {})).silences;
  }

  /** `what` is a rule, a node, or an alert, here and below. */
  silence(body: SilenceRequest) {
    return this.#call('POST /v1/alerts/silences', { body });
  }

  async unsilence(what: string) {
    return (await this.#call('POST /v1/alerts/unsilence', { body: { what } })).silences;
  }

  /** Resolves when every receiver, or the given one, has accepted or refused a test message. */
  async testAlerts(receiver?: string) {
    const body = receiver === undefined ? {} : { receiver };
    return (await this.#call('POST /v1/alerts/test', { body, answerDeadlineMs: ALERT_TEST_DEADLINE_MS })).results;
  }

  processes(node: string, query: Partial<ProcessesQuery>) {
    return this.#call('GET /v1/nodes/:node/processes', { params: { node }, query });
  }

  /** `since` is the start of the period, ms since the epoch. */
  async healthReport(query: { since: number; format: string }): Promise<Report> {
    const body = await this.#open('GET /v1/health/report', { query, answerDeadlineMs: REPORT_DEADLINE_MS });
    const status = body.headers['fleet-status'];
    return { status: typeof status === 'string' ? status : 'unknown', body };
  }

  addSchedule(body: AddScheduleRequest) {
    return this.#call('POST /v1/schedules', { body });
  }

  /** By name. */
  async schedules() {
    return (await this.#call('GET /v1/schedules', {})).schedules;
  }

  schedule(schedule: string) {
    return this.#call('GET /v1/schedules/:schedule', { params: { schedule } });
  }

  pauseSchedule(schedule: string, paused: boolean) {
    return this.#call('PATCH /v1/schedules/:schedule', { params: { schedule }, body: { paused } });
  }

  removeSchedule(schedule: string) {
    return this.#call('DELETE /v1/schedules/:schedule', { params: { schedule } });
  }

  /** Newest first. */
  async scheduleHistory(schedule: string, limit?: number) {
    return (await this.#call('GET /v1/schedules/:schedule/history', { params: { schedule }, query: { limit } }))
      .firings;
  }

  /** Runs it now, beside its times. */
  runSchedule(schedule: string) {
    return this.#call('POST /v1/schedules/:schedule/run', { params: { schedule } });
  }

  #call<N extends RouteName>(name: N, options: CallOptions<N>): Promise<AnswerOf<Routes[N]>> {
    return this.#send(requestTo(name, options), (routed) => requestAnswer(name, routed));
  }

  #open<N extends RouteName>(name: N, options: CallOptions<N>): Promise<http.IncomingMessage> {
    return this.#send(requestTo(name, options), openRequest);
  }

  /** Retries once with a fresh token if the gateway refuses the present one, unless a stream has been consumed. */
  async #send<T>(options: RequestOptions, send: (routed: RequestOptions) => Promise<T>): Promise<T> {
    const transport = await this.#opened();
    const { time } = this.#options;
    const attempt = async (): Promise<T> => {
      try {
        const route = await transport.route();
        const headers = { ...options.headers, ...route.headers, ...(time && { [TIME_HEADER]: String(time.own()) }) };
        return await send({ ...options, ...route, headers, onHead: (head) => time?.learn(Number(head[TIME_HEADER])) });
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

function requestTo<N extends RouteName>(name: N, { params, query = {}, ...rest }: CallOptions<N>): RequestOptions {
  const [method, template = ''] = name.split(' ') as [RequestOptions['method'], string];
  const values: Record<string, string> = params ?? {};
  const path = template.replace(/:(\w+)/g, (_, parameter: string) => encodeURIComponent(values[parameter] ?? ''));
  const pairs = Object.entries(query).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key}=${encodeURIComponent(String(value))}`],
  );
  return { ...rest, method, path: pairs.length === 0 ? path : `${path}?${pairs.join('&')}` };
}
