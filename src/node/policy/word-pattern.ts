/**
 * Patterns over the words of a command, such as `systemctl status *`: one word of the pattern for one of the command.
 *
 * `*` stands for a part of one word, and for less than one might think: never for a `/`, never for a `..`, and at the beginning of a
 * word never for a `-`. So `cat /srv/*` is no way to `/srv/../etc/shadow`, and `journalctl -u *` none to another option. Only `**`,
 * as the last word, stands for all words that may follow.
 */
import { matchesGlob } from './glob.ts';
import { isPlainWord } from './plain-words.ts';

const ANY_WORDS = '**';

/** Why it cannot be a pattern; undefined for one. */
export function patternFault(pattern: string): string | undefined {
  const [program = '', ...rest] = wordsOf(pattern);
  if (program === '') return 'is empty';
  if (program.includes('*')) return 'names no program: its first word has a *';
  if (program.includes('=')) return 'begins with the assignment of a variable';
  if (program.includes('/') && !program.startsWith('/')) {
    return 'has a program that depends on the folder: give its absolute path, or its name alone';
  }
  const early = rest.slice(0, -1).includes(ANY_WORDS);
  if (early) return 'has ** before its last word';
  const odd = [program, ...rest].find((word) => word !== ANY_WORDS && !isPlainWord(word.replaceAll('*', 'x')));
  if (odd !== undefined) {
    return `has a word with characters that a shell may read: ${odd}; to allow one command line as it is written, use exact`;
  }
  return undefined;
}

/** Whether a command of these words is what the pattern means. */
export function matchesPattern(pattern: string, words: readonly string[]): boolean {
  const wanted = wordsOf(pattern);
  const isOpen = wanted.at(-1) === ANY_WORDS;
  if (isOpen) wanted.pop();
  if (isOpen ? words.length < wanted.length : words.length !== wanted.length) return false;
  return wanted.every((want, index) => matchesWord(want, words[index] ?? ''));
}

function matchesWord(pattern: string, word: string): boolean {
  if (!pattern.includes('*')) return pattern === word;
  if (pattern.startsWith('*') && word.startsWith('-')) return false;
  const wanted = pattern.split('/');
  const parts = word.split('/');
  return parts.length === wanted.length && wanted.every((want, index) => matchesPart(want, parts[index] ?? ''));
}

/** Of a path, or a whole word without a slash. */
function matchesPart(pattern: string, part: string): boolean {
  if (!pattern.includes('*')) return pattern === part;
  return !part.includes('..') && matchesGlob(pattern, part);
}

function wordsOf(pattern: string): string[] {
  return pattern.split(' ').filter((word) => word !== '');
}
