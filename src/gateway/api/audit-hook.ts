/** Writes an audit row for every request that changes the fleet, and for every refused one. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { AuditActor } from '../../domain/audit.ts';
import { INVITE_LENGTHS } from '../../protocol/pairing.ts';
import { type App, toApiError } from '../../shared/http/fastify-app.ts';
import { Act, type ActDetails, actorOfKey } from '../audit/act.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Refusals } from '../audit/refusals.ts';
import { isAudited } from '../identity/permissions.ts';
import type { Origins } from './authenticate.ts';

/** The audit entry of a request, which its handler completes. */
class RequestAct extends Act {
  readonly #audit: AuditLog;

  constructor(audit: AuditLog, actor: AuditActor, action: string, params: ActDetails, fields?: readonly string[]) {
    super(actor, action, params, fields);
    this.#audit = audit;
  }

  /** Stores the row now, for handlers that write nothing to the database. @throws FleetError `storage_failed`. */
  record(): Promise<void> {
    return this.#audit.record(this);
  }
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Action in the audit log, such as `node.revoke`; method and path by default. */
    audit?: string;
  }
  interface FastifyRequest {
    /** Undefined in a route that changes nothing. */
    act: RequestAct | undefined;
  }
}

export interface AuditHookOptions {
  audit: AuditLog;
  refusals: Pick<Refusals, 'note'>;
  origins: Origins;
}

/** Add after the permission check. */
export function addAuditHook(app: App, { audit, refusals, origins }: AuditHookOptions): void {
  app.decorateRequest('act');

  // A callback, so that the handler runs inside `during`.
  app.addHook('preHandler', (request, _reply, done) => {
    const { action } = request.routeOptions.config;
    if (action === undefined || !isAudited(action, request.method)) return done();
    const act = new RequestAct(
      audit,
      actorOf(request, origins),
      nameOf(request),
      paramsOf(request),
      fieldsOf(request.body),
    );
    request.act = act;
    audit.during(act, done);
  });

  // Before the caller gets a success at the latest. An act that cannot be recorded fails with storage_failed.
  app.addHook('onSend', async (request: FastifyRequest, reply: FastifyReply) => {
    if (request.act !== undefined && reply.statusCode < 400) await request.act.record();
  });

  app.addHook('onError', async (request, _reply, error) => {
    request.act?.refuse();
    const { action } = request.routeOptions.config;
    if (action === undefined) return;
    const outcome = toApiError(error).code;
    if (!isAudited(action, request.method) && action !== 'pair' && outcome !== 'forbidden') return;
    const actor = request.act?.actor ?? actorOf(request, origins);
    const details = request.act?.details ?? paramsOf(request);
    refusals.note({ actor, action: request.act?.action ?? nameOf(request), outcome, details: { ...details } });
  });
}

function nameOf(request: FastifyRequest): string {
  return request.routeOptions.config.audit ?? `${request.method} ${request.routeOptions.url}`;
}

/** An invite may be given by its whole code, of which only the id is public. */
function paramsOf(request: FastifyRequest): ActDetails {
  const params = request.params as Record<string, string>;
  return params.invite === undefined ? params : { ...params, invite: params.invite.slice(0, INVITE_LENGTHS.id) };
}

/** Names of a body's fields, without values, which may be secrets. The handler adds details. */
function fieldsOf(body: unknown): string[] | undefined {
  if (typeof body !== 'object' || body === null || Object.getPrototypeOf(body) !== Object.prototype) return undefined;
  return Object.keys(body);
}

function actorOf(request: FastifyRequest, origins: Origins): AuditActor {
  const origin = origins.get(request.raw.socket);
  const caller = request.caller as FastifyRequest['caller'] | undefined;
  const name = caller?.name ?? 'unknown';
  const role = caller?.role ?? 'unknown';
  const peer = caller?.peer ?? (origin?.kind === 'ssh' ? origin.peer : undefined);
  if (peer !== undefined) return actorOfKey(peer, name, role);
  const via = origin?.kind === 'tcp' ? 'tcp' : 'socket';
  return { name, role, via, key: null, address: via === 'tcp' ? (request.raw.socket.remoteAddress ?? null) : null };
}
