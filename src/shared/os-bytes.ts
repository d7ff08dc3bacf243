/** Text of the operating system that need not be UTF-8: arguments, variables, paths and names on Linux are bytes. */
import { isUtf8 } from 'node:buffer';

const BACKSLASH = 0x5c;
/** What decoding puts in place of bytes that are not UTF-8; a text without it was decoded exactly. */
export const REPLACEMENT = '\ufffd';

/** The first byte that is not UTF-8, as `\xe9 at byte 4`; undefined when all of them are. */
export function describeBadByte(bytes: Uint8Array): string | undefined {
  if (isUtf8(bytes)) return undefined;
  for (const { at, text } of pieces(bytes)) if (text === undefined) return `${escaped(bytes[at])} at byte ${at + 1}`;
  return undefined;
}

/**
 * UTF-8 as it is, every other byte as `\xe9`. Different bytes give different texts: a backslash that would look like the
 * beginning of such an escape is escaped itself.
 */
export function escapeBytes(bytes: Uint8Array): string {
  const isPlain = isUtf8(bytes) && !bytes.includes(BACKSLASH);
  if (isPlain) return decode(bytes);
  let result = '';
  for (const { at, text } of pieces(bytes)) {
    const looksEscaped = text === '\\' && /^x[0-9a-f]{2}$/.test(decode(bytes.subarray(at + 1, at + 4)));
    result += text === undefined || looksEscaped ? escaped(bytes[at]) : text;
  }
  return result;
}

/** One character each; `text` is undefined for a byte that belongs to none. */
function* pieces(bytes: Uint8Array): Generator<{ at: number; text: string | undefined }> {
  for (let at = 0; at < bytes.length; ) {
    const lead = bytes[at] ?? 0;
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const character = bytes.subarray(at, at + length);
    const isValid = isUtf8(character);
    yield { at, text: isValid ? decode(character) : undefined };
    at += isValid ? length : 1;
  }
}

function decode(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

function escaped(byte = 0): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}
