/** `*` in texts of a policy. Linear in memory and at worst text × pattern in time, whatever the gateway sends. */

/** Whether `*` in `pattern` can stand for pieces of `text`, of any characters and any length, so that both are equal. */
export function matchesGlob(pattern: string, text: string): boolean {
  let at = 0;
  let inPattern = 0;
  /** Behind the last star seen, and how far it reaches so far: only the last star ever has to be tried longer. */
  let star: { next: number; reached: number } | undefined;
  while (at < text.length) {
    if (pattern[inPattern] === '*') {
      inPattern += 1;
      star = { next: inPattern, reached: at };
    } else if (pattern[inPattern] === text[at]) {
      inPattern += 1;
      at += 1;
    } else if (star !== undefined) {
      star.reached += 1;
      at = star.reached;
      inPattern = star.next;
    } else {
      return false;
    }
  }
  while (pattern[inPattern] === '*') inPattern += 1;
  return inPattern === pattern.length;
}
