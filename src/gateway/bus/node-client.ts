/** The gateway's side of the nodes' API: hand over, query, read logs, cancel, acknowledge. */
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
import type { Link, Links } from '../nodes/links.ts';

/** A cancel is answered once the process group is gone, which takes up to the kill grace, ms. */
const CANCEL_DEADLINE_MS = 60_000;
/** Largest list of ended runs, bytes. */
const MAX_RUN_LIST_BYTES = 8 * 1024 * 1024;

/** Error codes that a node may answer with; none that would speak about the person's key or login. */
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

/** A refusal that names the rule in the node's policy (docs/policy.md). */
const POLICY_RULE = /^node\.policy\.[A-Za-z.]{1,64}: /;

export function nodePeer(name: string): AnsweringPeer {
  return { name, codes: NODE_CODES, otherCode: 'protocol_unsupported' };
}

type SignTicket = (run: { id: string; nodeId: string }, body: Buffer) => string;

/** The API of one node, over one link. */
export class NodeClient {
  readonly link: Pick<Link, 'agent' | 'nodeName' | 'journal' | 'ended'>;
  readonly #signTicket: SignTicket;

  constructor(link: NodeClient['link'], signTicket: SignTicket) {
    this.link = link;
    this.#signTicket = signTicket;
  }

  /**
   * Idempotent: the node starts a run at most once. Resolves with the run's log, live from its beginning; undefined if the node has the run
   * but does not send the log with its answer ({@link openLog}). `whole`: a follower takes all of its output through {@link openLive}; it is
   * in the query because an older node rejects specs with unknown fields.
   */
  async handOver(spec: RunSpec, signal: AbortSignal, whole = false): Promise<http.IncomingMessage | undefined> {
    const bytes = Buffer.from(JSON.stringify(spec));
    const ticket = this.#signTicket({ id: spec.run, nodeId: spec.nodeId }, bytes);
    const headers = { [TICKET_HEADER]: ticket, 'content-type': 'application/json' };
    const request = { method: 'PUT', path: `${runPath(spec.run)}?log=1${whole ? '&whole=1' : ''}` } as const;
    const response = await this.#open({ ...request, bytes, headers, signal });
    if (response.headers['content-type'] === LOG_CONTENT_TYPE) return response;
    await readJson(response, { ...request, peer: this.#peer }, runStatusSchema);
    return undefined;
  }

  /** @throws FleetError `not_found` if the node's journal does not contain the run. */
  status(run: string, signal: AbortSignal, answerDeadlineMs?: number): Promise<RunStatus> {
    return this.#json({ method: 'GET', path: runPath(run), signal, answerDeadlineMs }, runStatusSchema);
  }

  /** Ids of all ended runs that the gateway has not acknowledged yet. */
  async unacknowledged(): Promise<string[]> {
    const request = { method: 'GET', path: '/v1/runs?unacknowledged=1', maxAnswerBytes: MAX_RUN_LIST_BYTES } as const;
    return (await this.#json(request, unacknowledgedAnswer)).runs;
  }

  /** The run's log from offset `from`, live until its end frame. */
  openLog(run: string, from: number, signal: AbortSignal): Promise<http.IncomingMessage> {
    return this.#open({ method: 'GET', path: `${runPath(run)}/log?from=${from}`, signal });
  }

  /** Live frames of output beyond the head of the log, from that position on; ends with an empty `live` frame if that was all. */
  openLive(run: string, from: number, signal: AbortSignal): Promise<http.IncomingMessage> {
    return this.#open({ method: 'GET', path: `${runPath(run)}/live?from=${from}`, signal });
  }

  /** Renews the lease of the follower that takes the run's whole output, ms. */
  async attend(run: string, forMs: number): Promise<void> {
    discardRest(await this.#open({ method: 'POST', path: `${runPath(run)}/attend`, body: { forMs } }));
  }

  /** Resolves once the process group is confirmed gone. */
  async cancel(run: string): Promise<void> {
    const request = { method: 'POST', path: `${runPath(run)}/cancel`, answerDeadlineMs: CANCEL_DEADLINE_MS } as const;
    await this.#json(request, runStatusSchema);
  }

  /** All of these runs is stored here. @returns those that the node does not know or has not finished. */
  async acknowledge(runs: string[]): Promise<string[]> {
    const request = { method: 'POST', path: '/v1/acknowledge', body: { runs } } as const;
    return (await this.#json(request, acknowledgeAnswer)).refused;
  }

  /** Sends `stream` to the command's stdin; resolves once the node has taken all of it. */
  async stdin(run: string, stream: Readable, signal: AbortSignal): Promise<void> {
    const response = await this.#open({
      method: 'POST',
      path: `${runPath(run)}/stdin`,
      stream,
      signal,
      headers: { 'content-type': 'application/octet-stream' },
      // The answer follows the last byte, and a command may take days to read.
      answerDeadlineMs: 2 ** 31 - 1,
    });
    discardRest(response);
  }

  #open(options: Omit<RequestOptions, 'agent' | 'peer'>): Promise<http.IncomingMessage> {
    return openRequest({ ...options, agent: this.link.agent, peer: this.#peer });
  }

  #json<T>(options: Omit<RequestOptions, 'agent' | 'peer'>, schema: AnswerSchema<T>): Promise<T> {
    return requestJson({ ...options, agent: this.link.agent, peer: this.#peer }, schema);
  }

  get #peer(): AnsweringPeer {
    // Only here: reasons of runs are shown next to the name of their node.
    return { ...nodePeer(this.link.nodeName), ownWords: POLICY_RULE };
  }
}

/** The nodes as the bus sees them: clients of those that are online, and the wait for the others. */
export class NodeClients {
  readonly #links: Links;
  readonly #signTicket: SignTicket;
  readonly #waiting = new Map<string, Set<(client: NodeClient | undefined) => void>>();

  constructor(links: Links, signTicket: SignTicket) {
    this.#links = links;
    this.#signTicket = signTicket;
  }

  /** Undefined while the node is away. */
  online(nodeId: string): NodeClient | undefined {
    const link = this.#links.online(nodeId);
    return link && this.of(link);
  }

  of(link: Link): NodeClient {
    return new NodeClient(link, this.#signTicket);
  }

  /** Resolves once the node is online; with undefined if `signal` aborts first. */
  whenOnline(nodeId: string, signal: AbortSignal): Promise<NodeClient | undefined> {
    const client = this.online(nodeId);
    if (client !== undefined || signal.aborted) return Promise.resolve(client);
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(nodeId) ?? new Set();
      this.#waiting.set(nodeId, waiting);
      const done = (found: NodeClient | undefined): void => {
        waiting.delete(done);
        if (waiting.size === 0) this.#waiting.delete(nodeId);
        signal.removeEventListener('abort', onAbort);
        resolve(found);
      };
      const onAbort = (): void => done(undefined);
      waiting.add(done);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** The node is online: wakes those that wait for it. */
  wake(link: Link): void {
    for (const done of [...(this.#waiting.get(link.nodeId) ?? [])]) done(this.of(link));
  }
}

function runPath(run: string): string {
  return `/v1/runs/${encodeURIComponent(run)}`;
}
