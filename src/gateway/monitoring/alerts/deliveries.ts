/** Empties the outbox: sends each receiver its messages, one at a time, until it takes them or a day has passed. */
import { randomBytes } from 'node:crypto';
import { randomBase32 } from '../../../shared/base32.ts';
import type { Clock, Timer } from '../../../shared/clock.ts';
import { FleetError } from '../../../shared/errors.ts';
import type { Logger } from '../../../shared/logger.ts';
import { type Attempt, afterAttempt, LONGEST_RETRY_MS } from './attempt.ts';
import type { AlertSettings } from './config.ts';
import { type AlertMessage, type AlertNotice, combineNotices, MOST_LISTED } from './message.ts';
import type { AlertReceiver } from './receivers.ts';
import type { AlertsStore, DeliveryRow, NewDelivery } from './tables.ts';

/**
 * Alerts waiting for one receiver. Beyond that the oldest are given up, because news matters more. Enough for a large fleet that
 * goes away and comes back while the receiver does not answer.
 */
export const MAX_WAITING = 20_000;
/** Characters of 5 bits each. */
const ID_LENGTH = 20;
/** Delay after a failure of the store, and the longest delay between two checks, ms. */
const RECHECK_MS = 30_000;

export interface NewNotice {
  /** Names; null for all receivers. */
  receivers: readonly string[] | null;
  /** Null for a test. */
  alertId: string | null;
  event: DeliveryRow['event'];
  notice: AlertNotice;
}

export interface DeliveriesOptions {
  store: Pick<AlertsStore, 'write' | 'deliveries'>;
  clock: Clock;
  logger: Logger;
  random: () => number;
  /** The present ones. */
  settings(): Pick<AlertSettings, 'receivers' | 'groupWaitMs'>;
  /** One attempt; never rejects. `id`: the idempotency id. */
  send(receiver: AlertReceiver, id: string, message: AlertMessage): Promise<Attempt>;
}

export class Deliveries {
  readonly #options: DeliveriesOptions;
  /** Both by name of the receiver. */
  readonly #timers = new Map<string, Timer>();
  readonly #busy = new Map<string, Promise<void>>();
  #closed = false;

  constructor(options: DeliveriesOptions) {
    this.#options = options;
  }

  /** Resumes what was waiting when the gateway stopped. */
  async start(): Promise<void> {
    await this.dropUnknown();
    this.kick();
  }

  /** Gives up what waits for receivers that no longer exist. */
  async dropUnknown(alsoStore: () => void = () => {}): Promise<void> {
    const { store, clock, logger } = this.#options;
    await store.write(() => {
      for (const { receiver } of store.deliveries.receivers()) {
        if (this.#find(receiver) !== undefined) continue;
        const error = 'the receiver is no longer in the configuration';
        const messages = store.deliveries.giveUpOldest({ receiver, most: 0, error, now: clock.now() });
        logger.warn({ receiver, messages }, 'alert messages given up: no such receiver');
      }
      alsoStore();
    });
  }

  /** Resolves when no attempt is in progress; abort those first. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers.values()) timer.cancel();
    await Promise.all(this.#busy.values());
  }

  /** Queues notices. Call inside a write, and {@link kick} once that is stored. */
  enqueue(notices: readonly NewNotice[]): void {
    const { store, clock, logger } = this.#options;
    const { receivers, groupWaitMs } = this.#options.settings();
    const now = clock.now();
    for (const { name } of receivers) {
      for (const { receivers: meant, ...rest } of notices) {
        if (meant !== null && !meant.includes(name)) continue;
        store.deliveries.insert({ ...newRow(name, rest, now), nextAt: now + groupWaitMs });
      }
      const most = MAX_WAITING;
      const error = `more than ${most} alerts were waiting`;
      const messages = store.deliveries.giveUpOldest({ receiver: name, most, error, now });
      if (messages > 0) logger.error({ receiver: name, messages, most }, 'alert messages given up: too many wait');
    }
  }

  /** Starts what is due now. */
  kick(): void {
    for (const { name } of this.#options.settings().receivers) this.#pump(name);
  }

  /** Sends one receiver a message once, which is recorded and not retried. */
  async test(name: string, notice: AlertNotice): Promise<Attempt> {
    const { store, clock, send } = this.#options;
    const receiver = this.#find(name);
    if (receiver === undefined) throw new FleetError('not_found', `there is no receiver called ${name}`);
    const row = newRow(name, { alertId: null, event: 'test', notice }, clock.now());
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
    const row = store.deliveries.due({ receiver: name, ...times });
    if (row === undefined) {
      const earliest = store.deliveries.earliest(name);
      if (earliest !== null) this.#pumpAfter(name, Math.min(RECHECK_MS, Math.max(1, earliest - now)));
      return;
    }
    const attempt = this.#attempt(receiver, row).then(
      () => {
        this.#busy.delete(name);
        this.#pump(name);
      },
      (error: unknown) => {
        this.#busy.delete(name);
        logger.error({ err: error, receiver: name }, 'could not store the outcome of an alert message');
        this.#pumpAfter(name, RECHECK_MS);
      },
    );
    this.#busy.set(name, attempt);
  }

  #pumpAfter(name: string, delayMs: number): void {
    if (this.#closed) return;
    const timer = this.#options.clock.after(delayMs, () => this.#pump(name));
    this.#timers.set(name, timer);
  }

  async #attempt(receiver: AlertReceiver, row: DeliveryRow): Promise<void> {
    const { store, clock, logger, random, send, settings } = this.#options;
    const batch = row.batch ?? row.id;
    // Settled for good before anything is sent: after an answer that got lost, the receiver must get exactly the same alerts again.
    if (row.batch === null) await store.write(() => store.deliveries.form(row, settings().groupWaitMs > 0));
    const size = store.deliveries.batchSize(batch);
    const rows = store.deliveries.batch(batch, MOST_LISTED);
    const [first, ...others] = rows.map(({ message }) => JSON.parse(message) as AlertNotice);
    // Given up in the meantime.
    if (first === undefined) return;
    const attempt = await send(receiver, batch, combineNotices([first, ...others], size));
    // An attempt that our own end cut off does not count: the next start repeats it with the same id.
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
}

function newRow(
  receiver: string,
  { alertId, event, notice }: Omit<NewNotice, 'receivers'>,
  createdAt: number,
): NewDelivery {
  const id = `msg_${randomBase32(ID_LENGTH, randomBytes)}`;
  const message = JSON.stringify(notice);
  const { rule } = notice.data;
  return { id, receiver, alertId, rule, event, message, createdAt, nextAt: createdAt, batch: null };
}
