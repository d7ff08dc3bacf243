/** "Did you mean": the known word nearest to a mistyped one. */

/** Most edits between the typed and the suggested word. */
const MAX_DISTANCE = 2;

/** Of several equally near, the first, but preferably one of the same length: letters are swapped more often than omitted. */
export function closest(typed: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.min(MAX_DISTANCE, Math.max(1, Math.floor(typed.length / 2))) + 1;
  for (const word of known) {
    const distance = editDistance(typed, word);
    const isLikelier = distance === bestDistance && best !== undefined && best.length !== typed.length;
    if (distance < bestDistance || (isLikelier && word.length === typed.length))
      [best, bestDistance] = [word, distance];
  }
  return best;
}

/** Restricted Damerau-Levenshtein: a swap of neighbours is one edit. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let distance = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        distance = Math.min(distance, (beforeLast[j - 2] ?? 0) + 1);
      }
      row.push(distance);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
