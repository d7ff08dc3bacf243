/** The gateway's side of a node's API: hand over, ask, read on, cancel, acknowledge. */
import type http from 'node:http';
import type { Readable } from 'node:stream';
import { LOG_CONTENT_TYPE } from '../../protocol/frames.ts';
import {
  acknowledgeAnswer,
  type RunSpec,
  type RunStatus,
  runStatusSchema,
  TICKET_HEADER,
  unacknowledgedAnswer,
} from '../../protocol/run-spec.ts';
import type { ErrorCode } from '../../shared/errors.ts';
import {
  type AnsweringPeer,
  type AnswerSchema,
  discardRest,
  openRequest,
  type RequestOptions,
  readJson,
  requestJson,
} from '../../shared/http/request.ts';

/** A cancel is answered only when the process group is gone, which takes the kill grace and then some, ms. */
const CANCEL_DEADLINE_MS = 60_000;
/** Largest list of ended runs: a node that was away for long has many; bytes. */
const MAX_RUN_LIST_BYTES = 8 * 1024 * 1024;

/** What a node may refuse a request with. It must not be able to speak of the person's key or login. */
const NODE_CODES: ReadonlySet<ErrorCode> = new Set([
  'bad_request',
  'not_found',
  'no_such_agent',
  'conflict',
  'too_large',
  'protocol_unsupported',
  'forbidden',
  'policy_denied',
  'connection_lost',
  'busy',
  'timeout',
  'not_running',
  'storage_failed',
  'storage_busy',
  'storage_corrupt',
  'internal',
]);

/** A refusal that names the rule of the node's policy (docs/policy.md). */
const POLICY_RULE = /^node\.policy\.[A-Za-z.]{1,64}: /;

export function nodePeer(name: string): AnsweringPeer {
  return { name, codes: NODE_CODES, otherCode: 'protocol_unsupported' };
}

interface NodeClientOptions {
  agent: http.Agent;
  /** As its operator calls it. */
  name: string;
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
   * `whole`: somebody takes all of its output by {@link openLive}. In the query, since an older node refuses a spec with an unknown field.
   */
  async handOver(spec: RunSpec, signal: AbortSignal, whole = false): Promise<http.IncomingMessage | undefined> {
    const bytes = Buffer.from(JSON.stringify(spec));
    const ticket = this.#options.signTicket({ id: spec.run, nodeId: spec.nodeId }, bytes);
    const headers = { [TICKET_HEADER]: ticket, 'content-type': 'application/json' };
    const request = { method: 'PUT', path: `${runPath(spec.run)}?log=1${whole ? '&whole=1' : ''}` } as const;
    const response = await this.#open({ ...request, bytes, headers, signal });
    if (response.headers['content-type'] === LOG_CONTENT_TYPE) return response;
    await readJson(response, { ...request, peer: this.#peer }, runStatusSchema);
    return undefined;
  }

  /** @throws FleetError `not_found` when the node's journal does not have the run. */
  status(run: string, signal: AbortSignal, answerDeadlineMs?: number): Promise<RunStatus> {
    return this.#json({ method: 'GET', path: runPath(run), signal, answerDeadlineMs }, runStatusSchema);
  }

  /** All finished runs that the gateway has not acknowledged yet. */
  async unacknowledged(): Promise<string[]> {
    const request = { method: 'GET', path: '/v1/runs?unacknowledged=1', maxAnswerBytes: MAX_RUN_LIST_BYTES } as const;
    return (await this.#json(request, unacknowledgedAnswer)).runs;
  }

  /** The run's log from offset `from`, live until its end frame. */
  openLog(run: string, from: number, signal: AbortSignal): Promise<http.IncomingMessage> {
    return this.#open({ method: 'GET', path: `${runPath(run)}/log?from=${from}`, signal });
  }

  /** Frames of output past the head of the log, from that position on, as they come; the last is an empty `live` frame if that was all. */
  openLive(run: string, from: number, signal: AbortSignal): Promise<http.IncomingMessage> {
    return this.#open({ method: 'GET', path: `${runPath(run)}/live?from=${from}`, signal });
  }

  /** Whoever takes the run's output whole is there, and may be away for so long, ms. */
  async attend(run: string, forMs: number): Promise<void> {
    discardRest(await this.#open({ method: 'POST', path: `${runPath(run)}/attend`, body: { forMs } }));
  }

  /** Resolves when the process group is confirmed gone. */
  async cancel(run: string): Promise<void> {
    const request = { method: 'POST', path: `${runPath(run)}/cancel`, answerDeadlineMs: CANCEL_DEADLINE_MS } as const;
    await this.#json(request, runStatusSchema);
  }

  /** Everything of these runs is stored. Those that the node does not know, or that go on there, come back. */
  async acknowledge(runs: string[]): Promise<string[]> {
    const request = { method: 'POST', path: '/v1/acknowledge', body: { runs } } as const;
    return (await this.#json(request, acknowledgeAnswer)).refused;
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
    discardRest(response);
  }

  #open(options: Omit<RequestOptions, 'agent' | 'peer'>): Promise<http.IncomingMessage> {
    return openRequest({ ...options, agent: this.#options.agent, peer: this.#peer });
  }

  #json<T>(options: Omit<RequestOptions, 'agent' | 'peer'>, schema: AnswerSchema<T>): Promise<T> {
    return requestJson({ ...options, agent: this.#options.agent, peer: this.#peer }, schema);
  }

  get #peer(): AnsweringPeer {
    // Of runs only: their reasons are shown behind the name of their node.
    return { ...nodePeer(this.#options.name), ownWords: POLICY_RULE };
  }
}

function runPath(run: string): string {
  return `/v1/runs/${encodeURIComponent(run)}`;
}
