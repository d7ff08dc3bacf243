/** Resolves what a person typed: names, ids and prefixes of ids share one namespace, and nothing is ever guessed. */
import { MIN_ID_PREFIX } from '../../domain/selector.ts';
import { closest, describeForeign } from '../../shared/text.ts';

/** Most matches needed: more than one is ambiguous, and the error lists a few. */
export const MAX_MEANT = 6;

export interface LookUpTable<T> {
  byName(name: string): T | undefined;
  byId(id: string): T | undefined;
  /** Up to {@link MAX_MEANT} entries. */
  byIdPrefix(prefix: string): T[];
}

/**
 * Everything that `which` could mean; the caller refuses more than one. A complete id rules out longer ids. A text shorter than
 * {@link MIN_ID_PREFIX} is never a prefix: anyone could take it as a name and be mistaken for the owner of the id. Nothing else takes precedence.
 */
export function lookUp<T extends { id: string }>(table: LookUpTable<T>, which: string): T[] {
  const named = table.byName(which);
  const exact = table.byId(which);
  const found = [named, exact].filter((entry) => entry !== undefined);
  if (exact === undefined && which.length >= MIN_ID_PREFIX) found.push(...table.byIdPrefix(which));
  return [...new Map(found.map((entry) => [entry.id, entry])).values()];
}

/** A hint for a name that does not exist: `Did you mean web-1? `, or which character no name has; empty if neither. */
export function didYouMean(typed: string, known: Iterable<string>): string {
  const foreign = describeForeign(typed, /[\w.:+/=-]/);
  const meant = closest(typed.toLowerCase(), known);
  return `${foreign === undefined ? '' : `No name has ${foreign}. `}${meant === undefined ? '' : `Did you mean ${meant}? `}`;
}

/** Bounds of the ids that start with `prefix`, for `id >= ? AND id < ?`. */
export function prefixBounds(prefix: string): [from: string, below: string] {
  return [prefix, `${prefix}\u{10ffff}`];
}
