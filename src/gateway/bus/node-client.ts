/** The gateway's side of a node's API: hand over, ask, read on, cancel, acknowledge. */
import type http from 'node:http';
import type { Readable } from 'node:stream';
import { type RunSpec, type RunStatus, runStatusSchema } from '../../protocol/run-spec.ts';
import { TICKET_HEADER } from '../../protocol/ticket.ts';
import { FleetError } from '../../shared/errors.ts';
import { openRequest, type RequestOptions, requestJson } from '../../shared/http/request.ts';

/** A cancel is answered only when the process group is gone, which takes the kill grace and then some, ms. */
const CANCEL_DEADLINE_MS = 60_000;

export interface NodeClientOptions {
  agent: http.Agent;
  signTicket(run: { id: string; nodeId: string }, body: Buffer): Promise<string>;
}

export class NodeClient {
  readonly #options: NodeClientOptions;

  constructor(options: NodeClientOptions) {
    this.#options = options;
  }

  /** Idempotent: the node starts a run at most once, however often it is handed over. */
  async handOver(spec: RunSpec): Promise<RunStatus> {
    const bytes = Buffer.from(JSON.stringify(spec));
    const ticket = await this.#options.signTicket({ id: spec.run, nodeId: spec.nodeId }, bytes);
    const headers = { [TICKET_HEADER]: ticket, 'content-type': 'application/json' };
    return parseStatus(await this.#json({ method: 'PUT', path: runPath(spec.run), bytes, headers }));
  }

  /** @throws FleetError `not_found` when the node's journal does not have the run. */
  async status(run: string): Promise<RunStatus> {
    return parseStatus(await this.#json({ method: 'GET', path: runPath(run) }));
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

  async acknowledge(run: string): Promise<void> {
    await this.#json({ method: 'POST', path: `${runPath(run)}/acknowledge` });
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
