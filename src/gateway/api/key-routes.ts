/** Who may join and who may connect: invites, and the keys of people and nodes. */
import type { FastifyReply } from 'fastify';
import { nodeNameSchema } from '../../domain/names.ts';
import { MIN_ID_PREFIX } from '../../domain/selector.ts';
import type { KeyView } from '../../protocol/views.ts';
import { isoTime } from '../../shared/duration.ts';
import { FleetError } from '../../shared/errors.ts';
import { parseInput } from '../../shared/http/fastify-app.ts';
import { formatFingerprint, sshPublicKeyBlob } from '../../shared/ssh/ssh-key.ts';
import type { PersonRecord } from '../identity/tables.ts';
import type { NodeRecord } from '../nodes/nodes-table.ts';
import { didYouMean } from '../store/look-up.ts';
import type { Caller } from './authenticate.ts';
import type { ApiContext, Handlers } from './route.ts';

const MAX_INVITE_TTL_MS = 365 * 24 * 3_600_000;

export function inviteRoutes({ invites, logger }: ApiContext) {
  return {
    'POST /v1/invites': async ({ body, act, caller }) => {
      if (body.ttlMs > MAX_INVITE_TTL_MS) throw new FleetError('usage', 'an invite is valid for at most 365 days');
      const name = body.name === undefined ? undefined : parseInput(nodeNameSchema, body.name, 'the name');
      const { role, labels, uses, ttlMs, ephemeral } = body;
      act?.note({ name, role, labels, uses, ttlMs, ephemeral });
      const { code, expiresAt } = await invites.create({ ...body, name, createdBy: caller.name });
      return { code, expiresAt: isoTime(expiresAt) };
    },

    'GET /v1/invites': () => ({
      invites: invites.open().map((invite) => {
        const { id, role, name, labels, ephemeral, usesLeft, failures, createdBy } = invite;
        const times = { createdAt: isoTime(invite.createdAt), expiresAt: isoTime(invite.expiresAt) };
        return { id, role, name, labels, ephemeral, usesLeft, failures, createdBy, ...times };
      }),
    }),

    'DELETE /v1/invites/:invite': async ({ params, caller }, reply) => {
      const { id } = await invites.revoke(params.invite);
      logger.warn({ invite: id, by: caller.name }, 'invite revoked');
      return reply.code(204).send();
    },
  } satisfies Partial<Handlers>;
}

type Key = { view: KeyView } & ({ node: NodeRecord } | { person: PersonRecord });

export function keyRoutes(context: ApiContext) {
  const { store, removal, clock, logger } = context;
  return {
    'GET /v1/keys': () => ({ keys: allKeys(context).map(({ view }) => view) }),

    'POST /v1/keys/:key/revoke': async ({ params, act, caller }, reply) => {
      const key = findKeyByText(allKeys(context), params.key);
      const { kind, id, name, role, fingerprint } = key.view;
      act?.note({ kind, id, name, role, fingerprint });
      if ('node' in key) await removal.revoke(key.node, caller.name);
      else {
        await store.write(() => store.people.revoke({ id, at: clock.now() }));
        cutKey(key.person.publicKey, 'revoked', caller, reply, context);
        logger.warn({ person: name, by: caller.name }, 'person revoked');
      }
      return allKeys(context).find(({ view }) => view.id === id)?.view ?? key.view;
    },
  } satisfies Partial<Handlers>;
}

/** People first; each kind by name. */
function allKeys({ store, sessions, people, clock }: ApiContext): Key[] {
  const now = clock.now();
  const persons = store.people.all().map((person): Key => {
    return { person, view: keyView('person', person, person.role, people.has(person.id), now) };
  });
  const nodes = store.nodes.all().map((node): Key => {
    return { node, view: keyView('node', node, 'node', sessions.get(node.id) !== undefined, now) };
  });
  return [...persons, ...nodes];
}

function keyView(
  kind: KeyView['kind'],
  record: Pick<PersonRecord, 'id' | 'name' | 'publicKey' | 'createdAt' | 'lastSeenAt' | 'revokedAt'>,
  role: KeyView['role'],
  connected: boolean,
  now: number,
): KeyView {
  return {
    kind,
    id: record.id,
    name: record.name,
    role,
    fingerprint: formatFingerprint(sshPublicKeyBlob(record.publicKey)),
    createdAt: isoTime(record.createdAt),
    lastSeenAt: isoTime(connected ? now : record.lastSeenAt),
    connected,
    revokedAt: isoTime(record.revokedAt),
  };
}

/**
 * By fingerprint, id, name (unless revoked) or the beginning of an id: `lookUp` over people and nodes.
 * @throws FleetError `not_found`, `ambiguous`.
 */
function findKeyByText(keys: readonly Key[], which: string): Key {
  const named = keys.filter(({ view }) => view.name === which && view.revokedAt === null);
  const exact = keys.filter(({ view }) => view.fingerprint === which || view.id === which);
  const isBeginning = exact.length === 0 && which.length >= MIN_ID_PREFIX;
  const begun = isBeginning ? keys.filter(({ view }) => view.id.startsWith(which)) : [];
  const matching = [...new Set([...named, ...exact, ...begun])];
  const [key] = matching;
  if (key === undefined) {
    const names = keys.filter(({ view }) => view.revokedAt === null).map(({ view }) => view.name);
    throw new FleetError('not_found', `there is no key of ${which}`, {
      hint: `${didYouMean(which, names)}See them all: fleet keys list`,
    });
  }
  if (matching.length > 1) {
    const who = matching.map(({ view }) => `${view.kind} ${view.name} (${view.id})`).slice(0, 5);
    throw new FleetError('ambiguous', `${which} matches more than one key: ${who.join(', ')}`, {
      hint: 'Use the id or the fingerprint.',
    });
  }
  return key;
}

/** Longest wait until a caller has received the answer to the request that ends its own connection, ms. */
const ANSWER_GRACE_MS = 2_000;

/** Cuts all connections of a key; the caller's own only after its answer. */
export function cutKey(
  publicKey: Buffer,
  reason: string,
  { peer }: Caller,
  reply: FastifyReply,
  { connections, clock }: Pick<ApiContext, 'connections' | 'clock'>,
): void {
  const own = peer?.publicKey.equals(publicKey) ? peer : undefined;
  connections.cut(publicKey, reason, own);
  if (own === undefined) return;
  const timer = clock.after(ANSWER_GRACE_MS, () => own.cut(reason), { unref: true });
  reply.raw.once('close', () => {
    timer.cancel();
    own.cut(reason);
  });
}
