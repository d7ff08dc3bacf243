/** A node that does what a test says: a real HTTP server behind a tunnel that can be cut. */
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import type { Duplex } from 'node:stream';
import type { Session, SessionPeer, Sessions } from '../../../src/gateway/nodes/sessions.ts';
import { encodeFrame, FRAME_TYPE, LOG_CONTENT_TYPE } from '../../../src/protocol/frames.ts';
import type { RunOutcome, RunSpec } from '../../../src/protocol/run-spec.ts';
import { FleetError } from '../../../src/shared/errors.ts';
import { socketPair } from '../../support/socket-pair.ts';

export type Route = 'accept' | 'status' | 'log' | 'cancel' | 'acknowledge' | 'stdin' | 'list';

/** Answers in place of the node when it returns true. */
export type Script = (
  route: Route,
  run: string,
  request: http.IncomingMessage,
  response: http.ServerResponse,
) => boolean | Promise<boolean>;

interface FakeRun {
  spec: RunSpec;
  log: Buffer;
  outcome: RunOutcome | null;
  changed: Set<() => void>;
}

export function outcomeOf(changes: Partial<RunOutcome> = {}): RunOutcome {
  return {
    state: 'exited',
    exitCode: 0,
    signal: null,
    reason: null,
    startedAt: 1_000,
    endedAt: 2_000,
    stdoutBytes: 0,
    stderrBytes: 0,
    droppedBytes: 0,
    ...changes,
  };
}

export function endFrame(changes: Partial<RunOutcome> = {}): Buffer {
  return encodeFrame(FRAME_TYPE.end, Buffer.from(JSON.stringify(outcomeOf(changes))));
}

export function startedFrame(): Buffer {
  return encodeFrame(FRAME_TYPE.started, Buffer.from('{"startedAt":1000,"pid":7}'));
}

/** The command has exited, and something holds its output. */
export function exitedFrame(exitCode = 0): Buffer {
  const exited = { exitCode, signal: null, holders: [{ pid: 4711, name: 'sleep' }] };
  return encodeFrame(FRAME_TYPE.started, Buffer.from(JSON.stringify({ startedAt: 1000, pid: 7, exited })));
}

export function stdoutFrame(text: string): Buffer {
  return encodeFrame(FRAME_TYPE.stdout, Buffer.from(text));
}

export class FakeNode {
  readonly id: string;
  readonly name: string;
  journal = 'journal-1';
  /** What the node's journal has. */
  readonly runs = new Map<string, FakeRun>();
  /** Every request in order, as `route run`. */
  readonly requests: string[] = [];
  readonly stdin = new Map<string, { bytes: Buffer; end: 'open' | 'whole' | 'cut' }>();
  /** Whether a hand-over is answered with the log, if asked for. */
  sendsLogAlong = true;
  /** Runs are dropped when they have been acknowledged, and their ids forgotten. */
  forgetsAcknowledged = false;
  /** Ids of the runs that were started, in order. */
  readonly started: string[] = [];
  /** Runs end at once, with code 0, when this is set. */
  endsAtOnce = false;
  script: Script | undefined;
  readonly #server: http.Server;
  readonly #sessions: () => Sessions;
  #channels = new Set<Duplex>();
  #cut: (() => void) | undefined;

  constructor(id: string, name: string, sessions: () => Sessions) {
    this.id = id;
    this.name = name;
    this.#sessions = sessions;
    this.#server = http.createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, (request, response) => {
      this.#handle(request, response).catch((error: unknown) => response.destroy(error as Error));
    });
  }

  /** A fresh tunnel; work may flow as soon as this resolves, or, without `online`, after {@link goOnline}. */
  async connect({ online = true } = {}): Promise<Session> {
    const closed = Promise.withResolvers<string>();
    const channels = new Set<Duplex>();
    let isOpen = true;
    const cut = (reason = 'cut'): void => {
      isOpen = false;
      for (const channel of channels) channel.destroy();
      closed.resolve(reason);
    };
    const peer: SessionPeer = {
      id: randomBytes(6).toString('hex'),
      remoteAddress: '192.0.2.1',
      connectedAt: 0,
      closed: closed.promise,
      close: cut,
      openForwarded: async () => {
        if (!isOpen) throw new FleetError('connection_lost', 'the SSH connection is down');
        const [near, far] = socketPair();
        for (const end of [near, far]) channels.add(end);
        this.#server.emit('connection', far);
        return near;
      },
    };
    this.#channels = channels;
    this.#cut = cut;
    await this.#sessions().accept(this, peer);
    const session = this.#sessions().get(this.id);
    if (session === undefined) throw new Error('no session');
    session.journal = this.journal;
    if (online) this.goOnline();
    return session;
  }

  goOnline(): void {
    const session = this.#sessions().get(this.id);
    if (session !== undefined) this.#sessions().heartbeat(session, 1);
  }

  /** The tunnel is gone, in the middle of whatever it carried. */
  cut(): void {
    this.#cut?.();
  }

  /** Every hand-over is lost on its way from now on, until `script` is another one. */
  loseHandOvers(): void {
    this.script = (route, _run, _request, response) => {
      if (route === 'accept') response.destroy();
      return route === 'accept';
    };
  }

  /** Only the channels: whatever is under way breaks, the tunnel stands. */
  cutChannels(): void {
    for (const channel of this.#channels) channel.destroy();
    this.#channels.clear();
  }

  /** Appends to the run's log. */
  write(run: string, ...frames: Buffer[]): void {
    const entry = this.#runOf(run);
    entry.log = Buffer.concat([entry.log, ...frames]);
    for (const wake of entry.changed) wake();
  }

  end(run: string, changes: Partial<RunOutcome> = {}): void {
    this.#runOf(run).outcome = outcomeOf(changes);
    this.write(run, endFrame(changes));
  }

  /** How often the run was handed over. */
  count(route: Route, run?: string): number {
    return this.requests.filter((entry) => entry.startsWith(`${route} `) && (run === undefined || entry.endsWith(run)))
      .length;
  }

  /** Every reader of the log gets what it has not had yet, then waits. */
  close(): void {
    this.cut();
    this.#server.closeAllConnections();
  }

  #runOf(run: string): FakeRun {
    const entry = this.runs.get(run);
    if (entry === undefined) throw new Error(`the node does not have ${run}`);
    return entry;
  }

  async #handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://fleet');
    const [, , , run = '', action = ''] = url.pathname.split('/');
    const route = url.pathname === '/v1/acknowledge' ? 'acknowledge' : routeOf(request.method ?? '', run, action);
    const acknowledged = route === 'acknowledge' ? (await readJson<{ runs: string[] }>(request)).runs : undefined;
    for (const id of acknowledged ?? [run]) this.requests.push(`${route} ${id}`);
    if (await this.script?.(route, run, request, response)) return;
    if (this.forgetsAcknowledged) for (const id of acknowledged ?? []) this.runs.delete(id);
    if (acknowledged !== undefined) return answer(response, 200, { refused: [] });
    if (route === 'list') {
      const ended = [...this.runs].filter(([, { outcome }]) => outcome !== null).map(([id]) => id);
      return answer(response, 200, { runs: ended });
    }
    if (route === 'accept') {
      const status = this.accept(run, await readJson(request));
      if (url.searchParams.get('log') !== '1' || !this.sendsLogAlong) return answer(response, 201, status);
      return await this.#sendLog(this.#runOf(run), 0, response, 201);
    }
    const entry = this.runs.get(run);
    if (entry === undefined) return refuse(response, 404, 'not_found');
    if (route === 'log') return await this.#sendLog(entry, Number(url.searchParams.get('from')), response);
    if (route === 'stdin') return await this.#takeStdin(run, request, response);
    if (route === 'cancel' && entry.outcome === null)
      this.end(run, { state: 'canceled', exitCode: null, reason: 'canceled: on request' });
    answer(response, 200, this.statusOf(run));
  }

  /** Journals the run as a hand-over does. */
  accept(run: string, spec: RunSpec): object {
    if (!this.runs.has(run)) {
      this.started.push(run);
      this.runs.set(run, { spec, log: Buffer.alloc(0), outcome: null, changed: new Set() });
      if (this.endsAtOnce) this.end(run);
    }
    return this.statusOf(run);
  }

  statusOf(run: string): object {
    const { outcome, log } = this.#runOf(run);
    return { run, state: outcome?.state ?? 'delivered', outcome, logBytes: log.length };
  }

  async #sendLog(entry: FakeRun, from: number, response: http.ServerResponse, status = 200): Promise<void> {
    if (from > entry.log.length) return refuse(response, 400, 'bad_request');
    response.writeHead(status, { 'content-type': LOG_CONTENT_TYPE }).flushHeaders();
    let sent = from;
    while (!response.destroyed) {
      if (sent < entry.log.length) response.write(entry.log.subarray(sent));
      sent = entry.log.length;
      if (entry.outcome !== null) return void response.end();
      await new Promise<void>((resolve) => {
        entry.changed.add(resolve);
        response.once('close', resolve);
      });
    }
  }

  async #takeStdin(run: string, request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const stdin = { bytes: Buffer.alloc(0), end: 'open' as 'open' | 'whole' | 'cut' };
    this.stdin.set(run, stdin);
    try {
      for await (const chunk of request) stdin.bytes = Buffer.concat([stdin.bytes, chunk as Buffer]);
      stdin.end = 'whole';
      response.writeHead(204).end();
    } catch {
      // What a test asks about: the sender broke off.
      stdin.end = 'cut';
    }
  }
}

function routeOf(method: string, run: string, action: string): Route {
  if (run === '') return 'list';
  if (method === 'PUT') return 'accept';
  return action === '' ? 'status' : (action as Route);
}

export async function readJson<T = RunSpec>(request: http.IncomingMessage): Promise<T> {
  let text = '';
  for await (const chunk of request) text += chunk;
  return JSON.parse(text) as T;
}

export function answer(response: http.ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

export function refuse(response: http.ServerResponse, status: number, code: string): void {
  answer(response, status, { error: { code, message: `the node says ${code}` } });
}
