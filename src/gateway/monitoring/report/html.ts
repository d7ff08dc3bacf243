/** HTML put together so that forgetting to escape is not possible: every value is escaped unless it is `Html` itself. */
import { stripControl } from '../../../shared/text.ts';

/** Markup that is safe as it stands. Only {@link html} and {@link trusted} make it. */
export class Html {
  readonly #markup: string;

  constructor(markup: string) {
    this.#markup = markup;
  }

  toString(): string {
    return this.#markup;
  }
}

/** What a template may hold; a list is joined without separator, null is nothing. */
export type HtmlValue = Html | string | number | null | readonly HtmlValue[];

/** Tag for templates: `` html`<b>${name}</b>` ``. Values fit into text and into attributes in double quotes. */
export function html(strings: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  let markup = strings[0] ?? '';
  values.forEach((value, index) => {
    markup += render(value) + (strings[index + 1] ?? '');
  });
  return new Html(markup);
}

/** Takes a constant of this program, such as a style sheet, as markup. Never for data. */
export function trusted(constant: string): Html {
  return new Html(constant);
}

function render(value: HtmlValue): string {
  if (value === null) return '';
  if (value instanceof Html) return value.toString();
  if (typeof value === 'object') return value.map(render).join('');
  return escapeText(String(value));
}

function escapeText(text: string): string {
  return stripControl(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
