/** The life of one alert, as a pure function: what was, whether the rule holds, and the time give what is and what happened. */

/** An alert of one rule on one node that is not over. */
export interface ActiveAlert {
  state: 'pending' | 'firing';
  /** Since when the rule holds, ms. */
  since: number;
  /** Of a firing one: since when the rule does not hold any more, ms; null while it does. */
  clearSince: number | null;
}

/** `begun`: it is pending now. `dropped`: it was pending, and nobody was told. */
export type AlertHappening = 'begun' | 'fired' | 'resolved' | 'dropped';

export interface AlertTiming {
  /** So long the rule must hold, ms. */
  forMs: number;
  /** So long it must not hold before a firing alert ends, ms. */
  clearForMs: number;
}

export interface AlertStep {
  /** Null when there is no alert (any more). */
  after: ActiveAlert | null;
  /** In order; empty when nothing did. */
  happened: AlertHappening[];
}

/**
 * `holds` is null when nobody can know, as with the disk of a node that is away: what fires goes on firing, because nothing says
 * that it is over, and what is pending is dropped, because nothing says that it went on. A clock that was set back counts from now.
 */
export function stepAlert(
  before: ActiveAlert | null,
  holds: boolean | null,
  { forMs, clearForMs }: AlertTiming,
  now: number,
): AlertStep {
  if (before?.state === 'firing') {
    if (holds !== false) return { after: { ...before, clearSince: null }, happened: [] };
    const clearSince = Math.min(before.clearSince ?? now, now);
    if (now - clearSince >= clearForMs) return { after: null, happened: ['resolved'] };
    return { after: { ...before, clearSince }, happened: [] };
  }
  if (!holds) return { after: null, happened: before === null ? [] : ['dropped'] };
  const since = Math.min(before?.since ?? now, now);
  const happened: AlertHappening[] = before === null ? ['begun'] : [];
  if (now - since < forMs) return { after: { state: 'pending', since, clearSince: null }, happened };
  return { after: { state: 'firing', since, clearSince: null }, happened: [...happened, 'fired'] };
}
