/** Where a scheduled report may be written, and the writing: whoever reads the file sees the old report or the new one. */
import { lstat, mkdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import { writeAtomically } from '../../shared/write-file.ts';

export interface ReportPlaces {
  /** Absolute; keys and the database lie here. */
  home: string;
  /** HOME/reports. */
  reports: string;
}

/**
 * The absolute path that `out` means: itself, or below HOME/reports. Nothing else in the home can be meant.
 * @throws FleetError `usage`.
 */
export function resolveReportPath(out: string, places: ReportPlaces): string {
  const refuse = (why: string, hint: string): FleetError => new FleetError('usage', `--out ${out}: ${why}`, { hint });
  if (/\p{Cc}/u.test(out)) throw refuse('a path without control characters is needed', 'Write a plain path.');
  if (out.endsWith('/') || ['.', '..'].includes(path.basename(out))) {
    throw refuse('that is a folder', 'Write the path of a file, such as fleet.html.');
  }
  const file = path.resolve(places.reports, out);
  if (!path.isAbsolute(out) && !isBelow(file, places.reports)) {
    throw refuse(`that leads out of ${places.reports}`, 'Write an absolute path for a file elsewhere.');
  }
  if (isBelow(file, places.home) && !isBelow(file, places.reports)) {
    throw refuse(
      "that is among the gateway's own files",
      `Take a path below ${places.reports}, or outside of the home.`,
    );
  }
  return file;
}

/** Replaces the file as a whole; makes folders below HOME/reports, and no others. @throws FleetError `storage_failed`, `usage`. */
export async function writeReportFile(out: string, text: string, places: ReportPlaces): Promise<string> {
  const file = resolveReportPath(out, places);
  try {
    if (isBelow(file, places.reports)) await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
    // A link on the way must not lead to the keys.
    const real = { folder: await realpath(path.dirname(file)), home: await realpath(places.home) };
    const target = path.join(real.folder, path.basename(file));
    resolveReportPath(target, {
      home: real.home,
      reports: path.join(real.home, path.relative(places.home, places.reports)),
    });
    // A rename would put a plain file in the place of a device.
    const present = await lstat(target).catch(noneIfMissing);
    if (present !== undefined && !present.isFile()) {
      throw new FleetError('storage_failed', `cannot write ${file}: what is there is no plain file`);
    }
  } catch (error) {
    if (error instanceof FleetError) throw error;
    throw new FleetError('storage_failed', `cannot write ${file}: ${systemErrorCode(error) ?? String(error)}`, {
      hint: 'Check that its folder is there, and that the gateway may write to it.',
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
