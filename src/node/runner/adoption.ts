/** Finds the process of a run that a former shim has started, or perhaps started, before it was killed. */

import { runCgroupOf } from '../process/cgroup.ts';
import type { ProcessTable } from '../process/process-table.ts';
import type { OutputPast, StartedCommand } from '../shim/messages.ts';
import type { JournalRow } from './journal-row.ts';

/** What is left of a run that no shim knows any more. */
export interface Inheritance {
  past: OutputPast;
  /** The shim was killed: what it had read, and not yet written, is lost, and nobody knows how much that was. */
  outputInDoubt: boolean;
}

/** Undefined if it cannot be told whether there is, or was, such a process. */
export function findCommand(
  row: JournalRow,
  processes: ProcessTable,
  pipePath: (name: string) => string,
): StartedCommand | undefined {
  // Without the proof that it is still the same process, a pid is but a number that may be a stranger's by now.
  if (row.pid !== null && row.identity !== null) {
    return { pid: row.pid, identity: row.identity, cgroup: row.place?.cgroup };
  }
  if (row.place === null) return undefined;
  // Killed just when the command had been spawned, or was about to be. Only the command holds its pipes.
  const found = processes.findHolder(pipePath(row.place.pipes.stdout));
  return found && { pid: found.pid, identity: found.identity, cgroup: runCgroupOf(found.pid) };
}
