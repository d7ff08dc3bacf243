/** Empties the outbox: tells each receiver what waits for it, one thing at a time, until it took it or a day is over. */
import { randomBase32 } from '../../../shared/base32.ts';
import type { Clock, Timer } from '../../../shared/clock.ts';
import { FleetError } from '../../../shared/errors.ts';
import type { Logger } from '../../../shared/logger.ts';
import type { DeliveryRow, NewDelivery } from '../../store/deliveries-table.ts';
import type { Store } from '../../store/store.ts';
import type { AlertReceiver } from '../alert-receiver.ts';
import type { AlertMessage } from './alert-message.ts';
import { type Attempt, afterAttempt, LONGEST_RETRY_MS } from './attempt.ts';

/** Messages that wait for one receiver. When there are more, the oldest is given up: what is new matters more. */
export const MAX_WAITING = 1_000;
/** Of an id, characters of 5 bits each. */
const ID_LENGTH = 20;
/** After a failure of the store, and at the longest between two looks, ms. */
const LOOK_AGAIN_MS = 30_000;

export type Send = (receiver: AlertReceiver, id: string, message: AlertMessage) => Promise<Attempt>;

export interface DeliveriesOptions {
  store: Pick<Store, 'write' | 'deliveries'>;
  clock: Clock;
  logger: Logger;
  random: () => number;
  randomBytes: (size: number) => Uint8Array;
  receivers: readonly AlertReceiver[];
  /** One attempt; never rejects. */
  send: Send;
}

export class Deliveries {
  readonly #options: DeliveriesOptions;
  readonly #timers = new Map<string, Timer>();
  /** By name of the receiver. */
  readonly #busy = new Map<string, Promise<void>>();
  #closed = false;

  constructor(options: DeliveriesOptions) {
    this.#options = options;
  }

  /** Goes on with what waited when the gateway stopped. What waits for receivers that are no longer there is given up. */
  async start(): Promise<void> {
    const { store, clock, logger, receivers } = this.#options;
    const known = new Set(receivers.map(({ name }) => name));
    await store.write(() => {
      for (const name of store.deliveries.receivers().filter((waiting) => !known.has(waiting))) {
        const messages = store.deliveries.giveUpAll(
          name,
          'the receiver is no longer in the configuration',
          clock.now(),
        );
        logger.warn({ receiver: name, messages }, 'alert messages given up: no such receiver');
      }
    });
    this.kick();
  }

  /** Resolves when no attempt is under way any more; whoever sends has been told to stop by then. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers.values()) timer.cancel();
    await Promise.all(this.#busy.values());
  }

  /** Puts a message out for some receivers (null: all). Call inside a write; {@link kick} once that is stored. */
  enqueue(
    names: readonly string[] | null,
    alertId: string | null,
    event: DeliveryRow['event'],
    message: AlertMessage,
  ): void {
    const { receivers, store, clock } = this.#options;
    for (const { name } of receivers) {
      if (names !== null && !names.includes(name)) continue;
      this.#makeRoom(name);
      store.deliveries.insert(this.#newRow(name, alertId, event, message, clock.now()));
    }
  }

  /** Looks for what is due now. */
  kick(): void {
    for (const receiver of this.#options.receivers) this.#pump(receiver);
  }

  /** Tells one receiver once, and says what came back. The message is on record, and is not tried again. */
  async test(name: string, message: AlertMessage): Promise<Attempt> {
    const { store, clock, receivers, send } = this.#options;
    const receiver = receivers.find((candidate) => candidate.name === name);
    if (receiver === undefined) throw new FleetError('not_found', `there is no receiver called ${name}`);
    const row = this.#newRow(name, null, 'test', message, clock.now());
    const attempt = await send(receiver, row.id, message);
    await store.write(() => {
      store.deliveries.insert(row);
      const stored = store.deliveries.byId(row.id);
      if (stored === undefined) return;
      const isDelivered = attempt.kind === 'delivered';
      store.deliveries.attempted({
        seq: stored.seq,
        attempts: 1,
        nextAt: clock.now(),
        outcome: isDelivered ? 'delivered' : 'given_up',
        error: isDelivered ? null : attempt.error,
      });
    });
    return attempt;
  }

  #newRow(
    receiver: string,
    alertId: string | null,
    event: DeliveryRow['event'],
    message: AlertMessage,
    createdAt: number,
  ): NewDelivery {
    const id = `msg_${randomBase32(ID_LENGTH, this.#options.randomBytes)}`;
    return { id, receiver, alertId, event, message: JSON.stringify(message), createdAt };
  }

  #makeRoom(receiver: string): void {
    const { store, clock, logger } = this.#options;
    if (store.deliveries.waiting(receiver) < MAX_WAITING) return;
    store.deliveries.giveUpOldest(receiver, `more than ${MAX_WAITING} messages waited`, clock.now());
    logger.error({ receiver, most: MAX_WAITING }, 'alert message given up: too many wait for the receiver');
  }

  #pump(receiver: AlertReceiver): void {
    const { name } = receiver;
    if (this.#closed || this.#busy.has(name)) return;
    this.#timers.get(name)?.cancel();
    const { store, clock, logger } = this.#options;
    const now = clock.now();
    const row = store.deliveries.due(name, now, now + 2 * LONGEST_RETRY_MS);
    if (row === undefined) {
      const earliest = store.deliveries.earliest(name);
      if (earliest !== null) this.#lookAfter(receiver, Math.min(LOOK_AGAIN_MS, Math.max(1, earliest - now)));
      return;
    }
    const attempt = this.#attempt(receiver, row).then(
      () => {
        this.#busy.delete(name);
        this.#pump(receiver);
      },
      (error: unknown) => {
        this.#busy.delete(name);
        logger.error({ err: error, receiver: name }, 'could not store what became of an alert message');
        this.#lookAfter(receiver, LOOK_AGAIN_MS);
      },
    );
    this.#busy.set(name, attempt);
  }

  #lookAfter(receiver: AlertReceiver, delayMs: number): void {
    if (this.#closed) return;
    this.#timers.set(
      receiver.name,
      this.#options.clock.after(delayMs, () => this.#pump(receiver)),
    );
  }

  async #attempt(receiver: AlertReceiver, row: DeliveryRow): Promise<void> {
    const { store, clock, logger, random, send } = this.#options;
    const attempt = await send(receiver, row.id, JSON.parse(row.message) as AlertMessage);
    // Cut off by our own end, it counts for nothing: the next start sends it again with the same id.
    if (this.#closed && attempt.kind !== 'delivered') return;
    const attempts = row.attempts + 1;
    const next = afterAttempt(attempt, { attempts, createdAt: row.createdAt }, clock.now(), random);
    await store.write(() => store.deliveries.attempted({ seq: row.seq, attempts, ...next }));
    const facts = { receiver: receiver.name, message: row.id, alert: row.alertId, attempts, error: next.error };
    if (next.outcome === 'given_up') logger.error(facts, 'alert message given up');
    else if (next.outcome === 'waiting') logger.warn(facts, 'alert message not delivered yet');
    else logger.info(facts, 'alert message delivered');
  }
}
