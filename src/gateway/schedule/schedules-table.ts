/** Schedules and what became of their times. A time of a schedule has one row at most: that is what keeps it from being done twice. */

import type { CatchUp, FiringCause, FiringState, Overlap } from '../../domain/vocabulary.ts';
import type { ScheduledAction } from '../../protocol/schedule.ts';
import type { BusStore } from '../bus/runs-table.ts';
import type { Sqlite } from '../store/database.ts';
import { MAX_MEANT, prefixBounds } from '../store/look-up.ts';

/** Entries of the history that each schedule keeps. */
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
  /** Every time up to here is decided, ms. */
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
    this.#statements = {
      insert: database.prepare(
        `INSERT INTO schedules (id, name, cron, time_zone, overlap, catch_up, action, paused_at, created_at, created_by, cursor_at)
         VALUES (@id, @name, @cron, @timeZone, @overlap, @catchUp, @action, @pausedAt, @createdAt, @createdBy, @cursor)`,
      ),
      all: database.prepare(`SELECT ${SCHEDULE} FROM schedules ORDER BY name`),
      byName: database.prepare(`SELECT ${SCHEDULE} FROM schedules WHERE name = ?`),
      byId: database.prepare(`SELECT ${SCHEDULE} FROM schedules WHERE id = ?`),
      byIdPrefix: database.prepare(
        `SELECT ${SCHEDULE} FROM schedules WHERE id >= ? AND id < ? ORDER BY id LIMIT ${MAX_MEANT}`,
      ),
      remove: database.prepare('DELETE FROM schedules WHERE id = ?'),
      setCursor: database.prepare('UPDATE schedules SET cursor_at = ? WHERE id = ?'),
      setPaused: database.prepare('UPDATE schedules SET paused_at = ?, cursor_at = max(cursor_at, ?) WHERE id = ?'),
      addFiring: database.prepare(
        `INSERT INTO firings (schedule_id, planned_at, cause, state, ended_at, reason, count)
         VALUES (@scheduleId, @plannedAt, @cause, @state, @endedAt, @reason, @count)
         ON CONFLICT (schedule_id, planned_at) DO NOTHING RETURNING ${FIRING}`,
      ),
      firing: database.prepare(`SELECT ${FIRING} FROM firings WHERE seq = ?`),
      hasFiring: database.prepare('SELECT 1 FROM firings WHERE schedule_id = ? AND planned_at = ?'),
      changeFiring: database.prepare(
        `UPDATE firings SET state = @state, fired_at = @firedAt, ended_at = @endedAt, job_id = @jobId, reason = @reason
         WHERE seq = @seq`,
      ),
      open: database.prepare(
        `SELECT ${FIRING} FROM firings WHERE schedule_id = ? AND state IN ('waiting', 'started') ORDER BY seq`,
      ),
      history: database.prepare(`SELECT ${FIRING} FROM firings WHERE schedule_id = ? ORDER BY seq DESC LIMIT ?`),
      prune: database.prepare(
        `DELETE FROM firings WHERE schedule_id = @id AND state NOT IN ('waiting', 'started') AND seq <= (
           SELECT seq FROM firings WHERE schedule_id = @id ORDER BY seq DESC LIMIT 1 OFFSET ${MAX_HISTORY})`,
      ),
    };
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

  /** Its history goes with it; its jobs stay. */
  remove(id: string): void {
    this.#statements.remove.run(id);
  }

  setCursor(id: string, cursor: number): void {
    this.#statements.setCursor.run(cursor, id);
  }

  /** What was due while it was paused is not missed: `now` becomes the least that the cursor is. */
  setPaused(id: string, paused: boolean, now: number): void {
    this.#statements.setPaused.run(paused ? now : null, now, id);
  }

  /** Undefined when that time of the schedule has its row already. Old entries beyond {@link MAX_HISTORY} go. */
  addFiring(firing: NewFiring): FiringRecord | undefined {
    const added = this.#statements.addFiring.get(firing) as FiringRecord | undefined;
    if (added !== undefined) this.#statements.prune.run({ id: firing.scheduleId });
    return added;
  }

  /** Undefined when its schedule has been removed. */
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

  /** Those that wait or are under way, in their order. */
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

/** The store as this folder, and those above it, see it. */
export interface ScheduleStore extends BusStore {
  readonly schedules: SchedulesTable;
}
