/** The order in which people expect names: `node-2` before `node-10`. No locale, so that every machine sorts alike. */

const ZERO = 48;
const NINE = 57;

/** Compares for `sort`: runs of digits by value, the rest by UTF-16 code unit. Zero only for equal texts. */
export function compareNatural(a: string, b: string): number {
  let atA = 0;
  let atB = 0;
  while (atA < a.length && atB < b.length) {
    const endA = endOfDigits(a, atA);
    const endB = endOfDigits(b, atB);
    if (endA > atA && endB > atB) {
      const difference = compareDigits(a, atA, endA, b, atB, endB);
      if (difference !== 0) return difference;
      atA = endA;
      atB = endB;
    } else {
      const difference = a.charCodeAt(atA) - b.charCodeAt(atB);
      if (difference !== 0) return difference;
      atA += 1;
      atB += 1;
    }
  }
  const rest = a.length - atA - (b.length - atB);
  if (rest !== 0) return rest;
  // Equal but for leading zeros.
  return a === b ? 0 : a < b ? -1 : 1;
}

function endOfDigits(text: string, start: number): number {
  let end = start;
  while (end < text.length && text.charCodeAt(end) >= ZERO && text.charCodeAt(end) <= NINE) end += 1;
  return end;
}

function compareDigits(a: string, startA: number, endA: number, b: string, startB: number, endB: number): number {
  let atA = startA;
  let atB = startB;
  while (atA < endA && a.charCodeAt(atA) === ZERO) atA += 1;
  while (atB < endB && b.charCodeAt(atB) === ZERO) atB += 1;
  const longer = endA - atA - (endB - atB);
  if (longer !== 0) return longer;
  for (; atA < endA; atA += 1, atB += 1) {
    const difference = a.charCodeAt(atA) - b.charCodeAt(atB);
    if (difference !== 0) return difference;
  }
  return 0;
}
