/** What is to be told to whom: a durable outbox, and for a while what became of it. Times are ms. */
import type { DeliveryView } from '../../protocol/alert-views.ts';
import type { Sqlite } from './database.ts';

export interface DeliveryRow {
  seq: number;
  /** The receiver sees it; the same each time that it is tried. */
  id: string;
  receiver: string;
  /** Null for a test. */
  alertId: string | null;
  event: DeliveryView['event'];
  /** The message as JSON; alerts/delivery/alert-message.ts has its shape. */
  message: string;
  createdAt: number;
  attempts: number;
  /** Not before. Once it is done, when that was. */
  nextAt: number;
  outcome: DeliveryView['outcome'];
  error: string | null;
}

export type NewDelivery = Pick<DeliveryRow, 'id' | 'receiver' | 'alertId' | 'event' | 'message' | 'createdAt'>;

const COLUMNS = `seq, id, receiver, alert_id AS alertId, event, message, created_at AS createdAt, attempts, next_at AS nextAt,
  outcome, error`;

export class DeliveriesTable {
  readonly #statements;

  constructor(database: Sqlite) {
    this.#statements = {
      insert: database.prepare(
        `INSERT INTO alert_deliveries (id, receiver, alert_id, event, message, created_at, next_at)
         VALUES (@id, @receiver, @alertId, @event, @message, @createdAt, @createdAt)`,
      ),
      byId: database.prepare(`SELECT ${COLUMNS} FROM alert_deliveries WHERE id = ?`),
      // What is older of the same alert goes first: nobody shall hear of an end before the beginning.
      due: database.prepare(
        `SELECT ${COLUMNS} FROM alert_deliveries AS row
         WHERE outcome = 'waiting' AND receiver = @receiver AND (next_at <= @now OR next_at > @latest)
           AND NOT EXISTS (SELECT 1 FROM alert_deliveries AS older WHERE older.outcome = 'waiting'
             AND older.receiver = row.receiver AND older.alert_id = row.alert_id AND older.seq < row.seq)
         ORDER BY next_at, seq LIMIT 1`,
      ),
      earliest: database
        .prepare(`SELECT min(next_at) FROM alert_deliveries WHERE outcome = 'waiting' AND receiver = ?`)
        .pluck(),
      attempted: database.prepare(
        'UPDATE alert_deliveries SET attempts = @attempts, next_at = @nextAt, outcome = @outcome, error = @error WHERE seq = @seq',
      ),
      waiting: database
        .prepare(`SELECT count(*) FROM alert_deliveries WHERE outcome = 'waiting' AND receiver = ?`)
        .pluck(),
      giveUpOldest: database.prepare(
        `UPDATE alert_deliveries SET outcome = 'given_up', error = @error, next_at = @now WHERE seq =
           (SELECT min(seq) FROM alert_deliveries WHERE outcome = 'waiting' AND receiver = @receiver)`,
      ),
      receivers: database.prepare(`SELECT DISTINCT receiver FROM alert_deliveries WHERE outcome = 'waiting'`).pluck(),
      giveUpAll: database.prepare(
        `UPDATE alert_deliveries SET outcome = 'given_up', error = @error, next_at = @now
         WHERE outcome = 'waiting' AND receiver = @receiver`,
      ),
      ofAlert: database.prepare(`SELECT ${COLUMNS} FROM alert_deliveries WHERE alert_id = ? ORDER BY seq`),
      prune: database.prepare(
        `DELETE FROM alert_deliveries WHERE seq IN (SELECT seq FROM alert_deliveries
           WHERE outcome <> 'waiting' AND next_at < ? LIMIT ?)`,
      ),
    };
  }

  insert(row: NewDelivery): void {
    this.#statements.insert.run(row);
  }

  byId(id: string): DeliveryRow | undefined {
    return this.#statements.byId.get(id) as DeliveryRow | undefined;
  }

  /** What to tell the receiver next. A time later than `latest` was set by a clock that was wrong, and is due, too. */
  due(receiver: string, now: number, latest: number): DeliveryRow | undefined {
    return this.#statements.due.get({ receiver, now, latest }) as DeliveryRow | undefined;
  }

  /** When something for the receiver is due at the earliest; null when nothing waits. */
  earliest(receiver: string): number | null {
    return this.#statements.earliest.get(receiver) as number | null;
  }

  attempted(row: Pick<DeliveryRow, 'seq' | 'attempts' | 'nextAt' | 'outcome' | 'error'>): void {
    const { seq, attempts, nextAt, outcome, error } = row;
    this.#statements.attempted.run({ seq, attempts, nextAt, outcome, error });
  }

  waiting(receiver: string): number {
    return this.#statements.waiting.get(receiver) as number;
  }

  giveUpOldest(receiver: string, error: string, now: number): void {
    this.#statements.giveUpOldest.run({ receiver, error, now });
  }

  /** Names of those for whom something waits. */
  receivers(): string[] {
    return this.#statements.receivers.all() as string[];
  }

  giveUpAll(receiver: string, error: string, now: number): number {
    return this.#statements.giveUpAll.run({ receiver, error, now }).changes;
  }

  ofAlert(alertId: string): DeliveryRow[] {
    return this.#statements.ofAlert.all(alertId) as DeliveryRow[];
  }

  /** Deletes some that were done before `before`; how many went. */
  prune(before: number, most: number): number {
    return this.#statements.prune.run(before, most).changes;
  }
}
