/** Which time zone a schedule means: a name of the IANA database, or a fixed offset such as `+03:00`. */
import { realpathSync } from 'node:fs';
import { FleetError } from '../../shared/errors.ts';

/** POSIX.1-2024, 8.3, without a rule for daylight saving: `UTC-3`, `<+0330>-3:30`. It counts the hours west of Greenwich. */
const POSIX_OFFSET = /^(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)(?<sign>[+-]?)(?<hours>\d{1,2})(?::(?<minutes>\d{2}))?$/;
const POSIX_RULE = /^(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)[+-]?\d/;
const ZONEINFO = /^.*\/zoneinfo\/(?:posix\/)?/;

/**
 * The time zone of this process, for a value of TZ as tzset(3) reads it. One that has neither a name nor an offset comes back as it is,
 * for {@link assertTimeZone} to refuse when it is needed.
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
  const hint = 'Name one with --tz: Europe/Berlin, UTC or +03:00, say. Without --tz, the TZ of the gateway counts.';
  if (POSIX_RULE.test(timeZone)) {
    const problem = `${timeZone} is a rule as in POSIX's TZ and not the name of a time zone`;
    throw new FleetError('usage', problem, { hint: `${hint} POSIX counts the other way round: its UTC-3 is +03:00.` });
  }
  throw new FleetError('usage', `there is no time zone ${timeZone}`, { hint });
}

/** POSIX leaves open what holds without TZ and /etc/localtime; glibc takes UTC. */
function systemTimeZone(): string {
  const known: string | undefined = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return known !== undefined && isTimeZone(known) ? known : (zoneOfFile('/etc/localtime') ?? 'UTC');
}

function zoneOfFile(path: string): string | undefined {
  try {
    const name = realpathSync(path).replace(ZONEINFO, '');
    return isTimeZone(name) ? name : undefined;
  } catch {
    // There is no such file, so it names no time zone.
    return undefined;
  }
}

function isTimeZone(timeZone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone });
    return true;
  } catch {
    // A RangeError is the only answer to an unknown name.
    return false;
  }
}
