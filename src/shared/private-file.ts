/** Files and folders that only their owner may read: keys, tokens, databases. Looser ones are refused, never silently fixed. */
import { closeSync, mkdirSync, openSync, readdirSync, type Stats, statSync } from 'node:fs';
import path from 'node:path';
import { FleetError, systemErrorCode, toFleetError } from './errors.ts';
import { readIfExists, readOrEmpty } from './read-file.ts';
import { shellQuote } from './text.ts';

const OTHERS_MASK = 0o077;
/** A folder with one of these is a home. */
const HOME_ENTRIES: ReadonlySet<string> = new Set(['gateway', 'nodes', 'person', 'config.yaml']);

/** Makes the folder and its parents with mode 0700. @throws FleetError `home_insecure` when it exists and others may enter it. */
export function ensurePrivateFolder(folder: string): void {
  try {
    makeFolder(folder);
  } catch (error) {
    throw new FleetError('storage_failed', `cannot make the folder ${folder}: ${systemErrorCode(error) ?? error}`, {
      hint: 'Check that the path is a writable folder, or choose another with --home.',
      cause: error,
    });
  }
  assertPrivate(folder, '700', mayBeChanged(folder));
}

/** Recursive mkdirSync never returns in a folder that exists but takes no folders, such as /proc. */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    const parent = path.dirname(folder);
    if (systemErrorCode(error) === 'ENOENT' && parent !== folder && !isFolder(parent)) {
      makeFolder(parent);
      mkdirSync(folder, { mode: 0o700 });
    } else if (!isFolder(folder)) throw error;
  }
}

function isFolder(target: string): boolean {
  return statSync(target, { throwIfNoEntry: false })?.isDirectory() === true;
}

/**
 * Checks everything below the folder, except sockets, which each start replaces, and FIFOs, which store nothing and must be open to the
 * users that commands run as.
 * @throws FleetError `home_insecure` naming the first file that group or others may access.
 */
export function assertPrivateContents(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const target = path.join(folder, entry.name);
    if (entry.isSocket() || entry.isFIFO() || entry.isSymbolicLink()) continue;
    try {
      assertPrivate(target, entry.isDirectory() ? '700' : '600');
      if (entry.isDirectory()) assertPrivateContents(target);
    } catch (error) {
      // Deleted meanwhile.
      if (systemErrorCode(error) !== 'ENOENT') throw error;
    }
  }
}

/** Makes an empty file with mode 0600 for libraries that would use the umask; an existing file is kept. */
export function createPrivateFile(file: string): void {
  try {
    closeSync(openSync(file, 'wx', 0o600));
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') throw error;
  }
}

/** @throws FleetError `home_insecure` when group or others may access `target`, `home_foreign` when another user owns it. */
function assertPrivate(target: string, wantedMode: '600' | '700', suggestsChmod = true): void {
  const stats = statSync(target);
  assertOwner(target, stats);
  const mode = stats.mode & 0o777;
  if ((mode & OTHERS_MASK) === 0) return;
  const octal = mode.toString(8).padStart(3, '0');
  throw new FleetError('home_insecure', `${target} is open to other users (mode ${octal})`, {
    hint: suggestsChmod
      ? `Run: chmod ${wantedMode} ${shellQuote(target)}`
      : 'It contains files that do not belong to fleet: choose a folder for fleet alone with --home.',
  });
}

/** The text of a private file, or undefined when there is none. @throws FleetError `home_insecure`, `storage_failed`. */
export function readPrivateFile(file: string): string | undefined {
  const text = readIfExists(file);
  if (text !== undefined) assertPrivate(file, '600');
  return text;
}

/** @throws FleetError `home_foreign` when the folder exists and belongs to another user. */
export function assertOwnHome(home: string): void {
  const stats = statSync(home, { throwIfNoEntry: false });
  if (stats !== undefined) assertOwner(home, stats);
}

export function assertOwner(target: string, { uid }: Pick<Stats, 'uid'>): void {
  const ownUid = process.geteuid?.();
  if (ownUid === undefined || uid === ownUid) return;
  const [owner, own] = [userName(uid), userName(ownUid)];
  throw new FleetError('home_foreign', `${target} belongs to ${owner}, but fleet runs as ${own}`, {
    hint: mayBeChanged(target)
      ? `Run it as ${owner}, choose another --home, or take it over: sudo chown -R ${ownUid} ${shellQuote(target)}`
      : `Run it as ${owner}, or choose another folder with --home.`,
  });
}

/**
 * Whether to suggest changing the owner or mode of `target`: for a file, an empty folder and a part of a home, but not for `/`, `/tmp` or
 * a user's folder behind a mistyped --home.
 */
function mayBeChanged(target: string): boolean {
  const full = path.resolve(target);
  if (!statSync(full).isDirectory() || full.split(path.sep).some((name) => HOME_ENTRIES.has(name))) return true;
  try {
    const names = readdirSync(full);
    return names.length === 0 || names.some((name) => HOME_ENTRIES.has(name));
  } catch (error) {
    if (systemErrorCode(error) !== 'EACCES') throw error;
    // Closed to us, as a home is.
    return path.dirname(full) !== path.parse(full).root && !users().some(([, , , , , folder]) => folder === full);
  }
}

function userName(uid: number): string {
  return users().find((user) => user[2] === String(uid))?.[0] ?? `user ${uid}`;
}

/** passwd(5) as rows of fields; empty without that file, as in some containers. */
function users(): string[][] {
  const lines = readOrEmpty('/etc/passwd').split('\n');
  return lines.map((line) => line.split(':'));
}

/** Explains what the system refused in the home; any other error passes as {@link toFleetError}. */
export function explainHomeFault(error: unknown, home: string): FleetError {
  const failure = toFleetError(error);
  const cause = systemCauseOf(error);
  if (cause === undefined || !`${cause.path}/`.startsWith(`${home}/`)) return failure;
  try {
    if (['EACCES', 'EPERM'].includes(cause.code)) assertOwnHome(home);
  } catch (foreign) {
    // Anything else: it lies in a folder that we may not even search.
    if (foreign instanceof FleetError) return foreign;
  }
  if (failure.code !== 'internal' && failure.hint !== undefined) return failure;
  const [code, message] =
    failure.code === 'internal'
      ? (['storage_failed', `cannot use the home ${home}: ${cause.message}`] as const)
      : ([failure.code, failure.message] as const);
  return new FleetError(code, message, { cause: error, hint: 'Repair it, or choose another folder with --home.' });
}

function systemCauseOf(error: unknown): { code: string; path: string; message: string } | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code, path, message } = at as NodeJS.ErrnoException;
    if (typeof code === 'string' && typeof path === 'string' && /^E[A-Z]+$/.test(code)) return { code, path, message };
  }
  return undefined;
}
