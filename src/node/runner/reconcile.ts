/** What a process finds of the runs of its predecessor, and how it puts that right. */
import { appendFile } from 'node:fs/promises';
import { encodeFrame, FRAME_TYPE } from '../../protocol/frames.ts';
import { total } from '../shim/messages.ts';
import type { Journal } from './journal.ts';
import type { JournalRow } from './journal-row.ts';
import { LiveRun, type LiveRunContext } from './live-run.ts';
import type { Inheritance } from './run-command.ts';
import { type RecoveredLog, recoverLog } from './run-log.ts';

/** Makes journal, logs and pipes agree with each other, and with the shim, after whatever ended the former process. The runs to go on with. */
export async function reconcile(context: LiveRunContext): Promise<LiveRun[]> {
  const { journal, fifos, shim, logPath } = context;
  const unfinished = journal.unfinished();
  const inUse = unfinished.map(({ row: { place } }) => place?.pipes);
  const names = inUse.flatMap((pipes) => [pipes?.stdout, pipes?.stderr, pipes?.stdin]);
  await fifos.start(new Set(names.filter((name) => typeof name === 'string')));
  for (const row of journal.unacknowledged()) {
    if (row.phase === 'ended') await completeLog(row, logPath(row.run), journal);
  }
  const runs: LiveRun[] = [];
  for (const { row, spec } of unfinished) {
    const gone = !shim.knows(row.run) && mayBeStarted(row, shim.shim);
    const inheritance = gone ? inherit(row, await recoverLog(logPath(row.run))) : undefined;
    runs.push(new LiveRun(spec, context, { row, inheritance }));
  }
  const known = new Set(unfinished.map(({ row }) => row.run));
  for (const run of shim.unclaimed) if (!known.has(run)) shim.forget(run);
  return runs;
}

/** Of a run that the present shim does not know. */
function mayBeStarted({ phase, place }: JournalRow, shim: string): boolean {
  // Had an order to start it been carried out by this shim, this shim would know it.
  return phase === 'started' || (phase === 'starting' && place?.shim !== shim);
}

/**
 * Gives the log of an ended run the end frame that the predecessor had no time to write. After a power cut output may be missing, too;
 * the outcome then still says how much there was.
 */
async function completeLog(row: JournalRow, path: string, journal: Journal): Promise<void> {
  if (row.outcome === null || !row.hasLog) return;
  const log = await recoverLog(path);
  const frame = encodeFrame(FRAME_TYPE.end, Buffer.from(JSON.stringify(row.outcome)));
  if (!log.ended) await appendFile(path, frame);
  const logBytes = log.ended ? log.bytes : log.bytes + frame.length;
  if (logBytes !== row.logBytes) journal.setLogBytes(row.run, logBytes);
}

/**
 * What is known of a run that has not ended. How much was written is known since the last orderly close, or since the journal was last
 * told; after a kill nobody knows how much more was read and not yet kept, so it is the least that there was.
 */
function inherit(row: JournalRow, log: RecoveredLog): Inheritance {
  const known = row.counters ?? { stdoutBytes: 0, stderrBytes: 0 };
  const written = {
    stdoutBytes: Math.max(log.stdoutBytes + log.gaps.stdoutBytes, known.stdoutBytes),
    stderrBytes: Math.max(log.stderrBytes + log.gaps.stderrBytes, known.stderrBytes),
  };
  const kept = { stdoutBytes: log.stdoutBytes, stderrBytes: log.stderrBytes };
  // Only an orderly close leaves counters that reach as far as the log does.
  const closed = row.counters !== null && total(known) >= total(kept) + total(log.gaps);
  return {
    past: { logBytes: log.bytes, written, kept, told: log.gaps },
    outputInDoubt: row.phase !== 'accepted' && !closed,
  };
}
