/** Stands around every route: whoever does something that changes the fleet leaves a row in the audit log, and so does who was refused. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { AuditActor } from '../../domain/audit.ts';
import { INVITE_LENGTHS } from '../../protocol/pairing.ts';
import { type App, toApiError } from '../../shared/http/fastify-app.ts';
import { Act, type ActDetails, actorOfKey } from '../audit/act.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Refusals } from '../audit/refusals.ts';
import { isAudited } from '../identity/permissions.ts';
import type { Origins } from './authenticate.ts';

/** What a handler may say to the audit log about its request. */
class RequestAct extends Act {
  readonly #audit: AuditLog;

  constructor(audit: AuditLog, actor: AuditActor, action: string, params: ActDetails, fields?: readonly string[]) {
    super(actor, action, params, fields);
    this.#audit = audit;
  }

  /** Stores the row now, for what the handler does without a write to the database. @throws FleetError `storage_failed`. */
  record(): Promise<void> {
    return this.#audit.record(this);
  }
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** How the audit log names what the route does, such as `node.revoke`; without it, by method and path. */
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

/** To be added behind the check of who may do what. */
export function addAuditHook(app: App, { audit, refusals, origins }: AuditHookOptions): void {
  app.decorateRequest('act');

  // With a callback: what the handler does runs inside `during`.
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

  // Before the caller hears that it was done, at the latest. An act that cannot be recorded ends in storage_failed.
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

/** An invite may be named by its whole code, of which only the id is no secret. */
function paramsOf(request: FastifyRequest): ActDetails {
  const params = request.params as Record<string, string>;
  return params.invite === undefined ? params : { ...params, invite: params.invite.slice(0, INVITE_LENGTHS.id) };
}

/** Of a body only what was given, not with which values: they may be secrets. The handler says more. */
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
