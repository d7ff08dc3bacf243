/** The gateway's API as typed calls: what the command line uses is what a script can import. */
import http from 'node:http';
import type { Readable } from 'node:stream';
import type { AuditHeadView, AuditPage, AuditQuery } from '../protocol/audit.ts';
import type { InvitationRequest, JobView, SubmitJobRequest } from '../protocol/job-messages.ts';
import type { AddScheduleRequest, FiringView, ScheduleView } from '../protocol/schedule.ts';
import type {
  GatewayView,
  HealthView,
  InviteView,
  NodeDetailView,
  NodeView,
  PendingView,
  RotatedKeyView,
} from '../protocol/views.ts';
import { FleetError, systemErrorCode, toFleetError } from '../shared/errors.ts';
import { openRequest, type RequestOptions, requestJson } from '../shared/http/request.ts';

/** An upload may last as long as the command that reads it: the longest delay that a timer takes, ms. */
const NO_DEADLINE_MS = 2 ** 31 - 1;
/** Answers of many megabytes (a report on thousands of nodes) may take this long to begin, ms. */
const REPORT_DEADLINE_MS = 120_000;

export interface GatewayClientOptions {
  /** The gateway's Unix socket. */
  socketPath: string;
}

export interface ListJobsQuery {
  node?: string | undefined;
  state?: string | undefined;
  /** Created at or after, ms since the epoch. */
  since?: number | undefined;
  limit?: number | undefined;
}

export interface ReportQuery {
  /** Start of the period, ms since the epoch. */
  since: number;
  format: string;
}

export interface Report {
  /** `NodeStatus` of the whole fleet, or `unknown`. */
  status: string;
  body: Readable;
}

export interface NodeChange {
  name?: string;
  /** A value of null takes the label away. */
  labels?: Record<string, string | null>;
}

/** Every method throws the FleetError that the gateway answered, or `gateway_unreachable`, `connection_lost`, `timeout`. */
export class GatewayClient {
  readonly #socketPath: string;
  // The server name is for TLS only; without it Node compiles a large regular expression to find that out (5 ms of start).
  readonly #agent = new http.Agent({ servername: '' } as http.AgentOptions);

  constructor(options: GatewayClientOptions) {
    this.#socketPath = options.socketPath;
  }

  gateway(): Promise<GatewayView> {
    return this.#json({ method: 'GET', path: '/v1/gateway' });
  }

  /** Begins the orderly end of the gateway; it is gone when its process is. */
  shutdown(): Promise<{ pid: number }> {
    return this.#json({ method: 'POST', path: '/v1/gateway/shutdown' });
  }

  /** Replaces the key that signs tokens and tickets. */
  rotateKey(): Promise<RotatedKeyView> {
    return this.#json({ method: 'POST', path: '/v1/gateway/rotate-key' });
  }

  invite(body: InvitationRequest): Promise<InviteView> {
    return this.#json({ method: 'POST', path: '/v1/invites', body });
  }

  /** All nodes, or those that a selector means. */
  async nodes(query: { selector?: string; exclude?: string | undefined } = {}): Promise<NodeView[]> {
    const answer = await this.#json<{ nodes: NodeView[] }>({ method: 'GET', path: withQuery('/v1/nodes', query) });
    return answer.nodes;
  }

  /** `which` is a name, an id or the unique beginning of an id, here and below. */
  node(which: string): Promise<NodeDetailView> {
    return this.#json({ method: 'GET', path: `/v1/nodes/${encodeURIComponent(which)}` });
  }

  changeNode(which: string, body: NodeChange): Promise<NodeDetailView> {
    return this.#json({ method: 'PATCH', path: `/v1/nodes/${encodeURIComponent(which)}`, body });
  }

  revokeNode(which: string): Promise<NodeDetailView> {
    return this.#json({ method: 'POST', path: `/v1/nodes/${encodeURIComponent(which)}/revoke` });
  }

  /** Forgets the suspicion that two machines use the node's key. */
  resetNode(which: string): Promise<NodeDetailView> {
    return this.#json({ method: 'POST', path: `/v1/nodes/${encodeURIComponent(which)}/reset` });
  }

  removeNode(which: string): Promise<void> {
    return this.#json({ method: 'DELETE', path: `/v1/nodes/${encodeURIComponent(which)}` });
  }

  async pending(): Promise<PendingView[]> {
    return (await this.#json<{ pending: PendingView[] }>({ method: 'GET', path: '/v1/pending' })).pending;
  }

  /** `which` is the name or the comparison code. */
  decidePending(
    which: string,
    body: { decision: 'approve' | 'reject'; name?: string | undefined; labels?: Record<string, string> },
  ): Promise<PendingView> {
    return this.#json({ method: 'POST', path: `/v1/pending/${encodeURIComponent(which)}`, body });
  }

  submitJob(body: SubmitJobRequest): Promise<JobView> {
    return this.#json({ method: 'POST', path: '/v1/jobs', body: { ...body, follow: false } });
  }

  /** Newest first. */
  async jobs(query: ListJobsQuery = {}): Promise<JobView[]> {
    return (await this.#json<{ jobs: JobView[] }>({ method: 'GET', path: withQuery('/v1/jobs', query) })).jobs;
  }

  job(which: string): Promise<JobView> {
    return this.#json({ method: 'GET', path: `/v1/jobs/${encodeURIComponent(which)}` });
  }

  cancelJob(which: string): Promise<JobView> {
    return this.#json({ method: 'POST', path: `/v1/jobs/${encodeURIComponent(which)}/cancel` });
  }

  /** Sends `stream` to the stdin of a job's only run; resolves when the node has taken all of it or the run has ended. */
  sendStdin(job: string, stream: Readable, signal?: AbortSignal): Promise<void> {
    return this.#json({
      method: 'POST',
      path: `/v1/jobs/${encodeURIComponent(job)}/stdin`,
      headers: { 'content-type': 'application/octet-stream' },
      stream,
      answerDeadlineMs: NO_DEADLINE_MS,
      signal,
    });
  }

  /** The raw stream of events of a job that is submitted with it; follow-job.ts reads it. */
  openSubmit(body: SubmitJobRequest, signal?: AbortSignal): Promise<Readable> {
    return this.#open({ method: 'POST', path: '/v1/jobs', body: { ...body, follow: true }, signal });
  }

  /** The raw stream of events of a job, each run's log from the given offset on. */
  openFollow(job: string, from: Record<string, number>, signal?: AbortSignal): Promise<Readable> {
    return this.#open({ method: 'POST', path: `/v1/jobs/${encodeURIComponent(job)}/follow`, body: { from }, signal });
  }

  /** A part of the audit log. */
  auditPage(query: AuditQuery): Promise<AuditPage> {
    return this.#json({ method: 'GET', path: withQuery('/v1/audit', query) });
  }

  auditHead(): Promise<AuditHeadView> {
    return this.#json({ method: 'GET', path: '/v1/audit/head' });
  }

  health(node?: string): Promise<HealthView> {
    return this.#json({ method: 'GET', path: withQuery('/v1/health', { node }) });
  }

  async healthReport(query: ReportQuery): Promise<Report> {
    const body = await this.#open({
      method: 'GET',
      path: withQuery('/v1/health/report', query),
      answerDeadlineMs: REPORT_DEADLINE_MS,
    });
    const status = body.headers['fleet-status'];
    return { status: typeof status === 'string' ? status : 'unknown', body };
  }

  addSchedule(body: AddScheduleRequest): Promise<ScheduleView> {
    return this.#json({ method: 'POST', path: '/v1/schedules', body });
  }

  /** By name. */
  async schedules(): Promise<ScheduleView[]> {
    return (await this.#json<{ schedules: ScheduleView[] }>({ method: 'GET', path: '/v1/schedules' })).schedules;
  }

  schedule(name: string): Promise<ScheduleView> {
    return this.#json({ method: 'GET', path: `/v1/schedules/${encodeURIComponent(name)}` });
  }

  pauseSchedule(name: string, paused: boolean): Promise<ScheduleView> {
    return this.#json({ method: 'PATCH', path: `/v1/schedules/${encodeURIComponent(name)}`, body: { paused } });
  }

  removeSchedule(name: string): Promise<void> {
    return this.#json({ method: 'DELETE', path: `/v1/schedules/${encodeURIComponent(name)}` });
  }

  /** Newest first. */
  async scheduleHistory(name: string, limit?: number): Promise<FiringView[]> {
    const path = withQuery(`/v1/schedules/${encodeURIComponent(name)}/history`, { limit });
    return (await this.#json<{ firings: FiringView[] }>({ method: 'GET', path })).firings;
  }

  /** Does now what it does at its times; resolves when that is begun, waits, or is skipped. */
  runSchedule(name: string): Promise<FiringView> {
    return this.#json({ method: 'POST', path: `/v1/schedules/${encodeURIComponent(name)}/run` });
  }

  async #json<T>(options: RequestOptions): Promise<T> {
    return await requestJson<T>(this.#local(options)).catch((error: unknown) => {
      throw this.#explain(error);
    });
  }

  async #open(options: RequestOptions): Promise<http.IncomingMessage> {
    return await openRequest(this.#local(options)).catch((error: unknown) => {
      throw this.#explain(error);
    });
  }

  #local(options: RequestOptions): RequestOptions {
    return { ...options, socketPath: this.#socketPath, agent: this.#agent };
  }

  /** Nobody listening on the socket is another thing than a connection that broke. */
  #explain(error: unknown): FleetError {
    const failure = toFleetError(error);
    const code = systemErrorCode(failure.cause);
    if (code === 'ENOENT' || code === 'ECONNREFUSED') {
      return new FleetError('gateway_unreachable', `no gateway is running in this home (${this.#socketPath})`, {
        hint: 'Start it: fleet gateway up',
        cause: error,
      });
    }
    if (code === 'EACCES' || code === 'EPERM') {
      return new FleetError('forbidden', `the gateway's socket is not yours to use: ${this.#socketPath}`, {
        hint: 'Use it as the user who runs the gateway.',
        cause: error,
      });
    }
    return failure;
  }
}

function withQuery(path: string, query: object): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined);
  if (pairs.length === 0) return path;
  return `${path}?${pairs.map(([key, value]) => `${key}=${encodeURIComponent(String(value))}`).join('&')}`;
}
