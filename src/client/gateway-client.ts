/** The gateway's API as typed calls: what the command line uses is what a script can import. */
import type http from 'node:http';
import type { Readable } from 'node:stream';
import type { AuditHeadView, AuditPage, AuditQuery } from '../domain/audit.ts';
import { TIME_HEADER } from '../domain/limits.ts';
import type { AlertTestView, AlertView, SilenceRequest, SilenceView } from '../protocol/alerts.ts';
import type { Answers } from '../protocol/answers.ts';
import type { InvitationRequest, JobPage, JobView, SubmitJobRequest } from '../protocol/job-messages.ts';
import type { ProcessesQuery, ProcessesView } from '../protocol/node-messages.ts';
import type { AddScheduleRequest, FiringView, ScheduleView } from '../protocol/schedule.ts';
import type {
  GatewayView,
  HealthView,
  InviteView,
  KeyView,
  NodeDetailView,
  NodeView,
  OpenInviteView,
  PendingView,
  ReloadView,
  RotatedKeyView,
} from '../protocol/views.ts';
import { toFleetError } from '../shared/errors.ts';
import { openRequest, type RequestOptions } from '../shared/http/request.ts';
import { type ListJobsQuery, readJobs, withQuery } from './read-jobs.ts';
import type { GatewayTransport } from './transport.ts';
import { requestAnswer, UnixSocketTransport } from './transport.ts';

/** An upload may last as long as the command that reads it: the longest delay that a timer takes, ms. */
const NO_DEADLINE_MS = 2 ** 31 - 1;
/** Answers of many megabytes (a report on thousands of nodes) may take this long to begin, ms. */
const REPORT_DEADLINE_MS = 120_000;
/** Longer than any webhook, and than any command that is told of alerts should take, ms. */
const ALERT_TEST_DEADLINE_MS = 300_000;
/** An earlier version stored errors of nodes of up to 256 MiB in rows of the audit log, which must stay checkable; bytes. */
const MAX_WHOLE_ROWS_BYTES = 400 * 1024 * 1024;

/** The gateway's Unix socket, or another way, opened with the first request; and who wants to know the gateway's time. */
type GatewayClientOptions = ({ socketPath: string } | { connect(): Promise<GatewayTransport> }) & {
  time?: { own(): number; learn(gatewayMs: number): void };
};

interface ReportQuery {
  /** Start of the period, ms since the epoch. */
  since: number;
  format: string;
}

interface Report {
  /** `NodeStatus` of the whole fleet, or `unknown`. */
  status: string;
  body: Readable;
}

interface NodeChange {
  name?: string;
  /** A value of null takes the label away. */
  labels?: Record<string, string | null>;
}

/** Every method throws the FleetError that the gateway answered, or `gateway_unreachable`, `connection_lost`, `timeout`. */
export class GatewayClient {
  readonly #options: GatewayClientOptions;
  #transport: GatewayTransport | undefined;

  constructor(options: GatewayClientOptions) {
    this.#options = options;
  }

  /** Ends the connection, and what still streams over it. Idempotent. */
  close(): void {
    this.#transport?.close();
  }

  gateway(): Promise<GatewayView> {
    return this.#json('gateway', { method: 'GET', path: '/v1/gateway' });
  }

  /** Reads the gateway's configuration anew. */
  reload(): Promise<ReloadView> {
    return this.#json('reload', { method: 'POST', path: '/v1/gateway/reload' });
  }

  /** Begins the orderly end of the gateway; it is gone when its process is. */
  shutdown(): Promise<{ pid: number }> {
    return this.#json('shutdown', { method: 'POST', path: '/v1/gateway/shutdown' });
  }

  /** Replaces the key that signs tokens and tickets. */
  rotateKey(): Promise<RotatedKeyView> {
    return this.#json('rotatedKey', { method: 'POST', path: '/v1/gateway/rotate-key' });
  }

  invite(body: InvitationRequest): Promise<InviteView> {
    return this.#json('invite', { method: 'POST', path: '/v1/invites', body });
  }

  /** Those that can still be used. */
  async invites(): Promise<OpenInviteView[]> {
    return (await this.#json('invites', { method: 'GET', path: '/v1/invites' })).invites;
  }

  /** By the first four characters of its code. */
  revokeInvite(id: string): Promise<void> {
    return this.#json('nothing', { method: 'DELETE', path: `/v1/invites/${encodeURIComponent(id)}` });
  }

  /** Those of people first; revoked ones, too. */
  async keys(): Promise<KeyView[]> {
    return (await this.#json('keys', { method: 'GET', path: '/v1/keys' })).keys;
  }

  /** `which` is a name, a fingerprint, an id or the unique beginning of an id. */
  revokeKey(which: string): Promise<KeyView> {
    return this.#json('key', { method: 'POST', path: `/v1/keys/${encodeURIComponent(which)}/revoke` });
  }

  /** All nodes, or those that a selector means. */
  async nodes(query: { selector?: string; exclude?: string | undefined } = {}): Promise<NodeView[]> {
    return (await this.#json('nodes', { method: 'GET', path: withQuery('/v1/nodes', query) })).nodes;
  }

  /** `which` is a name, an id or the unique beginning of an id, here and below. */
  node(which: string): Promise<NodeDetailView> {
    return this.#json('node', { method: 'GET', path: `/v1/nodes/${encodeURIComponent(which)}` });
  }

  changeNode(which: string, body: NodeChange): Promise<NodeDetailView> {
    return this.#json('node', { method: 'PATCH', path: `/v1/nodes/${encodeURIComponent(which)}`, body });
  }

  revokeNode(which: string): Promise<NodeDetailView> {
    return this.#json('node', { method: 'POST', path: `/v1/nodes/${encodeURIComponent(which)}/revoke` });
  }

  /** Forgets the suspicion that two machines use the node's key. */
  resetNode(which: string): Promise<NodeDetailView> {
    return this.#json('node', { method: 'POST', path: `/v1/nodes/${encodeURIComponent(which)}/reset` });
  }

  removeNode(which: string): Promise<void> {
    return this.#json('nothing', { method: 'DELETE', path: `/v1/nodes/${encodeURIComponent(which)}` });
  }

  async pending(): Promise<PendingView[]> {
    return (await this.#json('pendingList', { method: 'GET', path: '/v1/pending' })).pending;
  }

  /** `which` is the name or the comparison code. */
  decidePending(
    which: string,
    body: { decision: 'approve' | 'reject'; name?: string | undefined; labels?: Record<string, string> },
  ): Promise<PendingView> {
    return this.#json('pending', { method: 'POST', path: `/v1/pending/${encodeURIComponent(which)}`, body });
  }

  submitJob(body: SubmitJobRequest): Promise<JobView> {
    return this.#json('job', { method: 'POST', path: '/v1/jobs', body: { ...body, follow: false } });
  }

  /** Newest first. */
  async jobs(query: ListJobsQuery = {}): Promise<JobView[]> {
    const jobs: JobView[] = [];
    for await (const part of readJobs(this, query)) jobs.push(...part);
    return jobs;
  }

  /** A part of that list; {@link readJobs} reads them all. */
  jobPage(query: ListJobsQuery & { before?: number | undefined }): Promise<JobPage> {
    return this.#json('jobPage', { method: 'GET', path: withQuery('/v1/jobs', query) });
  }

  job(which: string): Promise<JobView> {
    return this.#json('job', { method: 'GET', path: `/v1/jobs/${encodeURIComponent(which)}` });
  }

  cancelJob(which: string): Promise<JobView> {
    return this.#json('job', { method: 'POST', path: `/v1/jobs/${encodeURIComponent(which)}/cancel` });
  }

  /** Sends `stream` to the stdin of a job's only run; resolves when the node has taken all of it or the run has ended. */
  sendStdin(job: string, stream: Readable, signal?: AbortSignal): Promise<void> {
    return this.#json('nothing', {
      method: 'POST',
      path: `/v1/jobs/${encodeURIComponent(job)}/stdin`,
      headers: { 'content-type': 'application/octet-stream' },
      stream,
      answerDeadlineMs: NO_DEADLINE_MS,
      signal,
    });
  }

  /** The raw stream of events of a job that is submitted with it; follow-job.ts reads it. `whole`: all output is taken, at our pace. */
  openSubmit(body: SubmitJobRequest, signal?: AbortSignal, whole = false): Promise<Readable> {
    return this.#open({
      method: 'POST',
      path: withQuery('/v1/jobs', { whole: whole || undefined }),
      body: { ...body, follow: true },
      signal,
    });
  }

  /** The raw stream of events of a job, each run's log from the given offset on. */
  openFollow(job: string, from: Record<string, number>, signal?: AbortSignal, whole = false): Promise<Readable> {
    const path = withQuery(`/v1/jobs/${encodeURIComponent(job)}/follow`, { whole: whole || undefined });
    return this.#open({ method: 'POST', path, body: { from }, signal });
  }

  /** The output of a job that was submitted as `whole`, live and past what is kept, from a position on in bytes of output. */
  openLive(job: string, from: number, signal?: AbortSignal): Promise<Readable> {
    return this.#open({ method: 'GET', path: `/v1/jobs/${encodeURIComponent(job)}/live?from=${from}`, signal });
  }

  /** A part of the audit log. */
  auditPage(query: AuditQuery): Promise<AuditPage> {
    const maxAnswerBytes = query.whole === undefined ? undefined : MAX_WHOLE_ROWS_BYTES;
    return this.#json('auditPage', { method: 'GET', path: withQuery('/v1/audit', query), maxAnswerBytes });
  }

  auditHead(): Promise<AuditHeadView> {
    return this.#json('auditHead', { method: 'GET', path: '/v1/audit/head' });
  }

  health(node?: string): Promise<HealthView> {
    return this.#json('health', { method: 'GET', path: withQuery('/v1/health', { node }) });
  }

  /** Newest first; the active ones only, the worst first. */
  async alerts(query: { active?: boolean; limit?: number } = {}): Promise<AlertView[]> {
    return (await this.#json('alerts', { method: 'GET', path: withQuery('/v1/alerts', query) })).alerts;
  }

  async silences(): Promise<SilenceView[]> {
    const path = '/v1/alerts/silences';
    return (await this.#json('silences', { method: 'GET', path })).silences;
  }

  /** `what` is a rule, a node, or an alert, here and below. */
  silence(body: SilenceRequest): Promise<SilenceView> {
    return this.#json('silence', { method: 'POST', path: '/v1/alerts/silences', body });
  }

  async unsilence(what: string): Promise<SilenceView[]> {
    const path = '/v1/alerts/unsilence';
    return (await this.#json('silences', { method: 'POST', path, body: { what } })).silences;
  }

  /** Resolves when each receiver, or the one, has taken a test message or has not. */
  async testAlerts(receiver?: string): Promise<AlertTestView[]> {
    const body = receiver === undefined ? {} : { receiver };
    const path = '/v1/alerts/test';
    const options = { method: 'POST', path, body, answerDeadlineMs: ALERT_TEST_DEADLINE_MS } as const;
    return (await this.#json('alertTests', options)).results;
  }

  processes(node: string, query: Partial<ProcessesQuery>): Promise<ProcessesView> {
    const path = withQuery(`/v1/nodes/${encodeURIComponent(node)}/processes`, query);
    return this.#json('processes', { method: 'GET', path });
  }

  async healthReport(query: ReportQuery): Promise<Report> {
    const path = withQuery('/v1/health/report', query);
    const body = await this.#open({ method: 'GET', path, answerDeadlineMs: REPORT_DEADLINE_MS });
    const status = body.headers['fleet-status'];
    return { status: typeof status === 'string' ? status : 'unknown', body };
  }

  addSchedule(body: AddScheduleRequest): Promise<ScheduleView> {
    return this.#json('schedule', { method: 'POST', path: '/v1/schedules', body });
  }

  /** By name. */
  async schedules(): Promise<ScheduleView[]> {
    return (await this.#json('schedules', { method: 'GET', path: '/v1/schedules' })).schedules;
  }

  schedule(name: string): Promise<ScheduleView> {
    return this.#json('schedule', { method: 'GET', path: `/v1/schedules/${encodeURIComponent(name)}` });
  }

  pauseSchedule(name: string, paused: boolean): Promise<ScheduleView> {
    return this.#json('schedule', {
      method: 'PATCH',
      path: `/v1/schedules/${encodeURIComponent(name)}`,
      body: { paused },
    });
  }

  removeSchedule(name: string): Promise<void> {
    return this.#json('nothing', { method: 'DELETE', path: `/v1/schedules/${encodeURIComponent(name)}` });
  }

  /** Newest first. */
  async scheduleHistory(name: string, limit?: number): Promise<FiringView[]> {
    const path = withQuery(`/v1/schedules/${encodeURIComponent(name)}/history`, { limit });
    return (await this.#json('firings', { method: 'GET', path })).firings;
  }

  /** Does now what it does at its times; resolves when that is begun, waits, or is skipped. */
  runSchedule(name: string): Promise<FiringView> {
    return this.#json('firing', { method: 'POST', path: `/v1/schedules/${encodeURIComponent(name)}/run` });
  }

  #json<K extends keyof Answers>(answer: K, options: RequestOptions): Promise<Answers[K]> {
    return this.#send(options, (routed) => requestAnswer(answer, routed));
  }

  #open(options: RequestOptions): Promise<http.IncomingMessage> {
    return this.#send(options, openRequest);
  }

  /** Once more with a fresh token, when the gateway does not take the present one. A stream has been read by then. */
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
