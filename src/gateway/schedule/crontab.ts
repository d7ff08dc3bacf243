/** crontab(5) as cronie and Vixie cron read it: five fields or a nickname, and nothing that other programs have added. */

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

const FIELDS = [
  { name: 'minute', low: 0, high: 59, names: [] },
  { name: 'hour', low: 0, high: 23, names: [] },
  { name: 'day of month', low: 1, high: 31, names: [] },
  { name: 'month', low: 1, high: 12, names: MONTHS },
  // 7 is Sunday, too.
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

/** Extensions of other programs, and what to write instead. */
const FOREIGN: readonly [pattern: RegExp, why: string][] = [
  [/\?/, '? comes from Quartz; write *'],
  [/#/, '# (the nth weekday of a month) comes from Quartz'],
  [/(^|[\d,-])LW?($|,)|\dL/i, 'L (the last day) comes from Quartz'],
  [/\dW|(^|,)W($|,)/i, 'W (the nearest weekday) comes from Quartz'],
  [/(^|,)H\b/i, 'H (a value by hash) comes from Jenkins'],
  [/~/, '~ (a random value) differs each time it is read'],
  [/\+/, '+ comes from other programs'],
];

export interface Crontab {
  /** Values, in their order. */
  minutes: number[];
  hours: number[];
  daysOfMonth: number[];
  months: number[];
  /** 0 to 6, Sunday is 0. */
  daysOfWeek: number[];
  /** Whether a day has to match both fields; else either is enough. So it is when one of them starts with `*`. */
  bothDays: boolean;
  /** Whether it follows elapsed time when the clock changes: its minute or its hour starts with `*`. */
  isWild: boolean;
}

/** @throws Error that says what is not in crontab(5). */
export function parseCrontab(expression: string): Crontab {
  const text = expression.trim();
  if (text.startsWith('@')) return parseFields(resolveNickname(text));
  return parseFields(text);
}

function resolveNickname(text: string): string {
  if (text === '@reboot') throw new Error('@reboot is no time');
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

/** A star or a range, each with a step or without; or a value. */
function parseRange(field: Field, text: string): number[] {
  const { first, last, step } =
    /^(?:\*|(?<first>[a-z0-9]+)(?:-(?<last>[a-z0-9]+))?)(?:\/(?<step>\d{1,4}))?$/i.exec(text)?.groups ?? {};
  if (first === undefined && !/^\*(?:\/\d{1,4})?$/.test(text)) throw new Error(`${quoted(text)} is no ${field.name}`);
  if (first !== undefined && last === undefined && step !== undefined) {
    throw new Error(`a step needs a range: write ${first}-${field.name === 'day of week' ? 6 : field.high}/${step}`);
  }
  const low = first === undefined ? field.low : numberOf(field, first);
  const high = first === undefined ? field.high : last === undefined ? low : numberOf(field, last);
  const by = step === undefined ? 1 : Number(step);
  if (by === 0) throw new Error(`the step of ${quoted(text)} is 0`);
  if (low > high)
    throw new Error(`the range ${quoted(text)} runs backwards${field.names === DAYS ? '; Sunday is 7, too' : ''}`);
  return Array.from({ length: Math.floor((high - low) / by) + 1 }, (_, index) => low + index * by);
}

function numberOf({ name, low, high, names }: Field, text: string): number {
  const index = names.indexOf(text.toLowerCase() as never);
  const value = /^\d+$/.test(text) ? Number(text) : index < 0 ? Number.NaN : index + (name === 'month' ? 1 : 0);
  if (Number.isNaN(value)) throw new Error(`${quoted(text)} is no ${name}`);
  if (value < low || value > high) throw new Error(`${name} ${text} is not between ${low} and ${high}`);
  return value;
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
