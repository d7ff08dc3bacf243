/** What is to be told to whom: a durable outbox, and for a while what became of it. Times are ms. */
import type { DeliveryView } from '../../../../protocol/alert-views.ts';
import type { Sqlite } from '../../../store/database.ts';

export interface DeliveryRow {
  seq: number;
  id: string;
  receiver: string;
  /** Null for a test. */
  alertId: string | null;
  /** Rows of one rule and event may be told together. */
  rule: string | null;
  event: DeliveryView['event'];
  /** The notice as JSON; alerts/delivery/alert-message.ts has its shape. */
  message: string;
  createdAt: number;
  attempts: number;
  /** Not before. Once it is done, when that was. */
  nextAt: number;
  outcome: DeliveryView['outcome'];
  error: string | null;
  /** The id that the receiver sees: that of the first of the rows that are told together. Null before the first attempt. */
  batch: string | null;
}

export type NewDelivery = Omit<DeliveryRow, 'seq' | 'attempts' | 'outcome' | 'error'>;

/** What became of an attempt, for all rows of a batch that still wait. */
export type BatchOutcome = Pick<DeliveryRow, 'attempts' | 'nextAt' | 'outcome' | 'error'> & { batch: string };

const COLUMNS = `seq, id, receiver, alert_id AS alertId, rule, event, message, created_at AS createdAt, attempts,
  next_at AS nextAt, outcome, error, batch`;
/** What is older of the same alert goes first: nobody shall hear of an end before the beginning. */
const IS_NEXT = `NOT EXISTS (SELECT 1 FROM alert_deliveries AS older WHERE older.outcome = 'waiting'
  AND older.receiver = row.receiver AND older.alert_id = row.alert_id AND older.seq < row.seq)`;

export class DeliveriesTable {
  readonly #statements;

  constructor(database: Sqlite) {
    this.#statements = {
      insert: database.prepare(
        `INSERT INTO alert_deliveries (id, receiver, alert_id, rule, event, message, created_at, next_at, batch)
         VALUES (@id, @receiver, @alertId, @rule, @event, @message, @createdAt, @nextAt, @batch)`,
      ),
      byId: database.prepare(`SELECT ${COLUMNS} FROM alert_deliveries WHERE id = ?`),
      due: database.prepare(
        `SELECT ${COLUMNS} FROM alert_deliveries AS row
         WHERE outcome = 'waiting' AND receiver = @receiver AND ${IS_NEXT}
           AND (next_at <= @now OR next_at > iif(attempts = 0, @latestFirst, @latest))
         ORDER BY next_at, seq LIMIT 1`,
      ),
      earliest: database
        .prepare(
          `SELECT min(next_at) FROM alert_deliveries AS row WHERE outcome = 'waiting' AND receiver = ? AND ${IS_NEXT}`,
        )
        .pluck(),
      form: database.prepare(
        `UPDATE alert_deliveries AS row SET batch = @id
         WHERE outcome = 'waiting' AND receiver = @receiver AND batch IS NULL AND ${IS_NEXT}
           AND (id = @id OR (@isGrouped AND rule = @rule AND event = @event))`,
      ),
      batch: database.prepare(
        `SELECT ${COLUMNS} FROM alert_deliveries WHERE batch = ? AND outcome = 'waiting' ORDER BY seq LIMIT ?`,
      ),
      batchSize: database
        .prepare(`SELECT count(*) FROM alert_deliveries WHERE batch = ? AND outcome = 'waiting'`)
        .pluck(),
      attempted: database.prepare(
        `UPDATE alert_deliveries SET attempts = @attempts, next_at = @nextAt, outcome = @outcome, error = @error
         WHERE batch = @batch AND outcome = 'waiting'`,
      ),
      waiting: database
        .prepare(`SELECT count(*) FROM alert_deliveries WHERE outcome = 'waiting' AND receiver = ?`)
        .pluck(),
      receivers: database.prepare(`SELECT DISTINCT receiver FROM alert_deliveries WHERE outcome = 'waiting'`).pluck(),
      giveUpOldest: database.prepare(
        `UPDATE alert_deliveries SET outcome = 'given_up', error = @error, next_at = @now WHERE seq IN
           (SELECT seq FROM alert_deliveries WHERE outcome = 'waiting' AND receiver = @receiver
            ORDER BY seq DESC LIMIT -1 OFFSET @most)`,
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

  /**
   * What to tell the receiver next. A time that is later than `latest`, or than `latestFirst` before the first attempt, was set
   * by a clock that was wrong, and is due, too.
   */
  due(receiver: string, times: { now: number; latest: number; latestFirst: number }): DeliveryRow | undefined {
    return this.#statements.due.get({ receiver, ...times }) as DeliveryRow | undefined;
  }

  /** When something for the receiver is due at the earliest; null when nothing waits. */
  earliest(receiver: string): number | null {
    return this.#statements.earliest.get(receiver) as number | null;
  }

  /** Makes a batch of the row and, if `isGrouped`, of all that waits with its rule and event and was not tried yet. For good. */
  form({ id, receiver, rule, event }: DeliveryRow, isGrouped: boolean): void {
    this.#statements.form.run({ id, receiver, rule, event, isGrouped: isGrouped ? 1 : 0 });
  }

  /** How many rows of the batch wait, and the oldest of them. */
  batch(batch: string, most: number): { size: number; rows: DeliveryRow[] } {
    return {
      size: this.#statements.batchSize.get(batch) as number,
      rows: this.#statements.batch.all(batch, most) as DeliveryRow[],
    };
  }

  attempted({ batch, attempts, nextAt, outcome, error }: BatchOutcome): void {
    this.#statements.attempted.run({ batch, attempts, nextAt, outcome, error });
  }

  waiting(receiver: string): number {
    return this.#statements.waiting.get(receiver) as number;
  }

  /** Names of those for whom something waits. */
  receivers(): string[] {
    return this.#statements.receivers.all() as string[];
  }

  /** Leaves the newest `most` of those that wait for the receiver; how many were given up. */
  giveUpOldest(receiver: string, most: number, error: string, now: number): number {
    return this.#statements.giveUpOldest.run({ receiver, most, error, now }).changes;
  }

  ofAlert(alertId: string): DeliveryRow[] {
    return this.#statements.ofAlert.all(alertId) as DeliveryRow[];
  }

  /** Deletes some that were done before `before`; how many went. */
  prune(before: number, most: number): number {
    return this.#statements.prune.run(before, most).changes;
  }
}
