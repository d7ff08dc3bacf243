/** Checks an exported audit log without any gateway: rows, signed head, and whose signature it is. */
import { readFile } from 'node:fs/promises';
import type { CheckedAudit } from '../../client/read-audit.ts';
import type { AuditHead, AuditPosition } from '../../protocol/audit.ts';
import { AuditCheck } from '../../protocol/audit-check.ts';
import { FleetError, systemErrorCode } from '../../shared/errors.ts';
import { readLines } from './read-lines.ts';

export interface VerifyFileOptions {
  file: string;
  /** With the signed head; without it, nobody can say whether rows at the end are missing. */
  headFile: string | undefined;
  /** Public keys with which the head may be signed, base64url; when there are none, the one that it names. */
  keys: readonly string[];
  /** The file begins in the middle of the log. */
  isPartial: boolean;
  expected: Partial<AuditPosition> | undefined;
}

/** @throws FleetError `usage` when a file cannot be read, or is none of an audit log. */
export async function verifyFile(options: VerifyFileOptions): Promise<CheckedAudit> {
  const { file, headFile, keys, isPartial, expected } = options;
  for (const key of keys) assertKey(key);
  const head = headFile === undefined ? null : await readHead(headFile);
  const check = new AuditCheck(expected, { isPartial });
  for await (const line of readLines(file)) check.push(line);
  const view = head === null ? undefined : { head, keys: keys.length === 0 ? [head.key] : [...keys] };
  const verdict = check.finish(view);
  // What holds nothing is not intact for that.
  if (verdict.rows === 0) throw new FleetError('usage', `${file} holds no rows of an audit log`);
  return { ...verdict, head };
}

async function readHead(file: string): Promise<AuditHead> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new FleetError('usage', `cannot read ${file}: ${systemErrorCode(error)}`, { cause: error });
  }
  const head = parseHead(text);
  if (head !== undefined) return head;
  throw new FleetError('usage', `${file} is no head of an audit log`, {
    hint: 'fleet audit export --out FILE --head HEAD-FILE writes one.',
  });
}

function parseHead(text: string): AuditHead | undefined {
  try {
    const { seq, hash, key, signature } = (JSON.parse(text) ?? {}) as Partial<AuditHead>;
    const texts = [hash, key, signature].every((value) => typeof value === 'string');
    return Number.isSafeInteger(seq) && texts ? ({ seq, hash, key, signature } as AuditHead) : undefined;
  } catch {
    return undefined;
  }
}

function assertKey(key: string): void {
  if (/^[A-Za-z0-9_-]{43}$/.test(key)) return;
  throw new FleetError('usage', `--key is no public key: ${JSON.stringify(key)}`, {
    hint: 'It is the 43 characters behind `key:` that fleet audit verify prints on the gateway.',
  });
}
