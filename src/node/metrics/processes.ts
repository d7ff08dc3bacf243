/** The node's processes for one who asks: never two readings at once, and none anew for two seconds, so that asking costs little. */
import os from 'node:os';
import { MAX_PROCESS_NAME_LENGTH, type ProcessesQuery, type ProcessFigures } from '../../protocol/processes.ts';
import type { Clock } from '../../shared/clock.ts';
import { FleetError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { readLinuxProcesses } from './linux-processes.ts';
import { mostUsing } from './most-using.ts';
import { Probe } from './probe.ts';
import { readSystemProcesses } from './systeminformation-source.ts';

/** How long a reading stands, ms. */
const MAX_AGE_MS = 2_000;
/** Less than the gateway waits for an answer, ms. */
const DEADLINE_MS = 10_000;

export interface ProcessesDependencies {
  clock: Clock;
  logger: Logger;
  /** Where they come from; this system's own by default. */
  read?: () => Promise<ProcessFigures[]>;
}

/** The largest first. @throws FleetError `timeout` when they could not be read. */
export type ReadProcesses = (query: ProcessesQuery) => Promise<ProcessFigures[]>;

export function createReadProcesses({
  clock,
  logger,
  read = defaultRead(clock),
}: ProcessesDependencies): ReadProcesses {
  const probe = new Probe({ name: 'processes', read, maxAgeMs: MAX_AGE_MS, clock, logger });
  return async ({ limit, sort }) => {
    const processes = await probe.get(DEADLINE_MS);
    if (processes === null) {
      throw new FleetError('timeout', 'the machine does not tell its processes', {
        hint: "Why, the node's log says at the level debug. Or look with: fleet run NODE ps aux",
      });
    }
    return mostUsing(processes, sort, limit).map((each) => ({
      ...each,
      command: each.command.slice(0, MAX_PROCESS_NAME_LENGTH),
    }));
  };
}

function defaultRead(clock: Clock): () => Promise<ProcessFigures[]> {
  if (process.platform !== 'linux') return readSystemProcesses;
  return () => readLinuxProcesses({ clock, memTotalBytes: os.totalmem() });
}
