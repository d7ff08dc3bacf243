/** Reads the values of options: counts, durations, K=V pairs, and text that must have arrived byte for byte. */
import { parseDuration } from '../../shared/duration.ts';
import { FleetError } from '../../shared/errors.ts';
import { describeBadByte, REPLACEMENT, trimPasted } from '../../shared/text.ts';
import type { World } from '../context/command.ts';

/** The members that have a value, for requests whose members are optional. */
export function given<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as ReturnType<
    typeof given<T>
  >;
}

/** A whole number of at least 1; undefined without a text. @throws FleetError `usage` naming the option. */
export function parseCount<T extends string | undefined>(text: T, option: string): Count<T> {
  if (text !== undefined && !/^[1-9]\d{0,8}$/.test(text)) {
    throw new FleetError('usage', `${option} must be a whole number of at least 1: ${text}`);
  }
  return (text === undefined ? undefined : Number(text)) as Count<T>;
}

type Count<T> = T extends string ? number : undefined;

/** Milliseconds, more than 0; undefined without a text. @throws FleetError `usage` naming the option. */
export function parsePositiveDuration<T extends string | undefined>(text: T, option: string): Count<T> {
  const ms = text === undefined ? undefined : parseDuration(text, option);
  if (ms !== undefined && ms <= 0) throw new FleetError('usage', `${option} must be greater than zero: ${text}`);
  return ms as Count<T>;
}

/** The time that `--since DURATION` means, ms since the epoch. @throws FleetError `usage`. */
export function parseSince(text: string | undefined, now: number): number | undefined {
  const ms = parsePositiveDuration(text, '--since');
  return ms === undefined ? undefined : Math.max(0, now - ms);
}

/** `K=V` options, such as labels; the last value of a key counts. @throws FleetError `usage`. */
export function parsePairs(texts: readonly string[], option: string): Record<string, string> {
  const pairs: Record<string, string> = {};
  for (const text of texts) {
    const equals = text.indexOf('=');
    if (equals < 1) {
      throw new FleetError('usage', `${option} must have the form K=V: ${JSON.stringify(text)}`, {
        hint: `For example: ${option} site=berlin`,
      });
    }
    pairs[trimPasted(text.slice(0, equals))] = trimPasted(text.slice(equals + 1));
  }
  return pairs;
}

const NUL = 0;

const HINT =
  "fleet sends text as UTF-8. Let the node's shell produce other bytes, for example: rm \"$(printf 'caf\\351')\"";

/** Checks the arguments and fleet's own variables. @throws FleetError `usage` naming the first that is not UTF-8. */
export function requireExactText(argv: readonly string[], world: Pick<World, 'env' | 'osBytes'>): void {
  for (const name of Object.keys(world.env)) if (name.startsWith('FLEET_')) exactVariable(name, world);
  if (!argv.some((arg) => arg.includes(REPLACEMENT))) return;
  // Preceded by Node.js, its options and the script; how many words that is depends on the launcher.
  const given = splitAtNul(world.osBytes('cmdline')).slice(-argv.length);
  for (const [index, arg] of argv.entries())
    if (arg.includes(REPLACEMENT)) requireExact(arg, given[index], `argument ${index + 1}`);
}

/** The value of a variable. @throws FleetError `usage` when it is not UTF-8. */
export function exactVariable(name: string, { env, osBytes }: Pick<World, 'env' | 'osBytes'>): string | undefined {
  const value = env[name];
  if (value === undefined || !value.includes(REPLACEMENT)) return value;
  const entry = splitAtNul(osBytes('environ')).find((bytes) => bytes.toString('latin1').startsWith(`${name}=`));
  requireExact(value, entry?.subarray(name.length + 1), `the variable ${name}`);
  return value;
}

/** A U+FFFD may be in the bytes themselves; where they cannot be read, it counts as a loss. */
function requireExact(text: string, bytes: Buffer | undefined, what: string): void {
  const fault = bytes === undefined ? undefined : describeBadByte(bytes);
  if (fault === undefined && bytes?.toString('utf8') === text) return;
  throw new FleetError('usage', fault === undefined ? `${what} is not UTF-8` : `${fault} of ${what}: not UTF-8`, {
    hint: HINT,
  });
}

function splitAtNul(bytes: Buffer | undefined): Buffer[] {
  const parts: Buffer[] = [];
  for (let start = 0; bytes !== undefined && start < bytes.length; ) {
    const end = bytes.indexOf(NUL, start);
    parts.push(bytes.subarray(start, end < 0 ? bytes.length : end));
    start = (end < 0 ? bytes.length : end) + 1;
  }
  return parts;
}
