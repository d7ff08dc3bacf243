/** The tables of alerts, of messages to receivers (a durable outbox, and for a while its outcomes), and of silences. Times are ms. */
import type { AlertState, DeliveryView, Severity, SilenceView } from '../../../protocol/alerts.ts';
import type { Sqlite } from '../../store/database.ts';
import { statementsOf } from '../../store/statements.ts';
import type { JudgeStore } from '../judge/judge-store.ts';

/** The store as alerts, and the folders above them, see it. */
export interface AlertsStore extends JudgeStore {
  readonly alerts: AlertsTable;
  readonly deliveries: DeliveriesTable;
  readonly silences: SilencesTable;
}

export interface AlertRow {
  id: string;
  rule: string;
  severity: Severity;
  nodeId: string;
  nodeName: string;
  state: AlertState;
  since: number;
  clearSince: number | null;
  firedAt: number | null;
  resolvedAt: number | null;
  summary: string;
  reason: string | null;
  /** Whether a notification that it fires was queued for its receivers; not while it is silenced. */
  isNotified: boolean;
}

type StoredAlert = Omit<AlertRow, 'isNotified'> & { isNotified: number };

const ALERT_COLUMNS = `id, rule, severity, node_id AS nodeId, node_name AS nodeName, state, since, clear_since AS clearSince,
  fired_at AS firedAt, resolved_at AS resolvedAt, summary, reason, told AS isNotified`;

interface Period {
  from: number;
  to: number;
}

/** Firing alerts count whatever their times: the clock may have been set back since. */
const FIRED_WITHIN = `(state = 'firing' OR (state = 'resolved' AND resolved_at > @from AND fired_at < @to))`;

export type AlertsTable = ReturnType<typeof alertsTable>;

export function alertsTable(database: Sqlite) {
  const { all, run } = statementsOf(database);
  const put = run<[StoredAlert]>(
    `INSERT INTO alerts (id, rule, severity, node_id, node_name, state, since, clear_since, fired_at, resolved_at,
       summary, reason, told)
     VALUES (@id, @rule, @severity, @nodeId, @nodeName, @state, @since, @clearSince, @firedAt, @resolvedAt,
       @summary, @reason, @isNotified)
     ON CONFLICT (id) DO UPDATE SET node_name = excluded.node_name, state = excluded.state, since = excluded.since,
       clear_since = excluded.clear_since, fired_at = excluded.fired_at, resolved_at = excluded.resolved_at,
       summary = excluded.summary, reason = excluded.reason, told = excluded.told, severity = excluded.severity`,
  );
  const select = <A extends unknown[]>(rest: string): ((...parameters: A) => AlertRow[]) => {
    const rows = all<StoredAlert, A>(`SELECT ${ALERT_COLUMNS} FROM alerts ${rest}`);
    return (...parameters) => rows(...parameters).map(toAlert);
  };
  const worst = database.prepare(
    `SELECT ${ALERT_COLUMNS} FROM alerts WHERE ${FIRED_WITHIN}
     ORDER BY state = 'resolved', severity <> 'critical', coalesce(resolved_at, @to) - since DESC, id`,
  );
  return {
    put: (row: AlertRow) => put({ ...row, isNotified: Number(row.isNotified) }),
    remove: run<[id: string]>('DELETE FROM alerts WHERE id = ?'),
    /** Pending and firing alerts, oldest first. */
    active: select<[]>(`WHERE state <> 'resolved' ORDER BY since, id`),
    /** Newest first. */
    latest: select<[limit: number]>('ORDER BY since DESC, id LIMIT ?'),
    /** Two at most, which is ambiguous. */
    byPrefix: select<[{ prefix: string }]>('WHERE substr(id, 1, length(@prefix)) = @prefix LIMIT 2'),
    /** Alerts of these nodes that fired at some time within a period: firing first, then critical, then longest. */
    worstFired: (period: Period, nodeIds: ReadonlySet<string>, most: number): AlertRow[] => {
      const found: AlertRow[] = [];
      for (const row of worst.iterate(period) as Iterable<StoredAlert>) {
        if (found.length >= most) break;
        if (nodeIds.has(row.nodeId)) found.push(toAlert(row));
      }
      return found;
    },
    /** Numbers of alerts that fired within a period, of all nodes including removed ones. */
    countFired: all<Pick<AlertRow, 'nodeId' | 'severity' | 'state'> & { count: number }, [Period]>(
      `SELECT node_id AS nodeId, severity, state, count(*) AS count FROM alerts WHERE ${FIRED_WITHIN}
       GROUP BY node_id, severity, state`,
    ),
    /** Deletes some that ended before that time. */
    prune: run<[before: number, most: number]>(
      `DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE state = 'resolved' AND resolved_at < ? LIMIT ?)`,
    ),
  };
}

function toAlert(row: StoredAlert): AlertRow {
  return { ...row, isNotified: row.isNotified === 1 };
}

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

const DELIVERY_COLUMNS = `seq, id, receiver, alert_id AS alertId, rule, event, message, created_at AS createdAt, attempts,
  next_at AS nextAt, outcome, error, batch`;
/** Older rows of an alert go first: no resolution before its alert. */
const IS_NEXT = `NOT EXISTS (SELECT 1 FROM alert_deliveries AS older WHERE older.outcome = 'waiting'
  AND older.receiver = row.receiver AND older.alert_id = row.alert_id AND older.seq < row.seq)`;

export type DeliveriesTable = ReturnType<typeof deliveriesTable>;

export function deliveriesTable(database: Sqlite) {
  const { all, get, run, value } = statementsOf(database);
  const select = `SELECT ${DELIVERY_COLUMNS} FROM alert_deliveries`;
  const form = run<[Pick<DeliveryRow, 'id' | 'receiver' | 'rule' | 'event'> & { isGrouped: number }]>(
    `UPDATE alert_deliveries AS row SET batch = @id
     WHERE outcome = 'waiting' AND receiver = @receiver AND batch IS NULL AND ${IS_NEXT}
       AND (id = @id OR (@isGrouped AND rule = @rule AND event = @event))`,
  );
  return {
    insert: run<[NewDelivery]>(
      `INSERT INTO alert_deliveries (id, receiver, alert_id, rule, event, message, created_at, next_at, batch)
       VALUES (@id, @receiver, @alertId, @rule, @event, @message, @createdAt, @nextAt, @batch)`,
    ),
    byId: get<DeliveryRow, [id: string]>(`${select} WHERE id = ?`),
    /**
     * The next row to send. A time later than `latest`, or than `latestFirst` before the first attempt, comes from a wrong clock,
     * and is due as well.
     */
    due: get<DeliveryRow, [{ receiver: string; now: number; latest: number; latestFirst: number }]>(
      `${select} AS row
       WHERE outcome = 'waiting' AND receiver = @receiver AND ${IS_NEXT}
         AND (next_at <= @now OR next_at > iif(attempts = 0, @latestFirst, @latest))
       ORDER BY next_at, seq LIMIT 1`,
    ),
    /** Earliest time at which something is due; null if nothing waits. */
    earliest: value<number | null, [receiver: string]>(
      `SELECT min(next_at) FROM alert_deliveries AS row WHERE outcome = 'waiting' AND receiver = ? AND ${IS_NEXT}`,
    ),
    /** Makes a permanent batch of the row and, if `isGrouped`, of all untried rows with its rule and event. */
    form: (row: DeliveryRow, isGrouped: boolean) => form({ ...row, isGrouped: Number(isGrouped) }),
    /** Waiting rows of the batch, oldest first. */
    batch: all<DeliveryRow, [batch: string, most: number]>(
      `${select} WHERE batch = ? AND outcome = 'waiting' ORDER BY seq LIMIT ?`,
    ),
    batchSize: value<number, [batch: string]>(
      `SELECT count(*) FROM alert_deliveries WHERE batch = ? AND outcome = 'waiting'`,
    ),
    /** Stores the outcome of an attempt, for all waiting rows of the batch. */
    attempted: run<[Pick<DeliveryRow, 'attempts' | 'nextAt' | 'outcome' | 'error'> & { batch: string }]>(
      `UPDATE alert_deliveries SET attempts = @attempts, next_at = @nextAt, outcome = @outcome, error = @error
       WHERE batch = @batch AND outcome = 'waiting'`,
    ),
    waiting: value<number, [receiver: string]>(
      `SELECT count(*) FROM alert_deliveries WHERE outcome = 'waiting' AND receiver = ?`,
    ),
    /** Receivers with waiting rows. */
    receivers: all<{ receiver: string }>(`SELECT DISTINCT receiver FROM alert_deliveries WHERE outcome = 'waiting'`),
    /** Gives up all but the newest `most` waiting rows of the receiver, and returns their number. */
    giveUpOldest: run<[{ receiver: string; most: number; error: string; now: number }]>(
      `UPDATE alert_deliveries SET outcome = 'given_up', error = @error, next_at = @now WHERE seq IN
         (SELECT seq FROM alert_deliveries WHERE outcome = 'waiting' AND receiver = @receiver
          ORDER BY seq DESC LIMIT -1 OFFSET @most)`,
    ),
    ofAlert: all<DeliveryRow, [alertId: string]>(`${select} WHERE alert_id = ? ORDER BY seq`),
    /** Deletes some that were done before that time. */
    prune: run<[before: number, most: number]>(
      `DELETE FROM alert_deliveries WHERE seq IN (SELECT seq FROM alert_deliveries
         WHERE outcome <> 'waiting' AND next_at < ? LIMIT ?)`,
    ),
  };
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

export interface SilenceRow {
  id: string;
  kind: SilenceView['kind'];
  /** Name of a rule, id of a node or of an alert. */
  target: string;
  /** Name of the rule or node at that time, id of the alert. */
  label: string;
  until: number;
  reason: string | null;
  createdBy: string;
  createdAt: number;
}

export type SilencesTable = ReturnType<typeof silencesTable>;

export function silencesTable(database: Sqlite) {
  const { all, run } = statementsOf(database);
  return {
    /** Replaces a silence of the same target. */
    put: run<[SilenceRow]>(
      `INSERT INTO alert_silences (id, kind, target, label, until, reason, created_by, created_at)
       VALUES (@id, @kind, @target, @label, @until, @reason, @createdBy, @createdAt)
       ON CONFLICT (kind, target) DO UPDATE SET id = excluded.id, label = excluded.label, until = excluded.until,
         reason = excluded.reason, created_by = excluded.created_by, created_at = excluded.created_at`,
    ),
    active: all<SilenceRow, [now: number]>(
      `SELECT id, kind, target, label, until, reason, created_by AS createdBy, created_at AS createdAt
       FROM alert_silences WHERE until > ? ORDER BY until, id`,
    ),
    remove: run<[id: string]>('DELETE FROM alert_silences WHERE id = ?'),
    /** Deletes expired ones. */
    prune: run<[now: number]>('DELETE FROM alert_silences WHERE until <= ?'),
  };
}
