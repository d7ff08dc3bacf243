/**
 * Understands plain command lines without yargs, which takes longer to load than all else that `fleet run` does on this side.
 * yargs stays the authority: whatever is not plain (or wrong, or asks for help) is left to it, and a property test compares both.
 */
import type { AnyInvocation, OptionTable, Positional } from '../command.ts';
import type { Scan } from './scan-args.ts';

/** The invocation; undefined when yargs should look at it. */
export function quickArgs(
  scan: Scan,
  table: OptionTable,
  positionals: readonly Positional[],
): Omit<AnyInvocation, 'words'> | undefined {
  if (!scan.sound) return undefined;
  const options: Record<string, boolean | string | string[] | undefined> = {};
  for (const [name, { type }] of Object.entries(table)) {
    options[name] = type === 'boolean' ? false : type === 'list' ? [] : undefined;
  }
  for (const { name = '', value } of scan.options) {
    const option = table[name];
    if (option === undefined || name === 'help') return undefined;
    if (option.type === 'boolean') {
      options[name] = true;
      continue;
    }
    if (value === undefined || !isChoice(value, option.choices)) return undefined;
    const present = options[name];
    if (Array.isArray(present)) present.push(value);
    else options[name] = value;
  }
  const words = assignWords(scan.words, positionals);
  return words === undefined ? undefined : { options, positionals: words };
}

function assignWords(
  words: readonly string[],
  positionals: readonly Positional[],
): Record<string, string | string[] | undefined> | undefined {
  const values: Record<string, string | string[] | undefined> = {};
  let used = 0;
  for (const { name, optional, many, choices } of positionals) {
    const taken = many ? words.slice(used) : words.slice(used, used + 1);
    if (taken.length === 0 && !optional) return undefined;
    if (taken.some((word) => word.startsWith('-') || !isChoice(word, choices))) return undefined;
    values[name] = many ? taken : taken[0];
    used += taken.length;
  }
  return used === words.length ? values : undefined;
}

function isChoice(value: string, choices: readonly string[] | undefined): boolean {
  return choices === undefined || choices.includes(value);
}
