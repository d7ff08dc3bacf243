/** The overlap policies: whether a time that has come is to be done while the one before still goes on. To be called inside a write. */
import type { FiringCause } from '../../protocol/schedule-words.ts';
import type { FiringRecord, ScheduleRecord, ScheduleStore } from './schedules-table.ts';

/** Most times of one schedule that wait for the one before; more would only grow. */
export const MAX_WAITING = 10;

export interface EnterOptions {
  plannedAt: number;
  cause: FiringCause;
  now: number;
  /** Wait in any case: one of several that are made up for, one after the other. */
  inLine: boolean;
}

export interface Entered {
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
      return skip(`the one of ${new Date(oldest.plannedAt).toISOString()} still goes on`);
    case 'queue':
      return open.length > MAX_WAITING ? skip(`${MAX_WAITING} wait already`) : queue();
    case 'replace': {
      const firing = wait();
      if (firing === undefined) return { firing, replaced: [], skipped: 0 };
      const reason = `replaced by the one of ${new Date(plannedAt).toISOString()}`;
      const waiting = open.filter(({ state }) => state === 'waiting');
      for (const { seq } of waiting) schedules.changeFiring(seq, { state: 'skipped', endedAt: now, reason });
      return { firing, replaced: open.filter(({ state }) => state === 'started'), skipped: waiting.length };
    }
  }
}
