/** Which user's a home is, and what the system refuses in one, in words that say what to do. */
import { readFileSync, type Stats, statSync } from 'node:fs';
import { FleetError, toFleetError } from './errors.ts';

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
    hint: `Run it as ${owner}, choose another --home, or take it over: sudo chown -R ${ownUid} ${target}`,
  });
}

function userName(uid: number): string {
  try {
    const line = readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .find((entry) => entry.split(':')[2] === String(uid));
    if (line !== undefined) return line.split(':')[0] ?? String(uid);
  } catch {
    // Such as a macOS without it, or a container.
  }
  return `user ${uid}`;
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
