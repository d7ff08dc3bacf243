/** Crockford's base32 (crockford.com/base32.html), lower case, for ids and codes that people read aloud and type. */

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

/** `length` characters of 5 uniformly random bits each. */
export function randomBase32(length: number, randomBytes: (size: number) => Uint8Array): string {
  let text = '';
  // 256 is a multiple of 32, so masking keeps the distribution uniform.
  for (const byte of randomBytes(length)) text += ALPHABET[byte & 31];
  return text;
}

/** Typed text in the alphabet: case folded, separators dropped, o→0 and i, l→1. Undefined if a foreign character remains. */
export function normalizeBase32(text: string): string | undefined {
  const folded = text.toLowerCase().replace(/[\s-]/g, '').replace(/o/g, '0').replace(/[il]/g, '1');
  return [...folded].every((character) => ALPHABET.includes(character)) ? folded : undefined;
}
