/** Turns the route table of the protocol into fastify routes; each file of this folder handles some of them. */
import type { FastifyReply, FastifyRequest, HTTPMethods } from 'fastify';
import type { z } from 'zod';
import { type Answer, type AnsweredRoute, type Body, type Query, ROUTES, type Routes } from '../../protocol/routes.ts';
import type { GatewayView, ReloadView } from '../../protocol/views.ts';
import type { Clock } from '../../shared/clock.ts';
import { type App, parseInput } from '../../shared/http/fastify-app.ts';
import type { Logger } from '../../shared/logger.ts';
import type { KeyConnections } from '../../shared/ssh/server/peers.ts';
import type { Bus } from '../bus/bus.ts';
import type { ConnectEpochs } from '../identity/connect-epochs.ts';
import type { Invites } from '../identity/invites.ts';
import type { Pairing } from '../identity/pairing.ts';
import type { PeopleConnections } from '../identity/people-connections.ts';
import type { Action } from '../identity/permissions.ts';
import type { KeyRing } from '../identity/signing-keys.ts';
import type { Alerts } from '../monitoring/alerts/alerts.ts';
import type { HealthMonitor } from '../monitoring/judge/monitor.ts';
import type { GatewayFigures, GatewayMetrics } from '../monitoring/metrics/gateway-metrics.ts';
import type { ReportLimits } from '../monitoring/report/model.ts';
import type { NodeRemoval } from '../nodes/node-removal.ts';
import type { PendingNodes } from '../nodes/pending-nodes.ts';
import type { Sessions } from '../nodes/sessions.ts';
import type { ReportPlaces } from '../schedule/report-file.ts';
import type { Scheduler } from '../schedule/scheduler.ts';
import type { ApiStore } from './find.ts';

/** What the handlers work with. */
export interface ApiContext {
  store: ApiStore;
  sessions: Sessions;
  connections: Pick<KeyConnections, 'cut'>;
  people: PeopleConnections;
  pending: PendingNodes;
  removal: NodeRemoval;
  pairing: Pairing;
  invites: Invites;
  epochs: ConnectEpochs;
  keys: KeyRing & { rotate(): { id: string; graceEndsAt: number; undo(): void } };
  /** SSH host key, wire format. */
  hostKey: Buffer;
  bus: Bus;
  monitor: HealthMonitor;
  alerts: Alerts;
  metrics: GatewayMetrics;
  scheduler: Scheduler;
  places: ReportPlaces;
  /** For schedules without a time zone; IANA name. */
  localTimeZone: string;
  clock: Clock;
  logger: Logger;
  heartbeatIntervalMs: number;
  /** Whether new capabilities of a node wait for an admin. */
  approveCapabilities: boolean;
  /** Limits from which a node counts as `limited`; the report marks them. */
  limits: ReportLimits;
  /** Faults of the gateway itself. */
  faults(): string[];
  figures(): GatewayFigures;
  describe(): GatewayView;
  /** Reloads the configuration. @throws FleetError `config_invalid`. */
  reload(): Promise<ReloadView>;
  /** Starts a clean shutdown of the process. */
  shutdown(): void;
}

type Param<K> = K extends `${string}:${infer N}/${string}` ? N : K extends `${string}:${infer N}` ? N : never;

interface Row<K extends keyof Routes> {
  action: Action;
  audit?: string;
  streamsBody?: true;
  body?: z.ZodType<Body<K>>;
  query?: z.ZodType<Query<K>>;
}

const ROWS: { [K in keyof Routes]: Row<K> } = ROUTES;

/** One request of a route. Body and query are parsed on access, so that a handler can refuse a request without that work. */
class RouteRequest<K extends keyof Routes> {
  readonly #row: Row<K>;
  readonly raw: FastifyRequest;

  constructor(row: Row<K>, raw: FastifyRequest) {
    this.#row = row;
    this.raw = raw;
  }

  get params(): Record<Param<K>, string> {
    return this.raw.params as Record<Param<K>, string>;
  }

  /** @throws FleetError `bad_request`. */
  get query(): Query<K> {
    return parsed(this.#row.query, this.raw.query, 'the query');
  }

  /** @throws FleetError `bad_request`. */
  get body(): Body<K> {
    return parsed(this.#row.body, this.raw.body ?? undefined, 'the request');
  }

  get caller(): FastifyRequest['caller'] {
    return this.raw.caller;
  }

  /** Undefined in a route that changes nothing. */
  get act(): FastifyRequest['act'] {
    return this.raw.act;
  }
}

function parsed<T>(schema: z.ZodType<T> | undefined, value: unknown, what: string): T {
  if (schema === undefined) throw new Error(`the route table has no schema for ${what}`);
  return parseInput(schema, value, what);
}

type Reply<K> = FastifyReply | (K extends AnsweredRoute ? Answer<K> : never);
type Handler<K extends keyof Routes> = (request: RouteRequest<K>, reply: FastifyReply) => Reply<K> | Promise<Reply<K>>;
/** A file of this folder returns some of them. */
export type Handlers = { [K in keyof Routes]: Handler<K> };

export function addRoutes(app: App, handlers: Handlers): void {
  for (const key of Object.keys(ROUTES) as (keyof Routes)[]) addRoute(app, key, handlers);
}

function addRoute<K extends keyof Routes>(app: App, key: K, { [key]: handler }: Handlers): void {
  const [method, url] = key.split(' ') as [HTTPMethods, string];
  const config = ROWS[key];
  app.route({ method, url, config, handler: (raw, reply) => handler(new RouteRequest(config, raw), reply) });
}
