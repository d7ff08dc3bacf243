/** Text from another machine, made harmless for a terminal: no escape sequence, no line break survives. */

/** Replaces C0 and C1 control characters (ECMA-48) and Unicode's direction overrides by U+FFFD. */
export function stripControl(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this removes
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
}
