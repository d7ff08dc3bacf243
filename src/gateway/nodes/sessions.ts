/** The live tunnels, one per node: which nodes are connected, and which are online. */

import type { Duplex } from 'node:stream';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import { createStreamAgent } from '../../shared/http/streams.ts';
import type { Logger } from '../../shared/logger.ts';
import { type Link, type LinkListener, type Links, NODE_SERVICES, type NodeService } from './links.ts';
import type { NodesStore } from './nodes-table.ts';
import { RateByKey } from './rate-by-key.ts';

/** Sessions of one node that are logged in a row, and the time after which one more is, ms. */
const REPORT_RATE = { burst: 20, refillMs: 10_000 } as const;

/** The part of an SSH connection that a session uses. */
export interface SessionPeer {
  readonly id: string;
  readonly remoteAddress: string;
  readonly connectedAt: number;
  openForwarded(host: string, port: number): Promise<Duplex>;
  close(reason: string): void;
  readonly closed: Promise<string>;
}

export interface Session extends Link {
  nodeId: string;
  nodeName: string;
  peer: SessionPeer;
  connectedAt: number;
  /** Row in the store. */
  row: number;
  journal: string | undefined;
  /** The epoch that answered its hello, until a heartbeat confirms that the node has stored it. */
  epoch: string | undefined;
  signingKeys: AnnouncedKeys;
  lastHeartbeatAt: number | undefined;
  ended: boolean;
  /** Whether its opening was logged. */
  isReported: boolean;
}

export class Sessions implements Links {
  readonly #options: { store: NodesStore; clock: Clock; logger: Logger };
  readonly #sessions = new Map<string, Session>();
  readonly #listeners = new Set<LinkListener>();
  readonly #ending = new Set<Promise<void>>();
  /** A node that reconnects all the time must not fill the log. */
  readonly #reports: RateByKey;

  constructor(options: { store: NodesStore; clock: Clock; logger: Logger }) {
    this.#options = options;
    this.#reports = new RateByKey({ clock: options.clock, ...REPORT_RATE });
  }

  onChange(listener: LinkListener): void {
    this.#listeners.add(listener);
  }

  /** Makes `peer` the node's session and evicts an older one of the same key; its runs continue over the new one. */
  async accept(node: { id: string; name: string }, peer: SessionPeer): Promise<void> {
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
      signingKeys: new AnnouncedKeys(),
      lastHeartbeatAt: undefined,
      ended: false,
      isReported: false,
      agent: createStreamAgent(() => openService(peer, 'api')),
    };
    this.#sessions.set(node.id, session);
    if (old !== undefined) this.#end(old, 'replaced by a new session of the same key');
    void peer.closed.then((reason) => this.#end(session, reason));
    // Set inside the write: a session that ends in the same tick is ended by the next write, which needs the row.
    await store.write(() => {
      session.row = store.sessions.openSession(node.id, peer.remoteAddress, connectedAt);
    });
    const unreported = this.#reports.take(node.id);
    session.isReported = unreported !== undefined;
    if (session.ended || !session.isReported) return;
    logger.info({ node: node.name, address: peer.remoteAddress, session: peer.id, unreported }, 'tunnel opened');
  }

  /** Ends the node's session at once, if any; its connection may take a moment longer to close. */
  close(nodeId: string, reason: string): void {
    const session = this.#sessions.get(nodeId);
    if (session !== undefined) this.#end(session, reason);
  }

  /** Resolves when all ends are stored. */
  async closeAll(reason: string): Promise<void> {
    for (const session of [...this.#sessions.values()]) this.#end(session, reason);
    await Promise.all(this.#ending);
  }

  /** The node's session, if it uses this connection. */
  ofPeer(nodeId: string, connection: string): Session | undefined {
    const session = this.#sessions.get(nodeId);
    return session?.peer.id === connection ? session : undefined;
  }

  get(nodeId: string): Session | undefined {
    return this.#sessions.get(nodeId);
  }

  online(nodeId: string): Session | undefined {
    const session = this.#sessions.get(nodeId);
    return session?.lastHeartbeatAt === undefined ? undefined : session;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** The first heartbeat puts the node online. One stored after the session's end changes nothing. */
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

  async open(nodeId: string, service: NodeService): Promise<Duplex> {
    const session = this.#sessions.get(nodeId);
    if (session === undefined) throw new FleetError('node_offline', 'the node has no live tunnel');
    return await openService(session.peer, service);
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

function openService(peer: SessionPeer, service: NodeService): Promise<Duplex> {
  const { host, port } = NODE_SERVICES[service];
  return peer.openForwarded(host, port);
}

/** Which signing keys a node was sent in one session, and which of them it has certainly stored: those its tickets may be signed with. */
export class AnnouncedKeys {
  #sent: readonly string[] = [];
  #stored: readonly string[] = [];

  /** What to put into an answer to the node; undefined if it was already sent these. */
  announce(accepted: readonly string[]): string[] | undefined {
    if (accepted.length === this.#sent.length && accepted.every((key, index) => key === this.#sent[index]))
      return undefined;
    this.#sent = accepted;
    return [...accepted];
  }

  /** The node sent another request, which it does only after storing the previous answer. */
  acknowledge(): void {
    this.#stored = this.#sent;
  }

  /** The newest key that the node certainly knows, raw and base64url; undefined before its first heartbeat. */
  get newest(): string | undefined {
    return this.#stored[0];
  }
}
