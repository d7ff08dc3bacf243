/** A folder that goes away with its test, after everything that the test has put into it was closed. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';

const cleanups = new WeakMap<TestContext, (() => unknown)[]>();

/** Undoes things after the test in the reverse order; `t.after` keeps the order. */
export function cleanUp(t: TestContext, action: () => unknown): void {
  const known = cleanups.get(t);
  if (known !== undefined) return void known.push(action);
  const actions = [action];
  cleanups.set(t, actions);
  t.after(async () => {
    for (const next of actions.reverse()) await next();
  });
}

export function tempFolder(t: TestContext): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'fleet-'));
  cleanUp(t, () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
