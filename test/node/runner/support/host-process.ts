/** Other processes with a runner, for tests that kill them, and what such a kill at another moment would have left. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import Database from 'better-sqlite3';
import type { RunSpec } from '../../../../src/protocol/run-spec.ts';
import { cleanUp, isAlive, until } from './harness.ts';

/** Starts a process with a runner, `through` another program, and resolves when it has accepted all specs. */
export async function startHost(
  t: TestContext,
  folder: string,
  specs: RunSpec[],
  through: readonly string[] = [],
): Promise<{ host: ChildProcess; lines: string[] }> {
  const script = join(import.meta.dirname, 'host.ts');
  const args = [...through, process.execPath, script, folder, ...specs.map((spec) => JSON.stringify(spec))];
  const host = spawn(args[0] ?? '', args.slice(1), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  cleanUp(t, () => host.kill('SIGKILL'));
  const lines: string[] = [];
  createInterface({ input: host.stdout }).on('line', (line) => lines.push(line));
  await until(() => lines.some((line) => line.includes('active') || line.includes('code')), 'the host');
  return { host, lines };
}

/** Kills the host and the process that runs its commands: nothing is left but the commands. */
export async function killWithShim({ host, lines }: { host: ChildProcess; lines: string[] }): Promise<void> {
  const pid = lines.map((line) => JSON.parse(line) as { shim?: number }).find(({ shim }) => shim !== undefined)?.shim;
  await kill(host, 'SIGKILL');
  process.kill(pid ?? 0, 'SIGKILL');
  await until(async () => !(await isAlive(pid ?? 0)), 'the end of the shim');
}

export async function kill(host: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const exited = once(host, 'exit');
  host.kill(signal);
  await exited;
}

export const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Changes the journal as a process that was killed at another moment would have left it. */
export function edit(folder: string, sql: string): void {
  const database = new Database(join(folder, 'runs.db'));
  database.exec(sql);
  database.close();
}
