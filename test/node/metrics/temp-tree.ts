/** A folder of files that stands for /proc or /sys. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';

/** Writes the files (path to content) below a new folder, which goes away with the test, and answers its path. */
export async function tempTree(
  t: TestContext,
  files: Record<string, string>,
  links: Record<string, string> = {},
): Promise<string> {
  const root = await mkdtemp(path.join(tmpdir(), 'fleet-metrics-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  for (const [file, content] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(root, file)), { recursive: true });
    await writeFile(path.join(root, file), content);
  }
  for (const [file, target] of Object.entries(links)) {
    await mkdir(path.dirname(path.join(root, file)), { recursive: true });
    await symlink(target, path.join(root, file));
  }
  return root;
}
