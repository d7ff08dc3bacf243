/** The live connections of people, and when they were last seen. */
import type { SessionPeer } from '../nodes/sessions.ts';
import type { IdentityContext } from './tables.ts';

type PersonPeer = Pick<SessionPeer, 'id' | 'remoteAddress' | 'closed'>;

export class PeopleConnections {
  readonly #options: IdentityContext;
  readonly #peers = new Map<string, Set<PersonPeer>>();

  constructor(options: IdentityContext) {
    this.#options = options;
  }

  /** Keeps a connection until it ends; its start and end count as the person being seen. */
  open(person: { id: string; name: string }, peer: PersonPeer): void {
    const peers = this.#peers.get(person.id) ?? new Set();
    this.#peers.set(person.id, peers.add(peer));
    this.#noteSeen(person);
    this.#options.logger.info(
      { person: person.name, address: peer.remoteAddress, connection: peer.id },
      'person connected',
    );
    void peer.closed.then((reason) => {
      peers.delete(peer);
      if (peers.size === 0) this.#peers.delete(person.id);
      this.#noteSeen(person);
      this.#options.logger.info({ person: person.name, connection: peer.id, reason }, 'person disconnected');
    });
  }

  has(personId: string): boolean {
    return this.#peers.has(personId);
  }

  #noteSeen({ id, name }: { id: string; name: string }): void {
    const { store, clock, logger } = this.#options;
    const at = clock.now();
    store
      .write(() => store.people.setSeen({ id, at }))
      .catch((error: unknown) => logger.error({ err: error, person: name }, 'could not store when a person was seen'));
  }
}
