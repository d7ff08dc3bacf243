/** One row of the audit log as a line of a table. */
import type { AuditRow } from '../../protocol/audit.ts';

/** Longer details are cut in the table, characters; `--json` has all of them. */
const MAX_DETAILS_LENGTH = 100;

export const AUDIT_COLUMNS = [
  { header: 'TIME' },
  { header: 'ACTOR' },
  { header: 'FROM' },
  { header: 'ACTION' },
  { header: 'OUTCOME' },
  { header: 'DETAILS' },
];

export function describeRow({ at, actor, action, outcome, details }: AuditRow): string[] {
  const who = actor.role === actor.name || actor.role === 'unknown' ? actor.name : `${actor.name} (${actor.role})`;
  return [at, who, actor.address ?? actor.via, action, outcome, describeDetails(details)];
}

function describeDetails(details: Record<string, unknown>): string {
  const pairs = Object.entries(details).flatMap(([key, value]) => {
    if (value === null || (typeof value === 'object' && Object.keys(value).length === 0)) return [];
    return [`${key}=${typeof value === 'string' && /^[\w./:@+-]+$/.test(value) ? value : JSON.stringify(value)}`];
  });
  const text = pairs.join(' ');
  return text.length > MAX_DETAILS_LENGTH ? `${text.slice(0, MAX_DETAILS_LENGTH - 1)}…` : text;
}
