/** One row of the audit log as a line of a table. */
import type { AuditRow } from '../../protocol/audit.ts';
import { parseRow } from '../../protocol/audit-check.ts';
import { isTooDeep } from '../../shared/strip-control.ts';

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

/** One that cannot be read is the last that should be hidden, or hide others. */
export function describeRow(line: string): string[] {
  const row = parseRow(line);
  if (row === undefined || !isShowable(row)) return ['', '', '', 'unreadable', '', 'See: fleet audit verify'];
  const { at, actor, action, outcome, details } = row;
  const who = actor.role === actor.name || actor.role === 'unknown' ? actor.name : `${actor.name} (${actor.role})`;
  return [at, who, actor.address ?? actor.via, action, outcome, describeDetails(details)];
}

/** Whoever can change the database, or the gateway, can put anything into a row. */
function isShowable({ at, actor, action, outcome, details }: Partial<AuditRow>): boolean {
  const texts: unknown[] = [at, action, outcome, actor?.name, actor?.role, actor?.address ?? actor?.via];
  const isObject = typeof details === 'object' && details !== null;
  return isObject && texts.every((text) => typeof text === 'string') && !isTooDeep(details);
}

function describeDetails(details: Record<string, unknown>): string {
  const pairs = Object.entries(details).flatMap(([key, value]) => {
    if (value === null || (typeof value === 'object' && Object.keys(value).length === 0)) return [];
    return [`${key}=${typeof value === 'string' && /^[\w./:@+-]+$/.test(value) ? value : JSON.stringify(value)}`];
  });
  const text = pairs.join(' ');
  return text.length > MAX_DETAILS_LENGTH ? `${text.slice(0, MAX_DETAILS_LENGTH - 1)}…` : text;
}
