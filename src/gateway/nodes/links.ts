/** The way to a node, whatever it is made of: a tunnel today, a relay or another gateway later. Nothing else leads to a node. */
import type http from 'node:http';
import type { Duplex } from 'node:stream';
import { NODE_FORWARD } from '../../domain/limits.ts';

/** What a node serves, each on a forward of its own. */
export const NODE_SERVICES = { api: NODE_FORWARD } as const;
export type NodeService = keyof typeof NODE_SERVICES;

export interface Link {
  readonly nodeId: string;
  readonly nodeName: string;
  /** When it was opened, on the monotonic clock, ms. */
  readonly openedAt: number;
  /** The node's run journal, known from its hello. */
  readonly journal: string | undefined;
  readonly ended: boolean;
  /** Pooled HTTP connections to the node's API. */
  readonly agent: http.Agent;
}

export interface LinkListener {
  /** The first heartbeat was accepted: work may flow. */
  online(link: Link): void;
  offline(link: Link, reason: string): void;
}

export interface Links {
  /** The node's link, once a heartbeat has arrived over it. */
  online(nodeId: string): Link | undefined;
  /** A fresh channel. @throws FleetError `node_offline`, `channel_open_failed`, `timeout`. */
  open(nodeId: string, service: NodeService): Promise<Duplex>;
  onChange(listener: LinkListener): void;
}
