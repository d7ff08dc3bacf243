/** Where scheduled reports may be written, and writing them atomically. */
import { lstat, mkdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import { writeAtomically } from '../../shared/write-file.ts';

export interface ReportPlaces {
  /** Absolute; contains the keys and the database. */
  home: string;
  /** HOME/reports. */
  reports: string;
}

/**
 * Resolves `out`, relative to HOME/reports, to an absolute path. The rest of the home is off limits.
 * @throws FleetError `usage`.
 */
export function resolveReportPath(out: string, places: ReportPlaces): string {
  const refuse = (why: string, hint: string): FleetError => new FleetError('usage', `--out ${out}: ${why}`, { hint });
  if (/\p{Cc}/u.test(out)) throw refuse('the path contains control characters', 'Use a plain path.');
  if (out.endsWith('/') || ['.', '..'].includes(path.basename(out))) {
    throw refuse('that is a folder', 'Give the path of a file, such as fleet.html.');
  }
  const file = path.resolve(places.reports, out);
  if (!path.isAbsolute(out) && !isBelow(file, places.reports)) {
    throw refuse(`that is outside ${places.reports}`, 'Use an absolute path for a file elsewhere.');
  }
  if (isBelow(file, places.home) && !isBelow(file, places.reports)) {
    throw refuse("that is among the gateway's own files", `Use a path below ${places.reports}, or outside the home.`);
  }
  return file;
}

/** Replaces the file atomically; creates folders only below HOME/reports. @throws FleetError `storage_failed`, `usage`. */
export async function writeReportFile(out: string, text: string, places: ReportPlaces): Promise<string> {
  const file = resolveReportPath(out, places);
  try {
    if (isBelow(file, places.reports)) await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
    // A symbolic link must not lead to the keys.
    const real = { folder: await realpath(path.dirname(file)), home: await realpath(places.home) };
    const target = path.join(real.folder, path.basename(file));
    resolveReportPath(target, {
      home: real.home,
      reports: path.join(real.home, path.relative(places.home, places.reports)),
    });
    // A rename would replace a device by a regular file.
    const present = await lstat(target).catch(noneIfMissing);
    if (present !== undefined && !present.isFile()) {
      throw new FleetError('storage_failed', `cannot write ${file}: it exists and is not a regular file`);
    }
  } catch (error) {
    if (error instanceof FleetError) throw error;
    throw new FleetError('storage_failed', `cannot write ${file}: ${systemErrorCode(error) ?? String(error)}`, {
      hint: 'Check that its folder exists and that the gateway may write to it.',
      cause: error,
    });
  }
  await writeAtomically(file, Readable.from([text]));
  return file;
}

function noneIfMissing(error: unknown): undefined {
  if (systemErrorCode(error) !== 'ENOENT') throw error;
}

function isBelow(file: string, folder: string): boolean {
  const relative = path.relative(folder, file);
  return relative !== '' && relative !== '..' && !relative.startsWith(`..${path.sep}`) && !path.isAbsolute(relative);
}
