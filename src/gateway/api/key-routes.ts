/** The keys of people and nodes: who may come in, and who no longer. */
import type { FastifyReply } from 'fastify';
import { MIN_ID_PREFIX } from '../../domain/selector.ts';
import type { KeyView } from '../../protocol/views.ts';
import type { Clock } from '../../shared/clock.ts';
import { isoTime } from '../../shared/duration.ts';
import { FleetError } from '../../shared/errors.ts';
import type { App } from '../../shared/http/fastify-app.ts';
import type { Logger } from '../../shared/logger.ts';
import type { KeyConnections } from '../../shared/ssh/server/peers.ts';
import { formatFingerprint, sshPublicKeyBlob } from '../../shared/ssh/ssh-key.ts';
import type { PeopleConnections } from '../identity/people-connections.ts';
import type { PersonRecord } from '../identity/tables.ts';
import type { NodeRemoval } from '../nodes/node-removal.ts';
import type { NodeRecord } from '../nodes/nodes-table.ts';
import type { Sessions } from '../nodes/sessions.ts';
import { didYouMean } from '../store/look-up.ts';
import type { Caller } from './authenticate.ts';
import type { ApiStore } from './find.ts';
import { addRoute } from './route.ts';

interface KeyRoutesOptions extends CutKeyOptions {
  removal: Pick<NodeRemoval, 'revoke'>;
  store: ApiStore;
  sessions: Sessions;
  people: PeopleConnections;
  clock: Clock;
  logger: Logger;
}

type Key = { view: KeyView } & ({ node: NodeRecord } | { person: PersonRecord });

export function addKeyRoutes(app: App, options: KeyRoutesOptions): void {
  const { store, clock, logger } = options;

  addRoute(app, 'GET /v1/keys', () => ({ keys: allKeys(options).map(({ view }) => view) }));

  addRoute(app, 'POST /v1/keys/:key/revoke', async (request, reply): Promise<KeyView> => {
    const key = findKeyByText(allKeys(options), request.params.key);
    const { kind, id: keyId, name: keyName, role, fingerprint } = key.view;
    request.act?.note({ kind, id: keyId, name: keyName, role, fingerprint });
    if ('node' in key) {
      await options.removal.revoke(key.node, request.caller.name);
    } else {
      const { id, name, publicKey } = key.person;
      await store.write(() => store.people.revoke({ id, at: clock.now() }));
      cutKey(publicKey, 'revoked', { caller: request.caller, reply }, options);
      logger.warn({ person: name, by: request.caller.name }, 'person revoked');
    }
    const { id } = key.view;
    return allKeys(options).find(({ view }) => view.id === id)?.view ?? key.view;
  });
}

/** People first; each kind by name. */
function allKeys({ store, sessions, people, clock }: KeyRoutesOptions): Key[] {
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
 * By fingerprint, id, the name of one that is not revoked, or the beginning of an id; as {@link lookUp} does it, over people and nodes.
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
    throw new FleetError('ambiguous', `${which} fits more than one key: ${who.join(', ')}`, {
      hint: 'Use the id or the fingerprint.',
    });
  }
  return key;
}

/** Longest wait for somebody to take the answer that tells of the own end, ms. */
const ANSWER_GRACE_MS = 2_000;

export interface CutKeyOptions {
  connections: Pick<KeyConnections, 'cut'>;
  clock: Clock;
}

export function cutKey(
  publicKey: Buffer,
  reason: string,
  { caller, reply }: { caller: Caller; reply: FastifyReply },
  { connections, clock }: CutKeyOptions,
): void {
  const asker = caller.peer?.publicKey.equals(publicKey) ? caller.peer : undefined;
  connections.cut(publicKey, reason, asker);
  if (asker === undefined) return;
  const timer = clock.after(ANSWER_GRACE_MS, () => asker.cut(reason), { unref: true });
  reply.raw.once('close', () => {
    timer.cancel();
    asker.cut(reason);
  });
}
