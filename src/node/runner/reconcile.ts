/** What a process finds of the runs of its predecessor, and how it puts that right. */
import { appendFile } from 'node:fs/promises';
import { encodeFrame, FRAME_TYPE } from '../../protocol/frames.ts';
import { total } from '../shim/stream-bytes.ts';
import type { Inheritance } from './adoption.ts';
import type { Journal } from './journal.ts';
import type { JournalRow } from './journal-row.ts';
import { type RecoveredLog, recoverLog } from './log-recovery.ts';

/**
 * Gives the log of an ended run the end frame that the predecessor had no time to write. After a power cut output may be missing, too;
 * the outcome then still says how much there was.
 */
export async function completeLog(row: JournalRow, path: string, journal: Journal): Promise<void> {
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
export function inherit(row: JournalRow, log: RecoveredLog): Inheritance {
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
