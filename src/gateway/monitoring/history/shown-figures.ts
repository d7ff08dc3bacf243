/** The figures that reports show: what they read of a row, and what a day keeps of each of its hours. */
import { FIGURES, type FigureName } from './figures.ts';

/**
 * The rest of a row is passed over, which is half of the work on it. Days are stored of these in this order: who changes it
 * adds a migration that empties `history_1d` and sets its cursor back, and days are made anew of hours.
 */
export const SHOWN_FIGURES = ['cpuPct', 'memUsedPct', 'diskUsedPct', 'rttMs'] as const satisfies readonly FigureName[];
export type ShownFigure = (typeof SHOWN_FIGURES)[number];

/** Where each of {@link SHOWN_FIGURES} lies in a row, and nothing after the last of them. */
export const SHOWN_PLACES: readonly number[] = SHOWN_FIGURES.map((name) =>
  FIGURES.findIndex((figure) => figure.name === name),
);

/** What `of` makes of each shown figure, at its place in a row; undefined at the places of the others. */
export function byShownPlace<T>(of: (place: number, index: number) => T): (T | undefined)[] {
  return Array.from({ length: Math.max(...SHOWN_PLACES) + 1 }, (_, place) => {
    const index = SHOWN_PLACES.indexOf(place);
    return index < 0 ? undefined : of(place, index);
  });
}
