/**
 * Decides what to do with a run whose node is online. This is what makes a run happen at most once: the store records that the node *may*
 * have the run before the first hand-over, and from then on the node's journal decides.
 */
import { isOver, isUnbegun } from './run-facts.ts';
import type { RunRecord } from './runs-table.ts';

export interface RunEnd {
  state: 'canceled' | 'expired' | 'unknown';
  reason: string | null;
}

export type HandOver =
  /** Nothing is left to do. */
  | { step: 'none' }
  /** The node has the run: read its log. */
  | { step: 'follow' }
  /** Record that the node may have the run, then send it. */
  | { step: 'record' }
  /** Send it, possibly again. */
  | { step: 'send' }
  /** Ask the node whether it has the run: send it again if so, and end it otherwise. */
  | { step: 'ask'; otherwise: RunEnd }
  | { step: 'end'; end: RunEnd };

interface HandOverSession {
  /** The node's journal; another one than at the first hand-over cannot say what became of the run. */
  journal: string | undefined;
  /** Whether a hand-over may have been sent, by this process or an earlier one. */
  sent: boolean;
}

export const EXPIRED = 'expired: not delivered in time';

export function decideHandOver(run: RunRecord, { journal, sent }: HandOverSession, now: number): HandOver {
  if (isOver(run)) return { step: 'none' };
  const isSameJournal = journal !== undefined && run.journal === journal;
  const lostJournal = (what: string): HandOver => {
    return { step: 'end', end: { state: 'unknown', reason: `node_lost_journal: the node cannot say ${what}` } };
  };
  if (run.state !== 'queued') return isSameJournal ? { step: 'follow' } : lostJournal('what became of it');
  if (sent && !isSameJournal) return lostJournal('whether it ran');
  const end = endBeforeStart(run, now);
  if (end !== undefined) return sent ? { step: 'ask', otherwise: end } : { step: 'end', end };
  // A submission whose turn had come recorded the hand-over in its own transaction.
  return sent || (isSameJournal && !isUnbegun(run)) ? { step: 'send' } : { step: 'record' };
}

/** How a run ends that must not start any more. Expiry is checked here too: timers stand still while the gateway's machine sleeps. */
function endBeforeStart({ cancelReason, expiresAt }: RunRecord, now: number): RunEnd | undefined {
  if (cancelReason !== null) return { state: 'canceled', reason: cancelReason };
  return expiresAt !== null && expiresAt <= now ? { state: 'expired', reason: EXPIRED } : undefined;
}
