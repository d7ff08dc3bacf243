/** Decides which times of a schedule are due, late or missed; pure, so that restarts and jumps of the clock are tables in a test. */
import type { CatchUp, FiringCause } from '../../domain/vocabulary.ts';
import { isoTime } from '../../shared/duration.ts';
import type { CronTimes } from './cron.ts';
import type { FiringRecord, ScheduleRecord, ScheduleStore } from './schedules-table.ts';

/** So late a time is still done as if it were on time, ms: a busy machine, or a gateway that was restarted. */
export const GRACE_MS = 60_000;
/** Most times that are made up for, or counted as missed, at once: a storm helps nobody. */
export const MAX_CATCH_UP = 100;
/** A clock that was set back by more than this was wrong before, and is believed now, ms; by less, the times in between have been done. cron(8) does so. */
export const MAX_STEP_BACK_MS = 3 * 3_600_000;

interface PlanInput {
  times: CronTimes;
  /** Everything up to here is decided, ms. */
  cursor: number;
  now: number;
  catchUp: CatchUp;
}

export interface Plan {
  /** To be done now, in this order. */
  due: { plannedAt: number; cause: 'time' | 'catch_up' }[];
  /** Left out: how many, and which was the latest. `count` stops at {@link MAX_CATCH_UP}. */
  missed: { plannedAt: number; count: number } | undefined;
  cursor: number;
}

/** At most one time is on time; those before it are late, and `catchUp` says what becomes of them. */
export function planFirings({ times, cursor, now, catchUp }: PlanInput): Plan {
  if (isFarAhead(cursor, now)) return { due: [], missed: undefined, cursor: now };
  const open = times.between(cursor, now, MAX_CATCH_UP);
  const latest = open.at(-1);
  if (latest === undefined) return { due: [], missed: undefined, cursor };
  const isOnTime = now - latest < GRACE_MS;
  const late = isOnTime ? open.slice(0, -1) : open;
  // One that comes on time makes up for those before it.
  const madeUp = catchUp === 'all' ? late : catchUp === 'once' && !isOnTime ? late.slice(-1) : [];
  const missed = late.slice(0, late.length - madeUp.length);
  const lastMissed = missed.at(-1);
  return {
    due: [
      ...madeUp.map((plannedAt) => ({ plannedAt, cause: 'catch_up' as const })),
      ...(isOnTime ? [{ plannedAt: latest, cause: 'time' as const }] : []),
    ],
    missed: lastMissed === undefined ? undefined : { plannedAt: lastMissed, count: missed.length },
    cursor: latest,
  };
}

/** Whether the clock by which `cursor` was decided was wrong. */
export function isFarAhead(cursor: number, now: number): boolean {
  return cursor - now > MAX_STEP_BACK_MS;
}

/** Most times of one schedule that wait for the one before; more would only grow. */
export const MAX_WAITING = 10;

interface EnterOptions {
  plannedAt: number;
  cause: FiringCause;
  now: number;
  /** Wait in any case: one of several that are made up for, one after the other. */
  inLine: boolean;
}

interface Entered {
  /** Undefined when that time had its entry before. */
  firing: FiringRecord | undefined;
  /** What is to be ended for it. */
  replaced: FiringRecord[];
  /** How many times are left out by it, itself included. */
  skipped: number;
}

export function enterFiring(
  schedules: ScheduleStore['schedules'],
  schedule: ScheduleRecord,
  { plannedAt, cause, now, inLine }: EnterOptions,
): Entered {
  const open = schedules.openFirings(schedule.id);
  const entry = { scheduleId: schedule.id, plannedAt, cause, count: 1 };
  const wait = (): FiringRecord | undefined =>
    schedules.addFiring({ ...entry, state: 'waiting', endedAt: null, reason: null });
  const skip = (reason: string): Entered => {
    const firing = schedules.addFiring({ ...entry, state: 'skipped', endedAt: now, reason });
    return { firing, replaced: [], skipped: firing === undefined ? 0 : 1 };
  };
  const queue = (): Entered => ({ firing: wait(), replaced: [], skipped: 0 });
  const [oldest] = open;
  if (oldest === undefined || inLine) return queue();
  switch (schedule.overlap) {
    case 'skip':
      return skip(`the one of ${isoTime(oldest.plannedAt)} still goes on`);
    case 'queue':
      return open.length > MAX_WAITING ? skip(`${MAX_WAITING} wait already`) : queue();
    case 'replace': {
      const firing = wait();
      if (firing === undefined) return { firing, replaced: [], skipped: 0 };
      const reason = `replaced by the one of ${isoTime(plannedAt)}`;
      const waiting = open.filter(({ state }) => state === 'waiting');
      for (const { seq } of waiting) schedules.changeFiring(seq, { state: 'skipped', endedAt: now, reason });
      return { firing, replaced: open.filter(({ state }) => state === 'started'), skipped: waiting.length };
    }
  }
}
