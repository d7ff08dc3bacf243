/** The audit log, page by page: bounded work for each request, however long the log is. */
import type { AuditHeadView, AuditPage, AuditRow } from '../../domain/audit.ts';
import { parseRow } from '../../domain/audit-check.ts';
import { FleetError } from '../../shared/errors.ts';
import { type App, queryInteger, queryText } from '../../shared/http/fastify-app.ts';
import type { AuditTable, StoredLine } from '../audit/audit-table.ts';
import type { ApiStore } from './find.ts';
import { addRoute } from './route.ts';

/** Rows that one request looks at; its page has those of them that were asked for. */
const PAGE_ROWS = 500;
/** A page is full once its lines are so long together, and a longer line loses its details; UTF-16 units. */
const PAGE_LENGTH = 4 * 1024 * 1024;
const MAX_LINE_LENGTH = 1024 * 1024;

export function addAuditRoutes(app: App, { store }: { store: ApiStore }): void {
  addRoute(app, 'GET /v1/audit/head', (): AuditHeadView => store.audit.head());

  addRoute(app, 'GET /v1/audit', (request): AuditPage => {
    const before = queryInteger(request, 'before');
    const since = queryInteger(request, 'since');
    const wanted = matcher({ since, actor: queryText(request, 'actor'), action: queryText(request, 'action') });
    const rows =
      before === undefined
        ? forward(store.auditRows, queryInteger(request, 'after') ?? 0, since)
        : store.auditRows.before(before, PAGE_ROWS, PAGE_LENGTH);
    const isFull = rows.length === PAGE_ROWS || rows.reduce((sum, { line }) => sum + line.length, 0) >= PAGE_LENGTH;
    const next = isFull ? (rows.at(-1)?.seq ?? null) : null;
    const lines = rows.map(({ line }) => line).filter(wanted);
    // A row that is to be checked must be whole; one that is to be looked at must be short.
    return { lines: queryText(request, 'whole') === '1' ? lines : lines.map(shorten), next };
  });
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

/** Whether a line is one that was asked for. One that cannot be read is shown: it is the last that should be hidden. */
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
