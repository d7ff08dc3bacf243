/**
 * Gives a program a text as its stdin, as the shell's `<` does: through a file, and not through a pipe, so that the program has all of
 * it even if this process is killed while the program reads.
 */
import { randomUUID } from 'node:crypto';
import { closeSync, openSync, unlinkSync, writeFileSync } from 'node:fs';
import { readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';

const SUFFIX = '.prompt';

/** A descriptor from which `text` can be read; the file has no name any more. The caller closes it. @throws the system's error. */
export function openPrompt(pathOf: (name: string) => string, text: string): number {
  const path = pathOf(`${randomUUID()}${SUFFIX}`);
  const writeFd = openSync(path, 'wx', 0o600);
  try {
    writeFileSync(writeFd, text);
    return openSync(path, 'r');
  } finally {
    closeSync(writeFd);
    unlinkSync(path);
  }
}

/** Removes what a process that was killed in the middle of {@link openPrompt} left. */
export async function removePrompts(folder: string): Promise<void> {
  for (const name of await readdir(folder)) if (name.endsWith(SUFFIX)) await unlink(join(folder, name));
}
