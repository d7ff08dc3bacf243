/** Invites: made, listed and taken back. */
import { nodeNameSchema } from '../../domain/names.ts';
import type { InviteView, OpenInviteView } from '../../protocol/views.ts';
import { isoTime } from '../../shared/duration.ts';
import { FleetError } from '../../shared/errors.ts';
import { type App, parseInput } from '../../shared/http/fastify-app.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Invites } from '../identity/invites.ts';
import type { InviteRecord } from '../identity/tables.ts';
import { addRoute } from './route.ts';

const MAX_INVITE_TTL_MS = 365 * 24 * 3_600_000;

interface InviteRoutesOptions {
  invites: Invites;
  logger: Logger;
}

export function addInviteRoutes(app: App, { invites, logger }: InviteRoutesOptions): void {
  addRoute(app, 'POST /v1/invites', async (request, _reply, input): Promise<InviteView> => {
    const asked = input();
    if (asked.ttlMs > MAX_INVITE_TTL_MS) throw new FleetError('usage', 'an invite may live for at most 365 days');
    const name = asked.name === undefined ? undefined : parseInput(nodeNameSchema, asked.name, 'the name');
    const { role, labels, uses, ttlMs, ephemeral } = asked;
    request.act?.note({ name, role, labels, uses, ttlMs, ephemeral });
    const { code, expiresAt } = await invites.create({ ...asked, name, createdBy: request.caller.name });
    return { code, expiresAt: isoTime(expiresAt) };
  });

  addRoute(app, 'GET /v1/invites', () => ({ invites: invites.open().map(inviteView) }));

  addRoute(app, 'DELETE /v1/invites/:invite', async (request, reply) => {
    const { invite } = request.params;
    const { id } = await invites.revoke(invite);
    logger.warn({ invite: id, by: request.caller.name }, 'invite revoked');
    return reply.code(204).send();
  });
}

function inviteView(invite: InviteRecord): OpenInviteView {
  const { id, role, name, labels, ephemeral, usesLeft, failures, createdBy } = invite;
  const times = { createdAt: isoTime(invite.createdAt), expiresAt: isoTime(invite.expiresAt) };
  return { id, role, name, labels, ephemeral, usesLeft, failures, createdBy, ...times };
}
