/** The audit log in pages, so that each request is bounded work. */
import type { AuditRow } from '../../domain/audit.ts';
import { parseRow } from '../../domain/audit-check.ts';
import { FleetError } from '../../shared/errors.ts';
import type { AuditTable, StoredLine } from '../audit/audit-table.ts';
import type { ApiContext, Handlers } from './route.ts';

/** Rows that one request reads; its page has those that match. */
const PAGE_ROWS = 500;
/** Most text of a page, and of a line before it loses its details; UTF-16 units. */
const PAGE_LENGTH = 4 * 1024 * 1024;
const MAX_LINE_LENGTH = 1024 * 1024;

export function auditRoutes({ store }: ApiContext) {
  return {
    'GET /v1/audit/head': () => store.audit.head(),

    'GET /v1/audit': ({ query: { after = 0, before, since, actor, action, whole } }) => {
      const wanted = matcher({ since, actor, action });
      const rows =
        before === undefined
          ? forward(store.auditRows, after, since)
          : store.auditRows.before(before, PAGE_ROWS, PAGE_LENGTH);
      const isFull = rows.length === PAGE_ROWS || rows.reduce((sum, { line }) => sum + line.length, 0) >= PAGE_LENGTH;
      const next = isFull ? (rows.at(-1)?.seq ?? null) : null;
      const lines = rows.map(({ line }) => line).filter(wanted);
      // Checking needs whole rows; reading needs short ones.
      return { lines: whole ? lines : lines.map(shorten), next };
    },
  } satisfies Partial<Handlers>;
}

function forward(rows: AuditTable, after: number, since: number | undefined): StoredLine[] {
  if (since === undefined || after > 0) return rows.after(after, PAGE_ROWS, PAGE_LENGTH);
  const first = rows.firstSince(isoOf(since));
  return first === undefined ? [] : rows.after(first - 1, PAGE_ROWS, PAGE_LENGTH);
}

/** An earlier version stored errors of nodes of any length. */
function shorten(line: string): string {
  const row = line.length > MAX_LINE_LENGTH ? parseRow(line) : undefined;
  return row === undefined ? line : JSON.stringify({ ...row, details: { cutFrom: line.length } });
}

/** Lines that match. Unreadable ones always do: they are the last that should be hidden. */
function matcher(asked: {
  since: number | undefined;
  actor: string | undefined;
  action: string | undefined;
}): (line: string) => boolean {
  const since = asked.since === undefined ? undefined : isoOf(asked.since);
  if (since === undefined && asked.actor === undefined && asked.action === undefined) return () => true;
  return (line) => {
    const row: AuditRow | undefined = parseRow(line);
    if (row === undefined) return true;
    return (
      (since === undefined || row.at >= since) &&
      (asked.actor === undefined || row.actor?.name === asked.actor || row.actor?.key === asked.actor) &&
      (asked.action === undefined || row.action === asked.action || row.action.startsWith(`${asked.action}.`))
    );
  };
}

function isoOf(ms: number): string {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) throw new FleetError('bad_request', `since is not a time: ${ms}`);
  return date.toISOString();
}
