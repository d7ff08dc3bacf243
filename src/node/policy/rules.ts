/** How a policy matches the words, variables and folders of a run. */
import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { systemErrorCode } from '../../shared/errors.ts';

/** Characters without a meaning in any shell. */
const PLAIN_WORD = /^[A-Za-z0-9_./:,@%+=-]+$/;
/** `=ls` is the path of ls in zsh (EQUALS); `%1` is a job, or in old versions of fish a process. */
const EXPANDED_AT_START = /^[=%]/;
const ANY_WORDS = '**';

/**
 * Splits a command line that every shell reads the same way; undefined for any other.
 *
 * Anything else would require parsing a shell's language, and each shell has its own. So everything special to sh, bash, zsh, fish or csh is
 * rejected: quotes, `$`, backticks, `;`, `&`, `|`, redirections, globs, braces, `~`, `#`, `!`, line feeds, and non-ASCII characters.
 * test/node/policy compares this with real shells.
 */
export function splitPlainWords(line: string): readonly [string, ...string[]] | undefined {
  const [program, ...rest] = wordsOf(line);
  // `A=b program` sets a variable.
  if (program === undefined || program.includes('=')) return undefined;
  return [program, ...rest].every(isPlainWord) ? [program, ...rest] : undefined;
}

function isPlainWord(word: string): boolean {
  return PLAIN_WORD.test(word) && !EXPANDED_AT_START.test(word);
}

function wordsOf(text: string): string[] {
  return text.split(' ').filter((word) => word !== '');
}

/** What is wrong with a pattern; undefined for a valid one. */
export function patternFault(pattern: string): string | undefined {
  const [program = '', ...rest] = wordsOf(pattern);
  if (program === '') return 'is empty';
  if (program.includes('*')) return 'names no program: its first word contains *';
  if (program.includes('=')) return 'starts with a variable assignment';
  if (program.includes('/') && !program.startsWith('/')) {
    return 'names a program by a relative path: use an absolute path or just the name';
  }
  if (rest.slice(0, -1).includes(ANY_WORDS)) return 'has ** before its last word';
  const odd = [program, ...rest].find((word) => word !== ANY_WORDS && !isPlainWord(word.replaceAll('*', 'x')));
  if (odd === undefined) return undefined;
  return `has a word with characters special to a shell: ${odd}; to allow a command line verbatim, use exact`;
}

/**
 * Matches patterns such as `systemctl status *`, word by word.
 *
 * `*` stands for part of one word, but never for a `/` or `..`, and never for a leading `-`. So `cat /srv/*` does not allow
 * `/srv/../etc/shadow`, and `journalctl -u *` no further option. A final `**` stands for any further words.
 */
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
  const segments = word.split('/');
  return (
    wanted.length === segments.length && wanted.every((want, index) => matchesSegment(want, segments[index] ?? ''))
  );
}

function matchesSegment(pattern: string, segment: string): boolean {
  if (!pattern.includes('*')) return pattern === segment;
  return !segment.includes('..') && matchesGlob(pattern, segment);
}

/** Whether `*` in `pattern`, standing for any characters, makes it equal to `text`. Takes at most text × pattern steps. */
export function matchesGlob(pattern: string, text: string): boolean {
  let at = 0;
  let inPattern = 0;
  /** Position after the last star, and how far it reaches; only the last star ever needs to be extended. */
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

/**
 * Variables that make a shell, the dynamic loader, an interpreter or a common tool run code other than the command's. Never complete.
 * ld.so(8), bash(1) "Shell Variables", zshparam(1), environ(7), and the manuals of the tools.
 */
const LOADER_VARIABLES = `
  PATH LD_* DYLD_* GCONV_PATH NLSPATH LOCPATH MALLOC_* GLIBC_TUNABLES HOSTALIASES
  ENV BASH_ENV SHELLOPTS BASHOPTS PS4 PROMPT_COMMAND IFS CDPATH SHELL ZDOTDIR FPATH
  HOME XDG_* TMPDIR TERMINFO TERMINFO_DIRS TERMCAP FISH_* fish_*
  PYTHON* PERL* RUBY* GEM_* BUNDLE_* NODE_* npm_* NPM_* LUA_* PHPRC PHP_*
  JAVA_* JDK_* _JAVA_OPTIONS CLASSPATH DOTNET_* CORECLR_* COR_* TCLLIBPATH R_* JULIA_*
  GIT_* SSH_* GPG_* DOCKER_* KUBECONFIG ANSIBLE_* OPENSSL_* SSL_* CURL_* WGETRC
  PAGER *_PAGER LESS* MANPAGER EDITOR VISUAL BROWSER SUDO_* MAKEFLAGS MAKEFILES CC
  SYSTEMD_* DBUS_* TAR_OPTIONS RSYNC_* VIMINIT EXINIT GTK_* QT_* G_* GIO_*
`
  .trim()
  .split(/\s+/);

export function isLoaderVariable(name: string): boolean {
  return LOADER_VARIABLES.some((pattern) => matchesGlob(pattern, name));
}

/**
 * Whether the gateway may set `name`. A `*` never matches a loader variable; those must be listed by their full names.
 * Without a list, all others are allowed.
 */
export function mayBeSet(name: string, allowed: readonly string[] | undefined): boolean {
  if (allowed?.includes(name)) return true;
  if (isLoaderVariable(name)) return false;
  return allowed === undefined || allowed.some((pattern) => matchesGlob(pattern, name));
}

/**
 * Why `folder`, an absolute path, is not in one of `allowed`; undefined if it is. Symbolic links and `..` are resolved on both sides; an
 * allowed folder that does not exist allows nothing.
 */
export async function folderFault(folder: string, allowed: readonly string[]): Promise<string | undefined> {
  let real: string;
  try {
    real = await realpath(folder);
  } catch (error) {
    return `cannot resolve the folder (${systemErrorCode(error) ?? 'unknown'})`;
  }
  for (const root of allowed) {
    const realRoot = await realpath(root).catch(() => undefined);
    if (realRoot !== undefined && isWithin(real, realRoot)) return undefined;
  }
  return 'the folder is not in an allowed one';
}

function isWithin(folder: string, root: string): boolean {
  const way = path.relative(root, folder);
  return way === '' || (way !== '..' && !way.startsWith(`..${path.sep}`) && !path.isAbsolute(way));
}
