/** One thing in detail: a name and a value a line, the values aligned. */
import { stripControl } from '../../shared/strip-control.ts';
import { textWidth } from './text-width.ts';

/** Facts without a value read `-`. Values may come from another machine. */
export function formatFacts(facts: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...facts.map(([name]) => textWidth(name)));
  return facts
    .map(([name, value]) => `${name}:${' '.repeat(width - textWidth(name))}  ${stripControl(value) || '-'}\n`)
    .join('');
}
