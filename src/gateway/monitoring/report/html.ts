/** HTML templates in which nobody can forget to escape: every value is escaped unless it is `Html` itself. */
import { stripControl } from '../../../shared/text.ts';

/** Safe markup. Only {@link html} and {@link trusted} make it. */
export class Html {
  readonly #markup: string;

  constructor(markup: string) {
    this.#markup = markup;
  }

  toString(): string {
    return this.#markup;
  }
}

/** A list is joined without a separator; null is nothing. */
type HtmlValue = Html | string | number | null | readonly HtmlValue[];

/** Template tag: `` html`<b>${name}</b>` ``. Values fit into text and into attributes in double quotes. */
export function html(strings: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  let markup = strings[0] ?? '';
  values.forEach((value, index) => {
    markup += render(value) + (strings[index + 1] ?? '');
  });
  return new Html(markup);
}

/** Marks a constant of this program, such as a style sheet, as safe. Never for data. */
export function trusted(constant: string): Html {
  return new Html(constant);
}

/** Printable ASCII without what has a meaning in HTML. */
const HARMLESS = /^[ !#-%(-;=?-~]*$/;

function render(value: HtmlValue): string {
  if (value === null) return '';
  if (value instanceof Html) return value.toString();
  if (typeof value === 'object') return value.map(render).join('');
  const text = String(value);
  // Most texts are harmless, and long ones are paths of charts.
  return HARMLESS.test(text)
    ? text
    : stripControl(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
