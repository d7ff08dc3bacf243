/** How output bytes stand in JSON: as text where they are UTF-8, as base64 where they are not. CLI.md: `--jsonl`. */
import { isUtf8 } from 'node:buffer';
import { FleetError } from '../shared/errors.ts';

export type TextData = { data: string } | { data: string; encoding: 'base64' };

/** Bytes for JSON. Give whole UTF-8 characters if you want text: one that is cut makes the lot base64. */
export function encodeData(bytes: Uint8Array): TextData {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isUtf8(buffer) ? { data: buffer.toString('utf8') } : { data: buffer.toString('base64'), encoding: 'base64' };
}

/** The bytes again. @throws FleetError `bad_request` on another encoding than base64, or on text that is not base64. */
export function decodeData(value: { data: string; encoding?: string | undefined }): Buffer {
  if (value.encoding === undefined) return Buffer.from(value.data, 'utf8');
  if (value.encoding !== 'base64') {
    throw new FleetError('bad_request', `unknown encoding of data: ${JSON.stringify(value.encoding)}`);
  }
  const bytes = Buffer.from(value.data, 'base64');
  // Buffer skips foreign characters instead of refusing them.
  if (bytes.toString('base64') !== value.data) throw new FleetError('bad_request', 'data is not base64');
  return bytes;
}
