/** `*` in texts of a policy. Linear in memory and at worst text × pattern in time, whatever the gateway sends. */
import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { systemErrorCode } from '../../shared/errors.ts';

/** Whether `*` in `pattern` can stand for pieces of `text`, of any characters and any length, so that both are equal. */
export function matchesGlob(pattern: string, text: string): boolean {
  let at = 0;
  let inPattern = 0;
  /** Behind the last star seen, and how far it reaches so far: only the last star ever has to be tried longer. */
  let star: { next: number; reached: number } | undefined;
  while (at < text.length) {
    if (pattern[inPattern] === '*') {
      inPattern += 1;
      star = { next: inPattern, reached: at };
    } else if (pattern[inPattern] === text[at]) {
      inPattern += 1;
      at += 1;
    } else if (star !== undefined) {
      star.reached += 1;
      at = star.reached;
      inPattern = star.next;
    } else {
      return false;
    }
  }
  while (pattern[inPattern] === '*') inPattern += 1;
  return inPattern === pattern.length;
}

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

function isPlainWord(word: string): boolean {
  return PLAIN.test(word) && !EXPANDED_AT_THE_START.test(word);
}

/**
 * Patterns over the words of a command, such as `systemctl status *`: one word of the pattern for one of the command.
 *
 * `*` stands for a part of one word, and for less than one might think: never for a `/`, never for a `..`, and at the beginning of a
 * word never for a `-`. So `cat /srv/*` is no way to `/srv/../etc/shadow`, and `journalctl -u *` none to another option. Only `**`,
 * as the last word, stands for all words that may follow.
 */
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

/**
 * Variables that make a shell, the dynamic loader, an interpreter or a common tool run other code than the command names.
 * ld.so(8), bash(1) "Shell Variables", zshparam(1), environ(7), and the manuals of the tools.
 */
const LOADER_VARIABLES = [
  ...['PATH', 'LD_*', 'DYLD_*', 'GCONV_PATH', 'NLSPATH', 'LOCPATH', 'MALLOC_*', 'GLIBC_TUNABLES', 'HOSTALIASES'],
  ...[
    'ENV',
    'BASH_ENV',
    'SHELLOPTS',
    'BASHOPTS',
    'PS4',
    'PROMPT_COMMAND',
    'IFS',
    'CDPATH',
    'SHELL',
    'ZDOTDIR',
    'FPATH',
  ],
  ...['HOME', 'XDG_*', 'TMPDIR', 'TERMINFO', 'TERMINFO_DIRS', 'TERMCAP', 'FISH_*', 'fish_*'],
  ...['PYTHON*', 'PERL*', 'RUBY*', 'GEM_*', 'BUNDLE_*', 'NODE_*', 'npm_*', 'NPM_*', 'LUA_*', 'PHPRC', 'PHP_*'],
  ...[
    'JAVA_*',
    'JDK_*',
    '_JAVA_OPTIONS',
    'CLASSPATH',
    'DOTNET_*',
    'CORECLR_*',
    'COR_*',
    'TCLLIBPATH',
    'R_*',
    'JULIA_*',
  ],
  ...['GIT_*', 'SSH_*', 'GPG_*', 'DOCKER_*', 'KUBECONFIG', 'ANSIBLE_*', 'OPENSSL_*', 'SSL_*', 'CURL_*', 'WGETRC'],
  ...['PAGER', '*_PAGER', 'LESS*', 'MANPAGER', 'EDITOR', 'VISUAL', 'BROWSER', 'SUDO_*', 'MAKEFLAGS', 'MAKEFILES', 'CC'],
  ...['SYSTEMD_*', 'DBUS_*', 'TAR_OPTIONS', 'RSYNC_*', 'VIMINIT', 'EXINIT', 'GTK_*', 'QT_*', 'G_*', 'GIO_*'],
];

/** Whether a variable of that name can make another program run than the one that is named. Incomplete, as each such list is. */
export function isLoaderVariable(name: string): boolean {
  return LOADER_VARIABLES.some((pattern) => matchesGlob(pattern, name));
}

/**
 * Whether the rule lets the gateway set `name`. A `*` in the rule never means a loader variable: one that is needed is written out.
 * Without a rule (undefined) everything else may be set.
 */
export function mayBeSet(name: string, allowed: readonly string[] | undefined): boolean {
  if (allowed?.includes(name)) return true;
  if (isLoaderVariable(name)) return false;
  return allowed === undefined || allowed.some((pattern) => matchesGlob(pattern, name));
}

/**
 * Why `folder`, an absolute path, is not one of `allowed` or below one; undefined if it is. Symbolic links and `..` are followed
 * first, on both sides; an allowed folder that does not exist allows nothing.
 */
export async function folderFault(folder: string, allowed: readonly string[]): Promise<string | undefined> {
  let real: string;
  try {
    real = await realpath(folder);
  } catch (error) {
    return `the folder cannot be looked at (${systemErrorCode(error) ?? 'unknown'})`;
  }
  for (const root of allowed) if (isWithin(real, await realOrNothing(root))) return undefined;
  return 'the folder is not one of those that are allowed';
}

function isWithin(folder: string, root: string | undefined): boolean {
  if (root === undefined) return false;
  const way = path.relative(root, folder);
  return way === '' || (way !== '..' && !way.startsWith(`..${path.sep}`) && !path.isAbsolute(way));
}

async function realOrNothing(folder: string): Promise<string | undefined> {
  try {
    return await realpath(folder);
  } catch {
    // It is not there now; it may be later.
    return undefined;
  }
}
