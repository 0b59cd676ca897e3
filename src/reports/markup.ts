/** @file HTML that is escaped by default: a value put into html`...` is text, unless it is itself the result of html`...`. */

/** Markup that is safe to put into a page as it is. Only html`...` makes it. */
export interface Markup {
  readonly markup: string;
}

type Part = Markup | string | number | readonly Markup[];

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text for an element or a quoted attribute. Control characters, which HTML does not know, are left out. */
export const escapeHtml = (text: string): string =>
  text.replaceAll(/[&<>"']/g, (character) => ESCAPES[character]!).replaceAll(/[^\P{Cc}\n\t]/gu, '');

/** Builds markup; lists are joined without a separator. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  const rendered = parts.map((part) => {
    if (typeof part === 'string' || typeof part === 'number') return escapeHtml(String(part));
    return 'markup' in part ? part.markup : part.map(({ markup }) => markup).join('');
  });
  return { markup: strings.reduce((text, string, index) => text + rendered[index - 1]! + string) };
}

export const NOTHING: Markup = html``;
