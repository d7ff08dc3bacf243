/** Picks the processes that use the most. */
import type { ProcessFigures, ProcessSort } from '../../protocol/processes.ts';

/** At most `limit`, the largest first; equal ones by the other figure and then by pid, so that the order stays. */
export function mostUsing(processes: readonly ProcessFigures[], sort: ProcessSort, limit: number): ProcessFigures[] {
  const byCpu = (a: ProcessFigures, b: ProcessFigures): number => b.cpuPct - a.cpuPct;
  const byMem = (a: ProcessFigures, b: ProcessFigures): number => b.rssBytes - a.rssBytes;
  const [first, second] = sort === 'cpu' ? [byCpu, byMem] : [byMem, byCpu];
  return [...processes].sort((a, b) => first(a, b) || second(a, b) || a.pid - b.pid).slice(0, limit);
}
