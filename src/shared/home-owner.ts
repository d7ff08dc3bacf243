/** Which user's a home is, and what the system refuses in one, in words that say what to do. */
import { readdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import path from 'node:path';
import { FleetError, systemErrorCode, toFleetError } from './errors.ts';
import { shellQuote } from './pasted.ts';

/** What makes a folder a home. */
const HOME_ENTRIES: ReadonlySet<string> = new Set(['gateway', 'nodes', 'person', 'config.yaml']);

/** @throws FleetError `home_foreign` when the folder is there and another user's. */
export function assertOwnHome(home: string): void {
  const stats = statSync(home, { throwIfNoEntry: false });
  if (stats !== undefined) assertOwner(home, stats);
}

/** @throws FleetError `home_foreign` */
export function assertOwner(target: string, { uid }: Pick<Stats, 'uid'>): void {
  const ownUid = process.geteuid?.();
  if (ownUid === undefined || uid === ownUid) return;
  const [owner, own] = [userName(uid), userName(ownUid)];
  throw new FleetError('home_foreign', `${target} belongs to ${owner}, and this runs as ${own}`, {
    hint: mayBeChanged(target)
      ? `Run it as ${owner}, choose another --home, or take it over: sudo chown -R ${ownUid} ${shellQuote(target)}`
      : `Run it as ${owner}, or choose another folder with --home.`,
  });
}

/**
 * Whether a command that changes the owner or the mode of `target` may be suggested: for a file, an empty folder and a part of a home,
 * not for such as `/`, `/tmp` or the folder of a user behind a mistyped --home.
 */
export function mayBeChanged(target: string): boolean {
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

/** The lines of passwd(5), in their fields. */
function users(): string[][] {
  try {
    return readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .map((line) => line.split(':'));
  } catch {
    // Such as a macOS without it, or a container.
    return [];
  }
}

/** What the system refused in the home, in words that say what to do; any other error unchanged. */
export function explainHomeFault(error: unknown, home: string): FleetError {
  const failure = toFleetError(error);
  const cause = systemCauseOf(error);
  if (cause === undefined || !`${cause.path}/`.startsWith(`${home}/`)) return failure;
  try {
    if (['EACCES', 'EPERM'].includes(cause.code)) assertOwnHome(home);
  } catch (foreign) {
    if (foreign instanceof FleetError) return foreign;
    // It lies in a folder that we may not even look into.
  }
  if (failure.code !== 'internal' && failure.hint !== undefined) return failure;
  const [code, message] =
    failure.code === 'internal'
      ? (['storage_failed', `the home ${home} cannot be used: ${cause.message}`] as const)
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
