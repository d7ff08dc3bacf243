/** Times of a cron expression in a time zone. croner only computes them; the timer is the scheduler's. */
import { realpathSync } from 'node:fs';
import { Cron } from 'croner';
import { FleetError } from '../../shared/errors.ts';

/** All times are ms since the epoch, on full minutes. */
export interface CronTimes {
  /** The first time after `at`; null if there is none. */
  after(at: number): number | null;
  /** The latest `limit` times after `from` and up to `to`, in order. */
  between(from: number, to: number, limit: number): number[];
}

/**
 * Parses crontab(5). Clock changes work as in cron(8): a fixed time that does not exist on that day fires right after the gap, one that
 * exists twice fires once, and expressions whose hours or minutes start with `*` follow elapsed time.
 * @throws FleetError `usage` for an invalid expression or time zone, and for times that never come.
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
  // Plain values, to avoid croner's own dialect; it treats ranges with a step as wildcards.
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
  if (times.after(0) === null) throw badCron(expression, 'that day does not exist');
  return times;
}

/** The latest `limit` times up to `to`, searched backwards, so that a long gap takes no longer. */
function latest(cron: Cron, to: number, limit: number): number[] {
  // croner excludes the second of the reference itself.
  const back = cron.previousRuns(limit + 1, new Date(to + 1_000)).map((date) => date.getTime());
  return back
    .filter((at) => at <= to)
    .slice(0, limit)
    .reverse();
}

function badCron(expression: string, why: string): FleetError {
  return new FleetError('usage', `${JSON.stringify(expression)} is not a valid cron expression: ${why}`, {
    hint: "Write minute, hour, day, month and weekday, such as '0 7 * * 1-5', or @hourly, @daily, @weekly, @monthly.",
  });
}

/** POSIX.1-2024, 8.3, without a rule for daylight saving: `UTC-3`, `<+0330>-3:30`. It counts the hours west of Greenwich. */
const POSIX_OFFSET = /^(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)(?<sign>[+-]?)(?<hours>\d{1,2})(?::(?<minutes>\d{2}))?$/;
const POSIX_RULE = /^(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)[+-]?\d/;
const ZONEINFO = /^.*\/zoneinfo\/(?:posix\/)?/;

/**
 * The time zone of this process for a value of TZ, read as in tzset(3). A value with neither a name nor an offset is returned as it is;
 * {@link assertTimeZone} rejects it when it is used.
 */
export function localTimeZone(tz: string | undefined): string {
  if (tz === undefined) return systemTimeZone();
  const text = tz.replace(/^:/, '');
  if (text === '') return 'UTC';
  if (text.startsWith('/')) return zoneOfFile(text) ?? text;
  if (isTimeZone(text)) return text;
  const { sign = '', hours = '', minutes = '00' } = POSIX_OFFSET.exec(text)?.groups ?? {};
  const offset = `${sign === '-' ? '+' : '-'}${hours.padStart(2, '0')}:${minutes}`;
  if (hours !== '' && isTimeZone(offset)) return offset;
  const withoutFolder = text.replace(/^posix\//, '');
  return isTimeZone(withoutFolder) ? withoutFolder : text;
}

/** @throws FleetError `usage`. */
export function assertTimeZone(timeZone: string): void {
  if (isTimeZone(timeZone)) return;
  const hint = 'Set --tz, for example to Europe/Berlin, UTC or +03:00. The default is the TZ of the gateway.';
  if (POSIX_RULE.test(timeZone)) {
    const problem = `${timeZone} is a POSIX TZ rule, not the name of a time zone`;
    throw new FleetError('usage', problem, { hint: `${hint} POSIX signs are inverted: its UTC-3 is +03:00.` });
  }
  throw new FleetError('usage', `there is no time zone ${timeZone}`, { hint });
}

/** Without TZ and /etc/localtime, glibc uses UTC; POSIX leaves it open. */
function systemTimeZone(): string {
  const known: string | undefined = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return known !== undefined && isTimeZone(known) ? known : (zoneOfFile('/etc/localtime') ?? 'UTC');
}

function zoneOfFile(path: string): string | undefined {
  try {
    const name = realpathSync(path).replace(ZONEINFO, '');
    return isTimeZone(name) ? name : undefined;
  } catch {
    // No such file.
    return undefined;
  }
}

function isTimeZone(timeZone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone });
    return true;
  } catch {
    // RangeError: an unknown name.
    return false;
  }
}

// crontab(5) as in cronie and Vixie cron: five fields or a nickname, without the extensions of other programs.

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

const FIELDS = [
  { name: 'minute', low: 0, high: 59, names: [] },
  { name: 'hour', low: 0, high: 23, names: [] },
  { name: 'day of month', low: 1, high: 31, names: [] },
  { name: 'month', low: 1, high: 12, names: MONTHS },
  // 7 is Sunday too.
  { name: 'day of week', low: 0, high: 7, names: DAYS },
] as const;
type Field = (typeof FIELDS)[number];

const NICKNAMES: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};

/** Extensions of other programs. */
const FOREIGN: readonly [pattern: RegExp, why: string][] = [
  [/\?/, '? comes from Quartz; write *'],
  [/#/, '# (the nth weekday of a month) comes from Quartz'],
  [/(^|[\d,-])LW?($|,)|\dL/i, 'L (the last day) comes from Quartz'],
  [/\dW|(^|,)W($|,)/i, 'W (the nearest weekday) comes from Quartz'],
  [/(^|,)H\b/i, 'H (a value by hash) comes from Jenkins'],
  [/~/, '~ (a random value) differs each time it is read'],
  [/\+/, '+ comes from other programs'],
];

interface Crontab {
  /** In ascending order, like all fields. */
  minutes: number[];
  hours: number[];
  daysOfMonth: number[];
  months: number[];
  /** 0 to 6, Sunday is 0. */
  daysOfWeek: number[];
  /** Whether a day must match both day fields rather than either: true if one of them starts with `*`. */
  bothDays: boolean;
  /** Whether it follows elapsed time across clock changes: its minute or hour starts with `*`. */
  isWild: boolean;
}

/** @throws Error naming what is not in crontab(5). */
function parseCrontab(expression: string): Crontab {
  const text = expression.trim();
  if (text.startsWith('@')) return parseFields(resolveNickname(text));
  return parseFields(text);
}

function resolveNickname(text: string): string {
  if (text === '@reboot') throw new Error('@reboot is not a time');
  const fields = Object.hasOwn(NICKNAMES, text) ? NICKNAMES[text] : undefined;
  if (fields === undefined) throw new Error(`there are only ${Object.keys(NICKNAMES).join(', ')}`);
  return fields;
}

function parseFields(text: string): Crontab {
  const fields = text === '' ? [] : text.split(/[ \t]+/);
  if (fields.length !== FIELDS.length) {
    const more = fields.length > FIELDS.length ? '; there are no seconds, years or users' : '';
    throw new Error(`it has ${fields.length} fields instead of 5${more}`);
  }
  const values = FIELDS.map((field, index) => parseField(field, fields[index] ?? ''));
  const [minutes = [], hours = [], daysOfMonth = [], months = [], daysOfWeek = []] = values;
  const [minute = '', hour = '', dayOfMonth = '', , dayOfWeek = ''] = fields;
  return {
    minutes,
    hours,
    daysOfMonth,
    months,
    daysOfWeek: [...new Set(daysOfWeek.map((day) => day % 7))].sort((a, b) => a - b),
    bothDays: dayOfMonth.startsWith('*') || dayOfWeek.startsWith('*'),
    isWild: minute.startsWith('*') || hour.startsWith('*'),
  };
}

function parseField(field: Field, text: string): number[] {
  const foreign = FOREIGN.find(([pattern]) => pattern.test(text));
  if (foreign !== undefined) throw new Error(`${foreign[1]} (not in crontab(5))`);
  const values = new Set(text.split(',').flatMap((part) => parseRange(field, part)));
  return [...values].sort((a, b) => a - b);
}

/** A star or a range, optionally with a step; or a value. */
function parseRange(field: Field, text: string): number[] {
  const { first, last, step } =
    /^(?:\*|(?<first>[a-z0-9]+)(?:-(?<last>[a-z0-9]+))?)(?:\/(?<step>\d{1,4}))?$/i.exec(text)?.groups ?? {};
  if (first === undefined && !/^\*(?:\/\d{1,4})?$/.test(text))
    throw new Error(`${quoted(text)} is not a valid ${field.name}`);
  if (first !== undefined && last === undefined && step !== undefined) {
    throw new Error(`a step needs a range: write ${first}-${field.name === 'day of week' ? 6 : field.high}/${step}`);
  }
  const low = first === undefined ? field.low : numberOf(field, first);
  const high = first === undefined ? field.high : last === undefined ? low : numberOf(field, last);
  const by = step === undefined ? 1 : Number(step);
  if (by === 0) throw new Error(`the step of ${quoted(text)} is 0`);
  if (low > high)
    throw new Error(`the range ${quoted(text)} runs backwards${field.names === DAYS ? '; Sunday is 7 too' : ''}`);
  return Array.from({ length: Math.floor((high - low) / by) + 1 }, (_, index) => low + index * by);
}

function numberOf({ name, low, high, names }: Field, text: string): number {
  const index = names.indexOf(text.toLowerCase() as never);
  const value = /^\d+$/.test(text) ? Number(text) : index < 0 ? Number.NaN : index + (name === 'month' ? 1 : 0);
  if (Number.isNaN(value)) throw new Error(`${quoted(text)} is not a valid ${name}`);
  if (value < low || value > high) throw new Error(`${name} ${text} is not between ${low} and ${high}`);
  return value;
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
