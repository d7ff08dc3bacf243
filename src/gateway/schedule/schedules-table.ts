/** Schedules and their firings. A time of a schedule has at most one row, which keeps it from being done twice. */
import type { CatchUp, FiringCause, FiringState, Overlap } from '../../domain/vocabulary.ts';
import type { ScheduledAction } from '../../protocol/schedule.ts';
import type { BusStore } from '../bus/runs-table.ts';
import type { Sqlite } from '../store/database.ts';
import { MAX_MEANT, prefixBounds } from '../store/look-up.ts';
import { statementsOf } from '../store/statements.ts';

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

interface ScheduleRow extends Omit<ScheduleRecord, 'action'> {
  action: string;
}

/** The store as seen by this folder and those above it. */
export interface ScheduleStore extends BusStore {
  readonly schedules: SchedulesTable;
}

export type SchedulesTable = ReturnType<typeof schedulesTable>;

export function schedulesTable(database: Sqlite) {
  const { all, get, run } = statementsOf(database);
  const select = `SELECT id, name, cron, time_zone AS timeZone, overlap, catch_up AS catchUp, action, paused_at AS pausedAt,
    created_at AS createdAt, created_by AS createdBy, cursor_at AS cursor FROM schedules`;
  const firingColumns = `seq, schedule_id AS scheduleId, planned_at AS plannedAt, cause, state, fired_at AS firedAt,
    ended_at AS endedAt, job_id AS jobId, reason, count`;
  const firings = `SELECT ${firingColumns} FROM firings`;
  const insert = run<[ScheduleRow]>(
    `INSERT INTO schedules (id, name, cron, time_zone, overlap, catch_up, action, paused_at, created_at, created_by, cursor_at)
     VALUES (@id, @name, @cron, @timeZone, @overlap, @catchUp, @action, @pausedAt, @createdAt, @createdBy, @cursor)`,
  );
  const allRows = all<ScheduleRow>(`${select} ORDER BY name`);
  const byName = get<ScheduleRow, [name: string]>(`${select} WHERE name = ?`);
  const byId = get<ScheduleRow, [id: string]>(`${select} WHERE id = ?`);
  const between = all<ScheduleRow, [from: string, below: string]>(
    `${select} WHERE id >= ? AND id < ? ORDER BY id LIMIT ${MAX_MEANT}`,
  );
  const setPaused = run<[pausedAt: number | null, now: number, id: string]>(
    'UPDATE schedules SET paused_at = ?, cursor_at = max(cursor_at, ?) WHERE id = ?',
  );
  const addFiring = get<FiringRecord, [NewFiring]>(
    `INSERT INTO firings (schedule_id, planned_at, cause, state, ended_at, reason, count)
     VALUES (@scheduleId, @plannedAt, @cause, @state, @endedAt, @reason, @count)
     ON CONFLICT (schedule_id, planned_at) DO NOTHING RETURNING ${firingColumns}`,
  );
  const prune = run<[{ id: string }]>(
    `DELETE FROM firings WHERE schedule_id = @id AND state NOT IN ('waiting', 'started') AND seq <= (
       SELECT seq FROM firings WHERE schedule_id = @id ORDER BY seq DESC LIMIT 1 OFFSET ${MAX_HISTORY})`,
  );
  const firing = get<FiringRecord, [seq: number]>(`${firings} WHERE seq = ?`);
  const hasFiring = get<unknown, [scheduleId: string, plannedAt: number]>(
    'SELECT 1 FROM firings WHERE schedule_id = ? AND planned_at = ?',
  );
  const changeFiring = run<[FiringRecord]>(
    `UPDATE firings SET state = @state, fired_at = @firedAt, ended_at = @endedAt, job_id = @jobId, reason = @reason
     WHERE seq = @seq`,
  );
  return {
    insert: (schedule: ScheduleRecord) => insert({ ...schedule, action: JSON.stringify(schedule.action) }),
    /** By name. */
    all: () => allRows().map(toRecord),
    byName: (name: string) => toOptional(byName(name)),
    byId: (id: string) => toOptional(byId(id)),
    byIdPrefix: (prefix: string) => between(...prefixBounds(prefix)).map(toRecord),
    /** Deletes its history too; its jobs stay. */
    remove: run<[id: string]>('DELETE FROM schedules WHERE id = ?'),
    setCursor: run<[{ id: string; cursor: number }]>('UPDATE schedules SET cursor_at = @cursor WHERE id = @id'),
    /** Times during the pause do not count as missed: the cursor moves up to `now`. */
    setPaused: (id: string, paused: boolean, now: number) => setPaused(paused ? now : null, now, id),
    /** Undefined if that time of the schedule has a row already. Deletes rows beyond {@link MAX_HISTORY}. */
    addFiring(entry: NewFiring): FiringRecord | undefined {
      const added = addFiring(entry);
      if (added !== undefined) prune({ id: entry.scheduleId });
      return added;
    },
    /** Undefined if its schedule was removed. */
    firing,
    hasFiring: (scheduleId: string, plannedAt: number) => hasFiring(scheduleId, plannedAt) !== undefined,
    changeFiring(seq: number, change: Partial<FiringRecord>): FiringRecord | undefined {
      const present = firing(seq);
      if (present === undefined) return undefined;
      const next = { ...present, ...change };
      changeFiring(next);
      return next;
    },
    /** Firings that wait or are in progress, oldest first. */
    openFirings: all<FiringRecord, [scheduleId: string]>(
      `${firings} WHERE schedule_id = ? AND state IN ('waiting', 'started') ORDER BY seq`,
    ),
    /** Newest first. */
    history: all<FiringRecord, [scheduleId: string, limit: number]>(
      `${firings} WHERE schedule_id = ? ORDER BY seq DESC LIMIT ?`,
    ),
  };
}

function toOptional(row: ScheduleRow | undefined): ScheduleRecord | undefined {
  return row && toRecord(row);
}

function toRecord(row: ScheduleRow): ScheduleRecord {
  return { ...row, action: JSON.parse(row.action) as ScheduledAction };
}
