/** A line of figures in a line of text. */

const LEVELS = '▁▂▃▄▅▆▇█';

/** One character a value, from 0 to `most`; a blank where nothing is known. */
export function sparkline(values: readonly (number | null)[], most: number): string {
  return values
    .map((value) => {
      if (value === null) return ' ';
      const share = most <= 0 || value <= 0 ? 0 : value >= most ? 1 : value / most;
      return LEVELS[Math.min(LEVELS.length - 1, Math.floor(share * LEVELS.length))] ?? ' ';
    })
    .join('');
}
