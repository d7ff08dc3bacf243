/** Reads a file line by line, and nothing but a line feed ends one: JSON may hold what other readers take for the end of a line. */
import { createReadStream } from 'node:fs';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';

/** Longest line, characters. A row holds one command at the most, which is far shorter. */
const MAX_LINE_LENGTH = 16 * 1024 * 1024;

/** The last line needs no line feed. @throws FleetError `usage` when the file cannot be read, `too_large` for a line without end. */
export async function* readLines(file: string): AsyncGenerator<string> {
  // A mark at the beginning is no part of what was exported, and must not pass for it.
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let pending = '';
  try {
    for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
      pending += decoder.decode(chunk, { stream: true });
      let start = 0;
      for (let end = pending.indexOf('\n'); end >= 0; end = pending.indexOf('\n', start)) {
        yield pending.slice(start, end);
        start = end + 1;
      }
      pending = pending.slice(start);
      if (pending.length > MAX_LINE_LENGTH) throw new FleetError('too_large', `${file} has a line without end`);
    }
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === undefined) throw error;
    throw new FleetError('usage', `cannot read ${file}: ${code}`, { cause: error });
  }
  pending += decoder.decode();
  if (pending !== '') yield pending;
}
