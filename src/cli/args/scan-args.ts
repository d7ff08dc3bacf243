/** Splits arguments into options, their values and words, by the table of options. */
import type { Option, OptionTable } from '../context/command.ts';

interface ScannedOption {
  /** Full name; undefined if the table has no such option. */
  name: string | undefined;
  /** As typed, without its value. */
  typed: string;
  value: string | undefined;
  /** The word in the place of the value, not accepted because it begins with a dash. */
  refused?: string;
}

export interface Scan {
  options: ScannedOption[];
  words: string[];
  /** Everything after the last word, if there was a limit. */
  rest: string[];
  /** Whether every option is known, and has a value exactly if it takes one. */
  sound: boolean;
}

/**
 * With `maxWords`, options end after that many words, or at `--`, and the rest is left alone.
 * Understands `--name value`, `--name=value`, `-n value`, `-nvalue` and `-abc`, as getopt_long(3) does.
 */
export function scanArgs(args: readonly string[], table: OptionTable, maxWords?: number): Scan {
  const scan: Scan = { options: [], words: [], rest: [], sound: true };
  let index = 0;
  while (index < args.length) {
    const arg = args[index] ?? '';
    if (arg === '--') {
      takeAfterDashes(scan, args.slice(index + 1), maxWords);
      return scan;
    }
    if (!arg.startsWith('-') || arg === '-') {
      if (scan.words.length === maxWords) {
        scan.rest = args.slice(index);
        return scan;
      }
      scan.words.push(arg);
      index += 1;
      continue;
    }
    index += arg.startsWith('--') ? scanLong(scan, args, index, table) : scanShort(scan, args, index, table);
  }
  return scan;
}

function takeAfterDashes(scan: Scan, after: readonly string[], maxWords: number | undefined): void {
  if (maxWords === undefined) {
    scan.words.push(...after);
    return;
  }
  const missing = maxWords - scan.words.length;
  scan.words.push(...after.slice(0, missing));
  scan.rest = after.slice(missing);
  // `run -- node-1 -- ls`: the second `--` means the same as without the first.
  if (missing > 0 && scan.rest[0] === '--') scan.rest = scan.rest.slice(1);
}

/** The number of arguments that the option at `index` takes, including its value. */
function scanLong(scan: Scan, args: readonly string[], index: number, table: OptionTable): number {
  const arg = args[index] ?? '';
  const equals = arg.indexOf('=');
  const typed = equals < 0 ? arg : arg.slice(0, equals);
  const name = Object.hasOwn(table, typed.slice(2)) ? typed.slice(2) : undefined;
  const option = name === undefined ? undefined : table[name];
  if (equals >= 0) {
    const value = arg.slice(equals + 1);
    scan.sound &&= option !== undefined && option.type !== 'boolean';
    scan.options.push({ name, typed, value });
    return 1;
  }
  return takeValue(scan, args[index + 1], { name, typed, option });
}

function scanShort(scan: Scan, args: readonly string[], index: number, table: OptionTable): number {
  const letters = (args[index] ?? '').slice(1);
  for (let at = 0; at < letters.length; at += 1) {
    const letter = letters.charAt(at);
    const entry = Object.entries(table).find(([, option]) => option.alias === letter);
    const found = { name: entry?.[0], typed: `-${letter}`, option: entry?.[1] };
    const attached = letters.slice(at + 1);
    if (found.option === undefined || found.option.type === 'boolean') {
      scan.options.push({ name: found.name, typed: found.typed, value: undefined });
      scan.sound &&= found.option !== undefined;
      // What follows an unknown letter may be its value.
      if (found.option === undefined) return 1;
    } else if (attached !== '') {
      scan.options.push({ name: found.name, typed: found.typed, value: attached.replace(/^=/, '') });
      return 1;
    } else {
      return takeValue(scan, args[index + 1], found);
    }
  }
  return 1;
}

function takeValue(
  scan: Scan,
  next: string | undefined,
  { name, typed, option }: { name: string | undefined; typed: string; option: Option | undefined },
): number {
  if (option === undefined || option.type === 'boolean') {
    scan.options.push({ name, typed, value: undefined });
    scan.sound &&= option !== undefined;
    return 1;
  }
  // An option in the place of a value is more likely a forgotten value; --name=-1 is explicit.
  const refused = next !== undefined && !option.dashed && /^-./.test(next) ? next : undefined;
  const value = refused === undefined ? next : undefined;
  scan.options.push({ name, typed, value, ...(refused === undefined ? {} : { refused }) });
  scan.sound &&= value !== undefined;
  return value === undefined ? 1 : 2;
}
