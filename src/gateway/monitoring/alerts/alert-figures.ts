/** Counts of alerts for graphs: every rule has its zeroes, so that a graph shows the time before and after. */
import type { AlertState, Severity } from '../../../protocol/alert-views.ts';
import type { AlertRow } from './alerts-table.ts';
import { silencedUntil } from './silences.ts';
import type { SilenceRow } from './silences-table.ts';

/** `silenced`: it fires, and nobody is told. */
const STATES = ['pending', 'firing', 'silenced'] as const;
type CountedState = (typeof STATES)[number];

export interface AlertFigures {
  /** In the order of the rules; those of rules that are gone come last. */
  alerts: { rule: string; severity: Severity; state: CountedState; count: number }[];
  /** For each receiver. */
  waiting: { receiver: string; count: number }[];
}

/** `active`: alerts that are not over. */
export function countAlerts(
  rules: readonly { name: string; severity: Severity }[],
  active: readonly AlertRow[],
  silences: readonly SilenceRow[],
): AlertFigures['alerts'] {
  const counts = new Map<string, AlertFigures['alerts'][number]>();
  const add = (rule: string, severity: Severity, state: CountedState, more: number): void => {
    const key = `${rule} ${severity} ${state}`;
    const entry = counts.get(key) ?? { rule, severity, state, count: 0 };
    entry.count += more;
    counts.set(key, entry);
  };
  for (const { name, severity } of rules) for (const state of STATES) add(name, severity, state, 0);
  for (const row of active) {
    const state = countedState(row.state, silencedUntil(silences, row) !== null);
    if (state !== null) add(row.rule, row.severity, state, 1);
  }
  return [...counts.values()];
}

function countedState(state: AlertState, isSilenced: boolean): CountedState | null {
  if (state === 'resolved') return null;
  return state === 'firing' && isSilenced ? 'silenced' : state;
}
