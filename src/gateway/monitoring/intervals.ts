/** Spans of time, such as those in which a node had a session. All times are ms since the epoch. */

/** Half open: includes `from` but not `to`. */
export interface Interval {
  from: number;
  to: number;
}

/** The intervals clipped to the window and sorted, with overlapping and adjacent ones merged. */
export function mergeWithin(intervals: Iterable<Interval>, window: Interval): Interval[] {
  const clipped = [...intervals]
    .map(({ from, to }) => ({ from: Math.max(from, window.from), to: Math.min(to, window.to) }))
    .filter(({ from, to }) => from < to)
    .sort((a, b) => a.from - b.from);
  const merged: Interval[] = [];
  for (const interval of clipped) {
    const last = merged.at(-1);
    if (last !== undefined && interval.from <= last.to) last.to = Math.max(last.to, interval.to);
    else merged.push(interval);
  }
  return merged;
}

/** What merged, sorted intervals leave of the window uncovered. */
export function gapsWithin(merged: readonly Interval[], window: Interval): Interval[] {
  const gaps: Interval[] = [];
  let end = window.from;
  for (const { from, to } of merged) {
    if (from > end) gaps.push({ from: end, to: from });
    end = to;
  }
  if (window.to > end) gaps.push({ from: end, to: window.to });
  return gaps;
}

/** Total length of intervals that do not overlap, ms. */
export function totalMs(intervals: readonly Interval[]): number {
  return intervals.reduce((sum, { from, to }) => sum + (to - from), 0);
}

/** How much of the window merged, sorted intervals cover, ms. */
export function coveredMs(merged: readonly Interval[], window: Interval): number {
  return merged.reduce(
    (sum, { from, to }) => sum + Math.max(0, Math.min(to, window.to) - Math.max(from, window.from)),
    0,
  );
}

/** Times in the window in which a node's state is unknown: the gateway was down, or had just started while the node was reconnecting. */
export function unknownTimes(
  downtimes: readonly (Interval & { settledAt: number })[],
  online: readonly Interval[],
  window: Interval,
): Interval[] {
  const settling = downtimes.map(({ to, settledAt }) => {
    const back = online.find((session) => session.to > to);
    return { from: to, to: Math.min(settledAt, back?.from ?? settledAt) };
  });
  return mergeWithin([...downtimes, ...settling], window);
}
