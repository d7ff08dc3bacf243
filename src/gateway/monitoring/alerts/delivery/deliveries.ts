/** Empties the outbox: tells each receiver what waits for it, one thing at a time, until it took it or a day is over. */

import { randomBase32 } from '../../../../shared/base32.ts';
import type { Clock, Timer } from '../../../../shared/clock.ts';
import { FleetError } from '../../../../shared/errors.ts';
import type { Logger } from '../../../../shared/logger.ts';
import type { AlertReceiver } from '../alert-receiver.ts';
import type { AlertSettings } from '../alert-settings.ts';
import type { AlertsStore } from '../alerts-table.ts';
import { type AlertMessage, type AlertNotice, combineNotices, MOST_TOLD } from './alert-message.ts';
import { type Attempt, afterAttempt, LONGEST_RETRY_MS } from './attempt.ts';
import type { DeliveryRow, NewDelivery } from './deliveries-table.ts';

/**
 * Alerts that wait to be told to one receiver. When there are more, the oldest are given up: what is new matters more. Enough for
 * a large fleet that goes away and comes back while the receiver does not answer.
 */
export const MAX_WAITING = 20_000;
/** Of an id, characters of 5 bits each. */
const ID_LENGTH = 20;
/** After a failure of the store, and at the longest between two looks, ms. */
const LOOK_AGAIN_MS = 30_000;

/** What is to be told of one alert, and to whom (null: all receivers). */
export interface NewNotice {
  receivers: readonly string[] | null;
  /** Null for a test. */
  alertId: string | null;
  event: DeliveryRow['event'];
  notice: AlertNotice;
}

export type Send = (receiver: AlertReceiver, id: string, message: AlertMessage) => Promise<Attempt>;

export interface DeliveriesOptions {
  store: Pick<AlertsStore, 'write' | 'deliveries'>;
  clock: Clock;
  logger: Logger;
  random: () => number;
  randomBytes: (size: number) => Uint8Array;
  /** Those of now. */
  settings(): Pick<AlertSettings, 'receivers' | 'groupWaitMs'>;
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

  /** Goes on with what waited when the gateway stopped. */
  async start(): Promise<void> {
    await this.dropUnknown();
    this.kick();
  }

  /** Gives up what waits for receivers that are not there (any more). */
  async dropUnknown(alsoStore: () => void = () => {}): Promise<void> {
    const { store, clock, logger } = this.#options;
    await store.write(() => {
      for (const name of store.deliveries.receivers().filter((waiting) => this.#find(waiting) === undefined)) {
        const error = 'the receiver is no longer in the configuration';
        const messages = store.deliveries.giveUpOldest(name, 0, error, clock.now());
        logger.warn({ receiver: name, messages }, 'alert messages given up: no such receiver');
      }
      alsoStore();
    });
  }

  /** Resolves when no attempt is under way any more; whoever sends has been told to stop by then. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers.values()) timer.cancel();
    await Promise.all(this.#busy.values());
  }

  /** Puts notices out, each for some receivers (null: all). Call inside a write; {@link kick} once that is stored. */
  enqueue(notices: readonly NewNotice[]): void {
    const { store, clock, logger } = this.#options;
    const { receivers, groupWaitMs } = this.#options.settings();
    const now = clock.now();
    for (const { name } of receivers) {
      for (const { receivers: meant, ...rest } of notices) {
        if (meant !== null && !meant.includes(name)) continue;
        store.deliveries.insert({ ...this.#newRow(name, rest, now), nextAt: now + groupWaitMs });
      }
      const most = MAX_WAITING;
      const messages = store.deliveries.giveUpOldest(name, most, `more than ${most} alerts waited to be told`, now);
      if (messages > 0) logger.error({ receiver: name, messages, most }, 'alert messages given up: too many wait');
    }
  }

  /** Looks for what is due now. */
  kick(): void {
    for (const { name } of this.#options.settings().receivers) this.#pump(name);
  }

  /** Tells one receiver once, and says what came back. The message is on record, and is not tried again. */
  async test(name: string, notice: AlertNotice): Promise<Attempt> {
    const { store, clock, send } = this.#options;
    const receiver = this.#find(name);
    if (receiver === undefined) throw new FleetError('not_found', `there is no receiver called ${name}`);
    const row = this.#newRow(name, { alertId: null, event: 'test', notice }, clock.now());
    const attempt = await send(receiver, row.id, combineNotices([notice], 1));
    await store.write(() => {
      store.deliveries.insert({ ...row, batch: row.id });
      const isDelivered = attempt.kind === 'delivered';
      store.deliveries.attempted({
        batch: row.id,
        attempts: 1,
        nextAt: clock.now(),
        outcome: isDelivered ? 'delivered' : 'given_up',
        error: isDelivered ? null : attempt.error,
      });
    });
    return attempt;
  }

  #newRow(receiver: string, { alertId, event, notice }: Omit<NewNotice, 'receivers'>, createdAt: number): NewDelivery {
    const id = `msg_${randomBase32(ID_LENGTH, this.#options.randomBytes)}`;
    const message = JSON.stringify(notice);
    const { rule } = notice.data;
    return { id, receiver, alertId, rule, event, message, createdAt, nextAt: createdAt, batch: null };
  }

  #find(name: string): AlertReceiver | undefined {
    return this.#options.settings().receivers.find((receiver) => receiver.name === name);
  }

  #pump(name: string): void {
    const receiver = this.#find(name);
    if (this.#closed || receiver === undefined || this.#busy.has(name)) return;
    this.#timers.get(name)?.cancel();
    const { store, clock, logger, settings } = this.#options;
    const now = clock.now();
    const times = { now, latest: now + 2 * LONGEST_RETRY_MS, latestFirst: now + settings().groupWaitMs };
    const row = store.deliveries.due(name, times);
    if (row === undefined) {
      const earliest = store.deliveries.earliest(name);
      if (earliest !== null) this.#lookAfter(name, Math.min(LOOK_AGAIN_MS, Math.max(1, earliest - now)));
      return;
    }
    const attempt = this.#attempt(receiver, row).then(
      () => {
        this.#busy.delete(name);
        this.#pump(name);
      },
      (error: unknown) => {
        this.#busy.delete(name);
        logger.error({ err: error, receiver: name }, 'could not store what became of an alert message');
        this.#lookAfter(name, LOOK_AGAIN_MS);
      },
    );
    this.#busy.set(name, attempt);
  }

  #lookAfter(name: string, delayMs: number): void {
    if (this.#closed) return;
    this.#timers.set(
      name,
      this.#options.clock.after(delayMs, () => this.#pump(name)),
    );
  }

  async #attempt(receiver: AlertReceiver, row: DeliveryRow): Promise<void> {
    const { store, clock, logger, random, send } = this.#options;
    const batch = row.batch ?? (await this.#formBatch(row));
    const { size, rows } = store.deliveries.batch(batch, MOST_TOLD);
    const [first, ...others] = rows.map(({ message }) => JSON.parse(message) as AlertNotice);
    // Given up meanwhile.
    if (first === undefined) return;
    const attempt = await send(receiver, batch, combineNotices([first, ...others], size));
    // Cut off by our own end, it counts for nothing: the next start sends it again with the same id.
    if (this.#closed && attempt.kind !== 'delivered') return;
    const attempts = row.attempts + 1;
    const { createdAt } = rows[0] ?? row;
    const next = afterAttempt(attempt, { attempts, createdAt }, clock.now(), random);
    await store.write(() => store.deliveries.attempted({ batch, attempts, ...next }));
    const facts = {
      receiver: receiver.name,
      message: batch,
      alert: row.alertId,
      alerts: size,
      attempts,
      error: next.error,
      ...('detail' in attempt ? { detail: attempt.detail } : {}),
    };
    if (next.outcome === 'given_up') logger.error(facts, 'alert message given up');
    else if (next.outcome === 'waiting') logger.warn(facts, 'alert message not delivered yet');
    else logger.info(facts, 'alert message delivered');
  }

  /**
   * Settles for good what is told together, before any of it is: whoever got the message and was not heard to say so must get the same
   * alerts under the same id again, no more and no fewer.
   */
  async #formBatch(row: DeliveryRow): Promise<string> {
    const { store, settings } = this.#options;
    await store.write(() => store.deliveries.form(row, settings().groupWaitMs > 0));
    return row.id;
  }
}
