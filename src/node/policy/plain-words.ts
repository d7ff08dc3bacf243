/**
 * Takes a command line apart only if no shell could read it in another way: then a list of words is what will be executed.
 *
 * Deciding about anything else would mean to parse a shell's language, and each shell has its own. So everything that means something
 * to sh, bash, zsh, fish or csh is no plain word: quotes, `$`, backticks, `;`, `&`, `|`, redirections, globs, braces, `~`, `#`, `!`,
 * line feeds, and all that is not ASCII. test/node/policy asks real shells whether they agree.
 */

/** Characters that no shell gives a meaning. */
const PLAIN = /^[A-Za-z0-9_./:,@%+=-]+$/;
/** `=ls` is the path of ls in zsh (EQUALS), `%1` a job or, in old versions of fish, a process. */
const EXPANDED_AT_THE_START = /^[=%]/;

/** The words; undefined when the line is more than plain words, or when there is none. */
export function splitPlainWords(line: string): readonly [string, ...string[]] | undefined {
  const [program, ...rest] = line.split(' ').filter((word) => word !== '');
  // With a `=`, it would set a variable for the program after it.
  if (program === undefined || program.includes('=')) return undefined;
  return [program, ...rest].every(isPlainWord) ? [program, ...rest] : undefined;
}

export function isPlainWord(word: string): boolean {
  return PLAIN.test(word) && !EXPANDED_AT_THE_START.test(word);
}
