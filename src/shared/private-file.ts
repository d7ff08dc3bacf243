/** Files and folders that only their owner may read: keys, tokens, databases. Looser ones are refused, never silently fixed. */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { FleetError, systemErrorCode } from './errors.ts';
import { assertOwner, mayBeChanged } from './home-owner.ts';
import { shellQuote } from './pasted.ts';

const OTHERS_MASK = 0o077;

/** Makes the folder (and its parents) with mode 0700. @throws FleetError `home_insecure` when it exists and others may enter it. */
export function ensurePrivateFolder(folder: string): void {
  try {
    makeFolder(folder);
  } catch (error) {
    throw new FleetError('storage_failed', `cannot make the folder ${folder}: ${systemErrorCode(error) ?? error}`, {
      hint: 'Check that the path is a folder and writable, or choose another with --home.',
      cause: error,
    });
  }
  assertPrivate(folder, '700', mayBeChanged(folder));
}

/** mkdirSync of Node.js with `recursive` never returns where a folder is there and takes no folders, such as /proc. */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    const code = systemErrorCode(error);
    const parent = path.dirname(folder);
    if (code === 'ENOENT' && parent !== folder && !isFolder(parent)) {
      makeFolder(parent);
      mkdirSync(folder, { mode: 0o700 });
    } else if (!isFolder(folder)) throw error;
  }
}

function isFolder(target: string): boolean {
  return statSync(target, { throwIfNoEntry: false })?.isDirectory() === true;
}

/**
 * Looks at everything in the folder and below it, but for sockets, which are made anew at each start, and FIFOs, which keep nothing
 * and must be open to the users as whom commands run.
 * @throws FleetError `home_insecure` naming the first file that group or others have any right on.
 */
export function assertPrivateContents(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const target = path.join(folder, entry.name);
    if (entry.isSocket() || entry.isFIFO() || entry.isSymbolicLink()) continue;
    try {
      assertPrivate(target, entry.isDirectory() ? '700' : '600');
      if (entry.isDirectory()) assertPrivateContents(target);
    } catch (error) {
      // Somebody cleans up beside us.
      if (systemErrorCode(error) !== 'ENOENT') throw error;
    }
  }
}

/** Makes an empty file with mode 0600, for libraries that would make it with the mode that the umask gives; one that is there stays. */
export function createPrivateFile(file: string): void {
  try {
    closeSync(openSync(file, 'wx', 0o600));
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') throw error;
  }
}

/** @throws FleetError `home_insecure` when group or others have any right on `target`, `home_foreign` when it is another user's. */
export function assertPrivate(target: string, wantedMode: '600' | '700', suggestsChmod = true): void {
  const stats = statSync(target);
  assertOwner(target, stats);
  const mode = stats.mode & 0o777;
  if ((mode & OTHERS_MASK) !== 0) {
    throw new FleetError(
      'home_insecure',
      `${target} is open to other users (mode ${mode.toString(8).padStart(3, '0')})`,
      {
        hint: suggestsChmod
          ? `Run: chmod ${wantedMode} ${shellQuote(target)}`
          : 'It holds other things than those of fleet: choose a folder for fleet alone with --home.',
      },
    );
  }
}

/** The text of a private file, or undefined when there is none. @throws FleetError `home_insecure`, `storage_failed`. */
export function readPrivateFile(file: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw new FleetError('storage_failed', `cannot read ${file}: ${systemErrorCode(error) ?? error}`, { cause: error });
  }
  assertPrivate(file, '600');
  return text;
}

/** Replaces a file as a whole: a crash leaves the old or the new text, never half of it. Mode 0600. @throws FleetError `storage_failed`. */
export function writePrivateFile(file: string, text: string): void {
  write(file, text, (temporary) => renameSync(temporary, file));
}

/** The same for a file that nobody has written yet: false, and nothing has changed, when another process was first. */
export function writeNewPrivateFile(file: string, text: string): boolean {
  let isNew = true;
  write(file, text, (temporary) => {
    isNew = moveUnlessThere(temporary, file);
  });
  return isNew;
}

/** `place` gives the whole file on the disk its name. */
function write(file: string, text: string, place: (temporary: string) => void): void {
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${randomBytes(6).toString('hex')}`);
  try {
    const descriptor = openSync(temporary, 'wx', 0o600);
    try {
      // Not writeSync: when the disk fills up, that writes a part and says so only in its result.
      writeFileSync(descriptor, text);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    place(temporary);
    syncFolder(path.dirname(file));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new FleetError('storage_failed', `cannot write ${file}: ${systemErrorCode(error) ?? error}`, {
      hint: 'Check the free space and the rights of the folder.',
      cause: error,
    });
  }
}

/** link(2) is the one that does not replace what is there. */
function moveUnlessThere(temporary: string, file: string): boolean {
  try {
    linkSync(temporary, file);
  } catch (error) {
    const code = systemErrorCode(error) ?? '';
    if (!['EEXIST', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(code)) throw error;
    // A file system that has no hard links: there the later of two who come at once wins.
    if (code !== 'EEXIST') renameSync(temporary, file);
    else rmSync(temporary);
    return code !== 'EEXIST';
  }
  rmSync(temporary);
  return true;
}

/** Makes a rename in the folder durable (fsync(2), "Notes"). */
export function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
