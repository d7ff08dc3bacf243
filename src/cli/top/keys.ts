/** What a terminal sends for the keys that `fleet top` knows. ECMA-48 and xterm's "PC-Style Function Keys". */

/** A named key, or the character that was typed. */
export type Key =
  | { name: 'up' | 'down' | 'pageUp' | 'pageDown' | 'home' | 'end' | 'enter' | 'escape' | 'erase' | 'quit' | 'stop' }
  | { text: string };

const SEQUENCES: Readonly<Record<string, Extract<Key, { name: string }>['name']>> = {
  '[A': 'up',
  OA: 'up',
  '[B': 'down',
  OB: 'down',
  '[5~': 'pageUp',
  '[6~': 'pageDown',
  '[H': 'home',
  OH: 'home',
  '[1~': 'home',
  '[F': 'end',
  OF: 'end',
  '[4~': 'end',
};

const CONTROL: Readonly<Record<string, Extract<Key, { name: string }>['name']>> = {
  '\r': 'enter',
  '\n': 'enter',
  '\u007f': 'erase',
  '\b': 'erase',
  // In raw mode Ctrl-C and Ctrl-D are characters like others.
  '\u0003': 'quit',
  '\u0004': 'quit',
  // And so is Ctrl-Z.
  '\u001a': 'stop',
};

/** The keys of one chunk from a terminal in raw mode, in order. What is not known is dropped. */
export function decodeKeys(chunk: string): Key[] {
  const keys: Key[] = [];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
  for (const [part] of chunk.matchAll(/\u001b(?:\[[0-9;?]*[@-~]|O[@-~])|./gsu)) {
    if (part.length > 1 && part.startsWith('\u001b')) {
      const name = SEQUENCES[part.slice(1)];
      if (name !== undefined) keys.push({ name });
    } else if (part === '\u001b') keys.push({ name: 'escape' });
    else if (Object.hasOwn(CONTROL, part)) keys.push({ name: CONTROL[part] ?? 'escape' });
    else if (!/\p{C}/u.test(part)) keys.push({ text: part });
  }
  return keys;
}
