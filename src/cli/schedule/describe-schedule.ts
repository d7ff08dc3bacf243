/** Schedules and their times in words, as the commands of `fleet schedule` share them. */
import type { FiringView, ScheduledActionView, ScheduleView } from '../../protocol/schedule.ts';
import { FIRING_STATES } from '../../protocol/schedule-words.ts';
import { formatDuration, formatRelativeTime } from '../../shared/duration.ts';
import type { TableCell } from '../output/table.ts';
import type { TerminalStyle } from '../output/terminal-style.ts';

/** What it does, in one line: `run web-1: uptime`, `report html to fleet.html`. */
export function describeAction(action: ScheduledActionView): string {
  if (action.kind === 'report') return `report ${action.format} to ${action.out}`;
  const { target, command, agent } = action.request;
  const what = agent === undefined ? '' : ` ${agent}`;
  const where =
    'node' in target
      ? `run${what} ${target.node}`
      : 'any' in target
        ? `run${what} any of ${target.any}`
        : `broadcast ${target.selector}${target.exclude === undefined ? '' : ` without ${target.exclude}`}`;
  return `${where}: ${command.replace(/\s+/g, ' ')}`;
}

/** When it is due next: `in 3h`, `paused`, `never`. */
export function describeNext({ paused, nextAt }: ScheduleView, now: number): string {
  if (paused) return 'paused';
  return nextAt === null ? 'never' : formatRelativeTime(nextAt, now);
}

/** `succeeded 3h ago`; empty when it was never due. */
export function describeLast({ last }: ScheduleView, now: number, style: TerminalStyle): TableCell {
  if (last === null) return '';
  const text = `${last.state} ${formatRelativeTime(last.endedAt ?? last.firedAt ?? last.plannedAt, now)}`;
  return { text, paint: paintOf(last, style) };
}

export function paintOf({ state }: FiringView, style: TerminalStyle): (text: string) => string {
  return {
    waiting: style.dim,
    started: style.cyan,
    succeeded: style.green,
    failed: style.red,
    skipped: style.yellow,
    missed: style.yellow,
  }[state];
}

/** How long it took; empty while it goes on, and when it never began. */
export function describeDuration({ firedAt, endedAt }: FiringView): string {
  if (firedAt === null || endedAt === null) return '';
  return formatDuration(Math.max(0, Date.parse(endedAt) - Date.parse(firedAt)));
}

/** What a person should know of one of its times: `3 times, the gateway was down`. */
export function describeReason({ count, reason }: FiringView): string {
  return [...(count > 1 ? [`${count} times`] : []), ...(reason === null ? [] : [reason])].join(', ');
}

/** How many times ended how: `12 succeeded, 1 failed, 40 missed`. An entry may stand for many. */
export function describeOutcomes(firings: readonly FiringView[]): string {
  const counts = FIRING_STATES.map((state) => {
    const count = firings.reduce((sum, firing) => sum + (firing.state === state ? firing.count : 0), 0);
    return { state, count };
  });
  return counts.flatMap(({ state, count }) => (count === 0 ? [] : [`${count} ${state}`])).join(', ');
}
