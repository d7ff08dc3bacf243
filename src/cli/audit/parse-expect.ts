/** The head of an audit log as a person keeps it: `SEQ:HASH`, or the hash alone. */
import type { AuditPosition } from '../../protocol/audit.ts';
import { FleetError } from '../../shared/errors.ts';

/** @throws FleetError `usage`. */
export function parseExpect(text: string): Partial<AuditPosition> {
  const match = /^(?:([1-9]\d{0,15}):)?([0-9a-f]{64})$/.exec(text.trim().toLowerCase());
  if (match?.[2] === undefined) {
    throw new FleetError('usage', `--expect is not a head: ${JSON.stringify(text)}`, {
      hint: 'It is SEQ:HASH or HASH, as fleet audit verify printed it.',
    });
  }
  return { hash: match[2], ...(match[1] === undefined ? {} : { seq: Number(match[1]) }) };
}
