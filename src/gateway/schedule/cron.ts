/** Times of a cron expression in a time zone: the one place that knows croner, which only computes here; the timer is ours. */
import { Cron } from 'croner';
import { FleetError } from '../../shared/errors.ts';
import { type Crontab, parseCrontab } from './crontab.ts';
import { assertTimeZone } from './time-zone.ts';

/** Times of one schedule, to the minute. All are ms since the epoch. */
export interface CronTimes {
  /** The first time after `at`; null when there is none for ever. */
  after(at: number): number | null;
  /** The latest `limit` times after `from` and up to `to`, in their order. */
  between(from: number, to: number, limit: number): number[];
}

/**
 * Reads crontab(5). Changes of the clock are taken as cron(8) takes them: a fixed time that does not exist on that day comes at once
 * after the gap, one that exists twice comes once, and what starts with `*` in its hours or minutes follows elapsed time.
 * @throws FleetError `usage` for what is no expression, no time zone, or never comes.
 */
export function parseCron(expression: string, timeZone: string): CronTimes {
  assertTimeZone(timeZone);
  let crontab: Crontab;
  try {
    crontab = parseCrontab(expression);
  } catch (error) {
    throw badCron(expression, error instanceof Error ? error.message : String(error));
  }
  const { minutes, hours, daysOfMonth, months, daysOfWeek, bothDays, isWild } = crontab;
  // Values only, so that nothing of croner's own dialect is left; it takes what has a step for wild.
  const minute = isWild ? minutes.map((value) => `${value}-${value}/1`) : minutes;
  const cron = new Cron([minute, hours, daysOfMonth, months, daysOfWeek].join(' '), {
    mode: '5-part',
    timezone: timeZone,
    fixedTimeRule: 'no-wildcard',
    domAndDow: bothDays,
    paused: true,
  });
  const after = (at: number): number | null => cron.nextRun(new Date(at))?.getTime() ?? null;
  const times: CronTimes = {
    after,
    between: (from, to, limit) => {
      const found: number[] = [];
      for (let at = after(from); at !== null && at <= to; at = after(at)) {
        if (found.length === limit) return latest(cron, to, limit);
        found.push(at);
      }
      return found;
    },
  };
  if (times.after(0) === null) throw badCron(expression, 'there is no such day');
  return times;
}

/** The latest `limit` times up to `to`: however long ago `from` was, looking back from the end takes no longer. */
function latest(cron: Cron, to: number, limit: number): number[] {
  // croner leaves out the second of the reference itself.
  const back = cron.previousRuns(limit + 1, new Date(to + 1_000)).map((date) => date.getTime());
  return back
    .filter((at) => at <= to)
    .slice(0, limit)
    .reverse();
}

function badCron(expression: string, why: string): FleetError {
  return new FleetError('usage', `${JSON.stringify(expression)} is no cron expression: ${why}`, {
    hint: "Write minute, hour, day, month and weekday, such as '0 7 * * 1-5', or @hourly, @daily, @weekly, @monthly.",
  });
}
