/** Numbers as people read them: sizes, milliseconds, percentages, and series of them as a small chart. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** `1023 B`, `1.5 GiB`, `120 MiB`, in the binary units of IEC 80000-13: at most one decimal, and none from 100 on. */
export function formatBytes(bytes: number): string {
  let amount = bytes;
  let unit = 0;
  // Compare what will be printed, so that 1023.96 KiB becomes 1 MiB rather than 1024 KiB.
  while (round(amount) >= 1024 && unit < UNITS.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${round(amount)} ${UNITS[unit]}`;
}

function round(amount: number): number {
  return amount >= 100 ? Math.round(amount) : Math.round(amount * 10) / 10;
}

/** `4.2 ms`, `120 ms`; `none` for null. */
export function formatMs(ms: number | null, none = ''): string {
  return ms === null ? none : `${Math.abs(ms) < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/** `42 %`; empty for null. */
export function formatPercent(value: number | null): string {
  return value === null ? '' : `${Math.round(value)} %`;
}

const LEVELS = '▁▂▃▄▅▆▇█';

/** One character a value, from 0 to `most`; a space where the value is unknown. */
export function sparkline(values: readonly (number | null)[], most: number): string {
  return values
    .map((value) => {
      if (value === null) return ' ';
      const share = most <= 0 || value <= 0 ? 0 : value >= most ? 1 : value / most;
      return LEVELS[Math.min(LEVELS.length - 1, Math.floor(share * LEVELS.length))] ?? ' ';
    })
    .join('');
}
