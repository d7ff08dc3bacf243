/** What a person means by a text: names, ids and beginnings of ids are one namespace, in which nothing is ever guessed. */
import { MIN_ID_PREFIX } from '../../domain/selector.ts';

/** Most entries that an answer needs: more than one is ambiguous, and a person is shown a few. */
export const MAX_MEANT = 6;

export interface LookUpTable<T> {
  byName(name: string): T | undefined;
  byId(id: string): T | undefined;
  /** Up to {@link MAX_MEANT} whose id begins so. */
  byIdPrefix(prefix: string): T[];
}

/**
 * All that `which` could mean; more than one is for the caller to refuse. A whole id leaves other prefixes out. A text shorter than
 * {@link MIN_ID_PREFIX} is never a prefix: anyone may have it as a name, and would be taken for the owner of the id. Nothing else takes precedence.
 */
export function lookUp<T extends { id: string }>(table: LookUpTable<T>, which: string): T[] {
  const named = table.byName(which);
  const exact = table.byId(which);
  const found = [named, exact].filter((entry) => entry !== undefined);
  if (exact === undefined && which.length >= MIN_ID_PREFIX) found.push(...table.byIdPrefix(which));
  return [...new Map(found.map((entry) => [entry.id, entry])).values()];
}

/** The bounds of the ids that begin with `prefix`, for `id >= ? AND id < ?`. */
export function prefixBounds(prefix: string): [from: string, below: string] {
  return [prefix, `${prefix}\u{10ffff}`];
}
