/** The live tunnels, one a node: who is connected, who is online, and the only way to a node — {@link Sessions.dial}. */

import type http from 'node:http';
import type { Duplex } from 'node:stream';
import { NODE_FORWARD } from '../../domain/limits.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import { createStreamAgent } from '../../shared/http/streams.ts';
import type { Logger } from '../../shared/logger.ts';
import { ToldKeys } from './announced-keys.ts';
import type { NodesStore } from './nodes-table.ts';
import { RateByKey } from './rate-by-key.ts';

/** Sessions of one node that the log reports at once, and the time after which there may be one more, ms. */
const REPORT_RATE = { burst: 20, refillMs: 10_000 } as const;

/** What a session needs of an SSH connection. */
export interface SessionPeer {
  readonly id: string;
  readonly remoteAddress: string;
  readonly connectedAt: number;
  openForwarded(host: string, port: number): Promise<Duplex>;
  close(reason: string): void;
  readonly closed: Promise<string>;
}

export interface Session {
  nodeId: string;
  nodeName: string;
  peer: SessionPeer;
  connectedAt: number;
  /** The same on the monotonic clock, ms. */
  openedAt: number;
  /** Row in the store. */
  row: number;
  /** The node's run journal, known from its hello. */
  journal: string | undefined;
  /** What its hello was answered with, until a heartbeat confirms that the node has stored it. */
  epoch: string | undefined;
  /** What its node knows of the gateway's signing keys. */
  signingKeys: ToldKeys;
  lastHeartbeatAt: number | undefined;
  ended: boolean;
  /** Whether the log says that it was opened. */
  isReported: boolean;
  /** Pooled HTTP connections to the node. */
  agent: http.Agent;
}

export interface SessionEvents {
  /** The first heartbeat of a session was accepted: work may flow. */
  online(session: Session): void;
  offline(session: Session, reason: string): void;
}

export interface SessionsOptions {
  store: NodesStore;
  clock: Clock;
  logger: Logger;
}

export class Sessions {
  readonly #options: SessionsOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #listeners = new Set<SessionEvents>();
  readonly #ending = new Set<Promise<void>>();
  /** A node that comes and goes all the time must not fill the log. */
  readonly #reports: RateByKey;

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#reports = new RateByKey({ clock: options.clock, ...REPORT_RATE });
  }

  subscribe(listener: SessionEvents): void {
    this.#listeners.add(listener);
  }

  /** Makes `peer` the node's session; an older one of the same key is ended at once, and its runs go on over the new one. */
  async open(node: { id: string; name: string }, peer: SessionPeer): Promise<void> {
    const { store, clock, logger } = this.#options;
    const old = this.#sessions.get(node.id);
    const connectedAt = clock.now();
    const session: Session = {
      nodeId: node.id,
      nodeName: node.name,
      peer,
      connectedAt,
      openedAt: clock.monotonic(),
      row: 0,
      journal: undefined,
      epoch: undefined,
      signingKeys: new ToldKeys(),
      lastHeartbeatAt: undefined,
      ended: false,
      isReported: false,
      agent: createStreamAgent(() => peer.openForwarded(NODE_FORWARD.host, NODE_FORWARD.port)),
    };
    this.#sessions.set(node.id, session);
    if (old !== undefined) this.#end(old, 'replaced by a new session of the same key');
    void peer.closed.then((reason) => this.#end(session, reason));
    // Inside the write: a session that ends in the same tick is ended by the write after this one, which needs the row.
    await store.write(() => {
      session.row = store.sessions.openSession(node.id, peer.remoteAddress, connectedAt);
    });
    const unreported = this.#reports.take(node.id);
    session.isReported = unreported !== undefined;
    if (session.ended || !session.isReported) return;
    logger.info({ node: node.name, address: peer.remoteAddress, session: peer.id, unreported }, 'tunnel opened');
  }

  /** Ends the node's session at once, if there is one: its connection may take a moment longer to go. */
  close(nodeId: string, reason: string): void {
    const session = this.#sessions.get(nodeId);
    if (session !== undefined) this.#end(session, reason);
  }

  /** Ends all sessions; resolves when that is stored. */
  async closeAll(reason: string): Promise<void> {
    for (const session of [...this.#sessions.values()]) this.#end(session, reason);
    await Promise.all(this.#ending);
  }

  /** The session that came over this connection and is still the node's. */
  ofPeer(nodeId: string, connection: string): Session | undefined {
    const session = this.#sessions.get(nodeId);
    return session?.peer.id === connection ? session : undefined;
  }

  get(nodeId: string): Session | undefined {
    return this.#sessions.get(nodeId);
  }

  /** The session if its node has sent a heartbeat over it. */
  online(nodeId: string): Session | undefined {
    const session = this.#sessions.get(nodeId);
    return session?.lastHeartbeatAt === undefined ? undefined : session;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** Notes a heartbeat; the first one puts the node online. One that was stored after the session's end changes nothing. */
  heartbeat(session: Session, at: number): void {
    if (session.ended) return;
    const first = session.lastHeartbeatAt === undefined;
    session.lastHeartbeatAt = at;
    if (first) for (const listener of this.#listeners) listener.online(session);
  }

  rename(nodeId: string, name: string): void {
    const session = this.#sessions.get(nodeId);
    if (session !== undefined) session.nodeName = name;
  }

  /** A fresh channel to the node's API. @throws FleetError `node_offline`, `channel_open_failed`, `timeout`. */
  async dial(nodeId: string): Promise<Duplex> {
    const session = this.#sessions.get(nodeId);
    if (session === undefined) throw new FleetError('node_offline', 'the node has no live tunnel');
    return await session.peer.openForwarded(NODE_FORWARD.host, NODE_FORWARD.port);
  }

  #end(session: Session, reason: string): void {
    if (session.ended) return;
    session.ended = true;
    const { store, clock, logger } = this.#options;
    const current = this.#sessions.get(session.nodeId) === session;
    if (current) this.#sessions.delete(session.nodeId);
    session.agent.destroy();
    session.peer.close(reason);
    const at = clock.now();
    const stored = store
      .write(() => {
        store.sessions.endSession(session.row, at, reason);
        store.nodes.setSeen(session.nodeId, at);
      })
      .catch((error: unknown) =>
        logger.error({ err: error, node: session.nodeName }, 'could not store the end of a session'),
      )
      .finally(() => this.#ending.delete(stored));
    this.#ending.add(stored);
    if (session.isReported) logger.info({ node: session.nodeName, session: session.peer.id, reason }, 'tunnel closed');
    if (current) for (const listener of this.#listeners) listener.offline(session, reason);
  }
}
