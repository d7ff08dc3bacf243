/** Schedules and their firings. A time of a schedule has at most one row, which keeps it from being done twice. */
import type { CatchUp, FiringCause, FiringState, Overlap } from '../../domain/vocabulary.ts';
import type { ScheduledAction } from '../../protocol/schedule.ts';
import type { BusStore } from '../bus/runs-table.ts';
import { prepareAll, type Sqlite } from '../store/database.ts';
import { MAX_MEANT, prefixBounds } from '../store/look-up.ts';

/** Firings kept per schedule. */
export const MAX_HISTORY = 200;

export interface ScheduleRecord {
  id: string;
  name: string;
  cron: string;
  timeZone: string;
  overlap: Overlap;
  catchUp: CatchUp;
  action: ScheduledAction;
  pausedAt: number | null;
  createdAt: number;
  createdBy: string;
  /** All times up to here are decided, ms. */
  cursor: number;
}

export interface FiringRecord {
  seq: number;
  scheduleId: string;
  plannedAt: number;
  cause: FiringCause;
  state: FiringState;
  firedAt: number | null;
  endedAt: number | null;
  jobId: string | null;
  reason: string | null;
  count: number;
}

type NewFiring = Omit<FiringRecord, 'seq' | 'firedAt' | 'jobId'>;

const SCHEDULE = `id, name, cron, time_zone AS timeZone, overlap, catch_up AS catchUp, action, paused_at AS pausedAt,
  created_at AS createdAt, created_by AS createdBy, cursor_at AS cursor`;
const FIRING = `seq, schedule_id AS scheduleId, planned_at AS plannedAt, cause, state, fired_at AS firedAt,
  ended_at AS endedAt, job_id AS jobId, reason, count`;

export class SchedulesTable {
  readonly #statements;

  constructor(database: Sqlite) {
    this.#statements = prepareAll(database, {
      insert: `INSERT INTO schedules (id, name, cron, time_zone, overlap, catch_up, action, paused_at, created_at, created_by, cursor_at)
         VALUES (@id, @name, @cron, @timeZone, @overlap, @catchUp, @action, @pausedAt, @createdAt, @createdBy, @cursor)`,
      all: `SELECT ${SCHEDULE} FROM schedules ORDER BY name`,
      byName: `SELECT ${SCHEDULE} FROM schedules WHERE name = ?`,
      byId: `SELECT ${SCHEDULE} FROM schedules WHERE id = ?`,
      byIdPrefix: `SELECT ${SCHEDULE} FROM schedules WHERE id >= ? AND id < ? ORDER BY id LIMIT ${MAX_MEANT}`,
      remove: 'DELETE FROM schedules WHERE id = ?',
      setCursor: 'UPDATE schedules SET cursor_at = ? WHERE id = ?',
      setPaused: 'UPDATE schedules SET paused_at = ?, cursor_at = max(cursor_at, ?) WHERE id = ?',
      addFiring: `INSERT INTO firings (schedule_id, planned_at, cause, state, ended_at, reason, count)
         VALUES (@scheduleId, @plannedAt, @cause, @state, @endedAt, @reason, @count)
         ON CONFLICT (schedule_id, planned_at) DO NOTHING RETURNING ${FIRING}`,
      firing: `SELECT ${FIRING} FROM firings WHERE seq = ?`,
      hasFiring: 'SELECT 1 FROM firings WHERE schedule_id = ? AND planned_at = ?',
      changeFiring: `UPDATE firings SET state = @state, fired_at = @firedAt, ended_at = @endedAt, job_id = @jobId, reason = @reason
         WHERE seq = @seq`,
      open: `SELECT ${FIRING} FROM firings WHERE schedule_id = ? AND state IN ('waiting', 'started') ORDER BY seq`,
      history: `SELECT ${FIRING} FROM firings WHERE schedule_id = ? ORDER BY seq DESC LIMIT ?`,
      prune: `DELETE FROM firings WHERE schedule_id = @id AND state NOT IN ('waiting', 'started') AND seq <= (
           SELECT seq FROM firings WHERE schedule_id = @id ORDER BY seq DESC LIMIT 1 OFFSET ${MAX_HISTORY})`,
    });
  }

  insert(schedule: ScheduleRecord): void {
    this.#statements.insert.run({ ...schedule, action: JSON.stringify(schedule.action) });
  }

  /** By name. */
  all(): ScheduleRecord[] {
    return (this.#statements.all.all() as Row[]).map(toRecord);
  }

  byName(name: string): ScheduleRecord | undefined {
    return toOptional(this.#statements.byName.get(name));
  }

  byId(id: string): ScheduleRecord | undefined {
    return toOptional(this.#statements.byId.get(id));
  }

  byIdPrefix(prefix: string): ScheduleRecord[] {
    return (this.#statements.byIdPrefix.all(...prefixBounds(prefix)) as Row[]).map(toRecord);
  }

  /** Deletes its history too; its jobs stay. */
  remove(id: string): void {
    this.#statements.remove.run(id);
  }

  setCursor(id: string, cursor: number): void {
    this.#statements.setCursor.run(cursor, id);
  }

  /** Times during the pause do not count as missed: the cursor moves up to `now`. */
  setPaused(id: string, paused: boolean, now: number): void {
    this.#statements.setPaused.run(paused ? now : null, now, id);
  }

  /** Undefined if that time of the schedule has a row already. Deletes rows beyond {@link MAX_HISTORY}. */
  addFiring(firing: NewFiring): FiringRecord | undefined {
    const added = this.#statements.addFiring.get(firing) as FiringRecord | undefined;
    if (added !== undefined) this.#statements.prune.run({ id: firing.scheduleId });
    return added;
  }

  /** Undefined if its schedule was removed. */
  firing(seq: number): FiringRecord | undefined {
    return this.#statements.firing.get(seq) as FiringRecord | undefined;
  }

  hasFiring(scheduleId: string, plannedAt: number): boolean {
    return this.#statements.hasFiring.get(scheduleId, plannedAt) !== undefined;
  }

  changeFiring(seq: number, change: Partial<FiringRecord>): FiringRecord | undefined {
    const present = this.firing(seq);
    if (present === undefined) return undefined;
    const next = { ...present, ...change };
    this.#statements.changeFiring.run(next);
    return next;
  }

  /** Firings that wait or are in progress, oldest first. */
  openFirings(scheduleId: string): FiringRecord[] {
    return this.#statements.open.all(scheduleId) as FiringRecord[];
  }

  /** Newest first. */
  history(scheduleId: string, limit: number): FiringRecord[] {
    return this.#statements.history.all(scheduleId, limit) as FiringRecord[];
  }
}

interface Row extends Omit<ScheduleRecord, 'action'> {
  action: string;
}

function toOptional(row: unknown): ScheduleRecord | undefined {
  return row === undefined ? undefined : toRecord(row as Row);
}

function toRecord(row: Row): ScheduleRecord {
  return { ...row, action: JSON.parse(row.action) as ScheduledAction };
}

/** The store as seen by this folder and those above it. */
export interface ScheduleStore extends BusStore {
  readonly schedules: SchedulesTable;
}
