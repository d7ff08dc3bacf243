/** Checks an exported audit log without a gateway: rows, signed head, and who signed it. */
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { CheckedAudit } from '../../client/read-audit.ts';
import type { AuditHead, AuditPosition } from '../../domain/audit.ts';
import { AuditCheck } from '../../domain/audit-check.ts';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';

/** Longest line, characters. A row holds at most one command, which is far shorter. */
const MAX_LINE_LENGTH = 16 * 1024 * 1024;

interface VerifyFileOptions {
  file: string;
  /** The signed head; without it, missing rows at the end go unnoticed. */
  headFile: string | undefined;
  /** Public keys that may have signed the head, base64url; without any, the key that the head names. */
  keys: readonly string[];
  /** The file starts in the middle of the log. */
  isPartial: boolean;
  expected: Partial<AuditPosition> | undefined;
}

/** @throws FleetError `usage` when a file cannot be read, or is not part of an audit log. */
export async function verifyFile(options: VerifyFileOptions): Promise<CheckedAudit> {
  const { file, headFile, keys, isPartial, expected } = options;
  for (const key of keys) assertKey(key);
  const head = headFile === undefined ? null : await readHead(headFile);
  const check = new AuditCheck(expected, { isPartial });
  for await (const line of readLines(file)) check.push(line);
  const view = head === null ? undefined : { head, keys: keys.length === 0 ? [head.key] : [...keys] };
  const verdict = check.finish(view);
  // An empty file is not an intact log.
  if (verdict.rows === 0) throw new FleetError('usage', `${file} contains no rows of an audit log`);
  return { ...verdict, head };
}

async function readHead(file: string): Promise<AuditHead> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new FleetError('usage', `cannot read ${file}: ${systemErrorCode(error)}`, { cause: error });
  });
  try {
    const { seq, hash, key, signature } = JSON.parse(text) as AuditHead;
    const texts = [hash, key, signature].every((value: unknown) => typeof value === 'string');
    if (Number.isSafeInteger(seq) && texts) return { seq, hash, key, signature };
  } catch {
    // Not JSON, or not an object.
  }
  throw new FleetError('usage', `${file} is not the head of an audit log`, {
    hint: 'Create one: fleet audit export --out FILE --head HEAD-FILE',
  });
}

function assertKey(key: string): void {
  if (/^[A-Za-z0-9_-]{43}$/.test(key)) return;
  throw new FleetError('usage', `--key is not a public key: ${JSON.stringify(key)}`, {
    hint: 'Expected are the 43 characters after `key:` that fleet audit verify prints on the gateway.',
  });
}

/** An earlier head, as `SEQ:HASH` or the hash alone. @throws FleetError `usage`. */
export function parseExpect(text: string): Partial<AuditPosition> {
  const match = /^(?:([1-9]\d{0,15}):)?([0-9a-f]{64})$/.exec(text.trim().toLowerCase());
  if (match?.[2] === undefined) {
    throw new FleetError('usage', `--expect is not a head: ${JSON.stringify(text)}`, {
      hint: 'Expected is SEQ:HASH or HASH, as fleet audit verify prints it.',
    });
  }
  return { hash: match[2], ...(match[1] === undefined ? {} : { seq: Number(match[1]) }) };
}

/**
 * Only a line feed ends a line: JSON may contain what other readers take for one. The last line needs none.
 * @throws FleetError `usage` when the file cannot be read, `too_large` for an endless line.
 */
async function* readLines(file: string): AsyncGenerator<string> {
  // A byte order mark is not part of an export, and must not pass for it.
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
