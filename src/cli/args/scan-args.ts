/** Splits arguments into options, their values and words, by the table of options. */
import { parseArgs } from 'node:util';
import type { OptionTable } from '../context/command.ts';

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
  const options = Object.entries(table).map(([name, { type, alias }]) => {
    const short = alias === undefined ? {} : { short: alias };
    return [name, { type: type === 'boolean' ? 'boolean' : 'string', multiple: true, ...short }] as const;
  });
  const { tokens } = parseArgs({ args, options: Object.fromEntries(options), strict: false, tokens: true });
  const scan: Scan = { options: [], words: [], rest: [], sound: true };
  for (const token of tokens) {
    if (token.kind === 'option-terminator') {
      if (args[token.index] === '--')
        return { ...scan, ...splitWords(args.slice(token.index + 1), scan.words, maxWords) };
      // parseArgs takes the second dash of `-q-` for the end of the options.
      scan.options.push({ name: undefined, typed: '--', value: undefined });
      const { options, words, rest } = scanArgs(args.slice(token.index + 1), table, wordsLeft(scan, maxWords));
      return { options: [...scan.options, ...options], words: [...scan.words, ...words], rest, sound: false };
    }
    if (token.kind === 'positional') {
      if (scan.words.length === maxWords) return { ...scan, rest: args.slice(token.index) };
      scan.words.push(token.value);
      continue;
    }
    const { rawName: typed, value: given, inlineValue } = token;
    const isLong = typed.startsWith('--');
    const name = Object.hasOwn(table, token.name) && (isLong || token.name.length > 1) ? token.name : undefined;
    const value = inlineValue && !isLong ? given?.replace(/^=/, '') : given;
    // An option in the place of a value is more likely a forgotten value; --name=-1 is explicit.
    if (value !== undefined && inlineValue === false && /^-./.test(value) && !table[name ?? '']?.dashed) {
      scan.options.push({ name, typed, value: undefined, refused: value });
      const { options, words, rest } = scanArgs(args.slice(token.index + 1), table, wordsLeft(scan, maxWords));
      return { options: [...scan.options, ...options], words: [...scan.words, ...words], rest, sound: false };
    }
    scan.options.push({ name, typed, value });
    scan.sound &&= name !== undefined && (value === undefined) === (table[name]?.type === 'boolean');
  }
  return scan;
}

function wordsLeft({ words }: Scan, maxWords: number | undefined): number | undefined {
  return maxWords === undefined ? undefined : maxWords - words.length;
}

/** What follows `--`. */
function splitWords(after: string[], before: readonly string[], maxWords = Infinity): Pick<Scan, 'words' | 'rest'> {
  const missing = maxWords - before.length;
  const rest = after.slice(missing);
  // `run -- node-1 -- ls`: the second `--` means the same as without the first.
  if (missing > 0 && rest[0] === '--') rest.shift();
  return { words: [...before, ...after.slice(0, missing)], rest };
}
