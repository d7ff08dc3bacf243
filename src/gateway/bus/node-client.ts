/** The gateway's side of a node's API: hand over, ask, read on, cancel, acknowledge. */
import type http from 'node:http';
import type { Readable } from 'node:stream';
import { LOG_CONTENT_TYPE } from '../../protocol/frames.ts';
import { type RunSpec, type RunStatus, runStatusSchema } from '../../protocol/run-spec.ts';
import { TICKET_HEADER } from '../../protocol/ticket.ts';
import { FleetError } from '../../shared/errors.ts';
import { openRequest, type RequestOptions, readJson, requestJson } from '../../shared/http/request.ts';

/** A cancel is answered only when the process group is gone, which takes the kill grace and then some, ms. */
const CANCEL_DEADLINE_MS = 60_000;

export interface NodeClientOptions {
  agent: http.Agent;
  signTicket(run: { id: string; nodeId: string }, body: Buffer): string;
}

export class NodeClient {
  readonly #options: NodeClientOptions;

  constructor(options: NodeClientOptions) {
    this.#options = options;
  }

  /**
   * Idempotent: the node starts a run at most once, however often it is handed over. With the answer comes the run's log, live and from
   * its beginning; undefined when the node has the run but sends no log along, which {@link openLog} then says more about.
   */
  async handOver(spec: RunSpec, signal: AbortSignal): Promise<http.IncomingMessage | undefined> {
    const bytes = Buffer.from(JSON.stringify(spec));
    const ticket = this.#options.signTicket({ id: spec.run, nodeId: spec.nodeId }, bytes);
    const headers = { [TICKET_HEADER]: ticket, 'content-type': 'application/json' };
    const request = { method: 'PUT', path: `${runPath(spec.run)}?log=1` } as const;
    const response = await this.#open({ ...request, bytes, headers, signal });
    if (response.headers['content-type'] === LOG_CONTENT_TYPE) return response;
    parseStatus(await readJson(response, request));
    return undefined;
  }

  /** @throws FleetError `not_found` when the node's journal does not have the run. */
  async status(run: string, signal: AbortSignal): Promise<RunStatus> {
    return parseStatus(await this.#json({ method: 'GET', path: runPath(run), signal }));
  }

  /** All finished runs that the gateway has not acknowledged yet. */
  async unacknowledged(): Promise<string[]> {
    const { runs } = await this.#json<{ runs: string[] }>({ method: 'GET', path: '/v1/runs?unacknowledged=1' });
    return runs;
  }

  /** The run's log from offset `from`, live until its end frame. */
  openLog(run: string, from: number, signal: AbortSignal): Promise<http.IncomingMessage> {
    return this.#open({ method: 'GET', path: `${runPath(run)}/log?from=${from}`, signal });
  }

  /** Resolves when the process group is confirmed gone. */
  async cancel(run: string): Promise<void> {
    await this.#json({ method: 'POST', path: `${runPath(run)}/cancel`, answerDeadlineMs: CANCEL_DEADLINE_MS });
  }

  /** Everything of these runs is stored. Those that the node does not know, or that go on there, come back. */
  async acknowledge(runs: string[]): Promise<string[]> {
    const request = { method: 'POST', path: '/v1/acknowledge', body: { runs } } as const;
    return (await this.#json<{ refused: string[] }>(request)).refused;
  }

  /** Sends all of `stream` to the command's stdin; resolves when the node has taken it. */
  async stdin(run: string, stream: Readable, signal: AbortSignal): Promise<void> {
    const response = await this.#open({
      method: 'POST',
      path: `${runPath(run)}/stdin`,
      stream,
      signal,
      headers: { 'content-type': 'application/octet-stream' },
      // The answer comes after the last byte, and a command may read slowly for days.
      answerDeadlineMs: 2 ** 31 - 1,
    });
    response.resume();
  }

  #open(options: Omit<RequestOptions, 'agent'>): Promise<http.IncomingMessage> {
    return openRequest({ ...options, agent: this.#options.agent });
  }

  #json<T>(options: Omit<RequestOptions, 'agent'>): Promise<T> {
    return requestJson<T>({ ...options, agent: this.#options.agent });
  }
}

function runPath(run: string): string {
  return `/v1/runs/${encodeURIComponent(run)}`;
}

function parseStatus(value: unknown): RunStatus {
  const parsed = runStatusSchema.safeParse(value);
  if (!parsed.success)
    throw new FleetError('protocol_unsupported', 'the node answered something that is not the status of a run');
  return parsed.data;
}
