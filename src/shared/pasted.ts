/** Text that was pasted, and text that will be: what word processors, chats and shells do to it on the way. */

/** Blanks, line ends, marks without width, and quotes, as they come along when something is copied out of its surroundings. */
const SURROUNDINGS = /^[\p{Z}\p{C}"'`‘’‚‛“”„‟‹›«»]+|[\p{Z}\p{C}"'`‘’‚‛“”„‟‹›«»]+$/gu;

/** Names in Unicode of what looks like something else, or like nothing. */
const NAMES = new Map(
  `9 TAB|a LINE FEED|d CARRIAGE RETURN|20 SPACE|a0 NO-BREAK SPACE|ad SOFT HYPHEN|ab LEFT-POINTING DOUBLE ANGLE QUOTATION MARK
|bb RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK|2002 EN SPACE|2003 EM SPACE|2007 FIGURE SPACE|2009 THIN SPACE|200a HAIR SPACE|200b ZERO WIDTH SPACE
|200c ZERO WIDTH NON-JOINER|200d ZERO WIDTH JOINER|200e LEFT-TO-RIGHT MARK|200f RIGHT-TO-LEFT MARK|2010 HYPHEN
|2011 NON-BREAKING HYPHEN|2012 FIGURE DASH|2013 EN DASH|2014 EM DASH|2015 HORIZONTAL BAR|2018 LEFT SINGLE QUOTATION MARK
|2019 RIGHT SINGLE QUOTATION MARK|201a SINGLE LOW-9 QUOTATION MARK|201c LEFT DOUBLE QUOTATION MARK|201d RIGHT DOUBLE QUOTATION MARK
|201e DOUBLE LOW-9 QUOTATION MARK|2026 HORIZONTAL ELLIPSIS|2028 LINE SEPARATOR|2029 PARAGRAPH SEPARATOR|202a LEFT-TO-RIGHT EMBEDDING
|202b RIGHT-TO-LEFT EMBEDDING|202c POP DIRECTIONAL FORMATTING|202d LEFT-TO-RIGHT OVERRIDE|202e RIGHT-TO-LEFT OVERRIDE|202f NARROW NO-BREAK SPACE
|2060 WORD JOINER|2212 MINUS SIGN|3000 IDEOGRAPHIC SPACE|fe58 SMALL EM DASH|fe63 SMALL HYPHEN-MINUS|feff ZERO WIDTH NO-BREAK SPACE
|ff0d FULLWIDTH HYPHEN-MINUS|ff1a FULLWIDTH COLON`
    .split(/\s*\|/)
    .map((line): [number, string] => [Number.parseInt(line, 16), line.slice(line.indexOf(' ') + 1)]),
);

/** Without what came along with it. For text in which none of that can have a meaning. */
export function trimPasted(text: string): string {
  return text.replace(SURROUNDINGS, '');
}

/** The first character that `allowed` does not match, visibly: `U+2013 EN DASH at position 5`; undefined when there is none. */
export function describeForeign(text: string, allowed: RegExp): string | undefined {
  const characters = [...text];
  const index = characters.findIndex((character) => !allowed.test(character));
  if (index < 0) return undefined;
  return `${describeCharacter(characters[index] ?? '')} at position ${index + 1}`;
}

/** `"u"`, `"ä" (U+00E4)`, `U+2013 EN DASH`; a character that cannot be seen is only named. */
export function describeCharacter(character: string): string {
  const point = character.codePointAt(0) ?? 0;
  const name = NAMES.get(point);
  const code = `U+${point.toString(16).toUpperCase().padStart(4, '0')}`;
  if (name !== undefined) return `${code} ${name}`;
  if (/[\p{Z}\p{C}\p{M}]/u.test(character)) return code;
  return point < 0x7f ? JSON.stringify(character) : `"${character}" (${code})`;
}

/** A word as a shell reads it back: as it is where no shell would change it, else in single quotes. */
export function shellQuote(text: string): string {
  return /^[A-Za-z0-9_@%+:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
