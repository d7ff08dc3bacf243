/** Decides which times of a schedule are due, late or missed, and what happens when the previous firing is still in progress. */
import type { CatchUp, FiringCause } from '../../domain/vocabulary.ts';
import { isoTime } from '../../shared/duration.ts';
import type { CronTimes } from './cron.ts';
import type { FiringRecord, ScheduleRecord, ScheduleStore } from './schedules-table.ts';

/** A firing up to this late still counts as on time, ms: the machine was busy, or the gateway restarted. */
export const GRACE_MS = 60_000;
/** Most times caught up on, or counted as missed, at once. */
export const MAX_CATCH_UP = 100;
/** A clock set back by more than this, ms, was wrong before; after a smaller step, as in cron(8), the times in between have been done. */
export const MAX_STEP_BACK_MS = 3 * 3_600_000;
/** Most firings of one schedule that wait for the previous one. */
export const MAX_WAITING = 10;

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
  /** Latest of the times left out, and their count, at most {@link MAX_CATCH_UP}. */
  missed: { plannedAt: number; count: number } | undefined;
  cursor: number;
}

/** At most one time is on time; earlier ones are late, and `catchUp` decides about those. */
export function planFirings({ times, cursor, now, catchUp }: PlanInput): Plan {
  if (isFarAhead(cursor, now)) return { due: [], missed: undefined, cursor: now };
  const open = times.between(cursor, now, MAX_CATCH_UP);
  const latest = open.at(-1);
  if (latest === undefined) return { due: [], missed: undefined, cursor };
  const isOnTime = now - latest < GRACE_MS;
  const late = isOnTime ? open.slice(0, -1) : open;
  // With `once`, a firing on time makes up for those before it.
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

/** Whether the clock was wrong when `cursor` was set. */
export function isFarAhead(cursor: number, now: number): boolean {
  return cursor - now > MAX_STEP_BACK_MS;
}

interface EnterOptions {
  plannedAt: number;
  cause: FiringCause;
  now: number;
  /** Queue it whatever the overlap policy: one of several that are caught up on in turn. */
  inLine: boolean;
}

interface Entered {
  /** Undefined if this time was entered before. */
  firing: FiringRecord | undefined;
  /** Firings in progress, to be canceled. */
  replaced: FiringRecord[];
  /** Number of firings skipped because of this one, itself included. */
  skipped: number;
}

/** Applies the overlap policy to a firing that is due; inside a transaction. */
export function enterFiring(
  schedules: ScheduleStore['schedules'],
  schedule: ScheduleRecord,
  { plannedAt, cause, now, inLine }: EnterOptions,
): Entered {
  const open = schedules.openFirings(schedule.id);
  const entry = { scheduleId: schedule.id, plannedAt, cause, count: 1 };
  const wait = () => schedules.addFiring({ ...entry, state: 'waiting', endedAt: null, reason: null });
  const skip = (reason: string): Entered => {
    const firing = schedules.addFiring({ ...entry, state: 'skipped', endedAt: now, reason });
    return { firing, replaced: [], skipped: firing === undefined ? 0 : 1 };
  };
  const queue = (): Entered => ({ firing: wait(), replaced: [], skipped: 0 });
  const [oldest] = open;
  if (oldest === undefined || inLine) return queue();
  switch (schedule.overlap) {
    case 'skip':
      return skip(`the previous one (due ${isoTime(oldest.plannedAt)}) is still in progress`);
    case 'queue':
      return open.length > MAX_WAITING ? skip(`${MAX_WAITING} are waiting already`) : queue();
    case 'replace': {
      const firing = wait();
      if (firing === undefined) return { firing, replaced: [], skipped: 0 };
      const reason = `replaced by the one due ${isoTime(plannedAt)}`;
      const waiting = open.filter(({ state }) => state === 'waiting');
      for (const { seq } of waiting) schedules.changeFiring(seq, { state: 'skipped', endedAt: now, reason });
      return { firing, replaced: open.filter(({ state }) => state === 'started'), skipped: waiting.length };
    }
  }
}
