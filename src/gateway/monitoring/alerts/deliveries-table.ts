/** The table of messages to receivers: a durable outbox, and for a while its outcomes. Times are ms. */
import type { DeliveryView } from '../../../protocol/alerts.ts';
import type { Sqlite } from '../../store/database.ts';

export interface DeliveryRow {
  seq: number;
  id: string;
  receiver: string;
  /** Null for a test. */
  alertId: string | null;
  /** Rows of one rule and event may go into one message. */
  rule: string | null;
  event: DeliveryView['event'];
  /** The notice as JSON; message.ts has its shape. */
  message: string;
  createdAt: number;
  attempts: number;
  /** Time of the next attempt, or of the end. */
  nextAt: number;
  outcome: DeliveryView['outcome'];
  error: string | null;
  /** The id that the receiver sees: that of the first row in the message. Null before the first attempt. */
  batch: string | null;
}

export type NewDelivery = Omit<DeliveryRow, 'seq' | 'attempts' | 'outcome' | 'error'>;

/** The outcome of an attempt, for all waiting rows of a batch. */
export type BatchOutcome = Pick<DeliveryRow, 'attempts' | 'nextAt' | 'outcome' | 'error'> & { batch: string };

const COLUMNS = `seq, id, receiver, alert_id AS alertId, rule, event, message, created_at AS createdAt, attempts,
  next_at AS nextAt, outcome, error, batch`;
/** Older rows of an alert go first: no resolution before its alert. */
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
   * The next row to send. A time later than `latest`, or than `latestFirst` before the first attempt, comes from a wrong clock,
   * and is due as well.
   */
  due(receiver: string, times: { now: number; latest: number; latestFirst: number }): DeliveryRow | undefined {
    return this.#statements.due.get({ receiver, ...times }) as DeliveryRow | undefined;
  }

  /** Earliest time at which something is due; null if nothing waits. */
  earliest(receiver: string): number | null {
    return this.#statements.earliest.get(receiver) as number | null;
  }

  /** Makes a permanent batch of the row and, if `isGrouped`, of all untried rows with its rule and event. */
  form({ id, receiver, rule, event }: DeliveryRow, isGrouped: boolean): void {
    this.#statements.form.run({ id, receiver, rule, event, isGrouped: Number(isGrouped) });
  }

  /** How many rows of the batch are waiting, and the oldest of them. */
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

  /** Names of receivers with waiting rows. */
  receivers(): string[] {
    return this.#statements.receivers.all() as string[];
  }

  /** Gives up all but the newest `most` waiting rows of the receiver, and returns their number. */
  giveUpOldest(receiver: string, most: number, error: string, now: number): number {
    return this.#statements.giveUpOldest.run({ receiver, most, error, now }).changes;
  }

  ofAlert(alertId: string): DeliveryRow[] {
    return this.#statements.ofAlert.all(alertId) as DeliveryRow[];
  }

  /** Deletes some that were done before `before`. */
  prune(before: number, most: number): void {
    this.#statements.prune.run(before, most);
  }
}

/**
 * Migration: alerts of one rule and event for one receiver become one message (docs/adr/0026): all rows with the same batch. A message
 * from before may have been sent under its own id already.
 */
export const GROUPED_DELIVERIES = `
ALTER TABLE alert_deliveries ADD COLUMN rule TEXT;
ALTER TABLE alert_deliveries ADD COLUMN batch TEXT;
UPDATE alert_deliveries SET batch = id;
CREATE INDEX alert_deliveries_batch ON alert_deliveries (batch, seq) WHERE outcome = 'waiting';
`;
