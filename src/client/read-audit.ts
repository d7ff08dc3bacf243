/** Reads the audit log of a gateway from end to end, and checks it here: the gateway is not asked whether its own log is whole. */
import type { AuditHeadView, AuditPosition } from '../domain/audit.ts';
import { AuditCheck, type AuditVerdict, parseRow } from '../domain/audit-check.ts';
import type { Answer } from '../protocol/routes.ts';
import type { GatewayClient, QueryInput } from './gateway-client.ts';

type AuditSource = Pick<GatewayClient, 'auditPage' | 'auditHead'>;
type Filter = Omit<QueryInput<'GET /v1/audit'>, 'after' | 'before'>;

/** Rows that are verified or exported are read as stored. */
export const WHOLE = { whole: 1 } as const;

/** Lines that fit, in order. With `whole` as they are stored, however long; without, long ones lose their details. */
export async function* readAudit(source: AuditSource, filter: Filter = {}, after = 0): AsyncGenerator<string> {
  for (let next = after; ; ) {
    const page: Answer<'GET /v1/audit'> = await source.auditPage({ ...filter, after: next });
    yield* page.lines;
    // Each page must bring the end nearer.
    if (page.next === null || page.next <= next) return;
    next = page.next;
  }
}

/** Lines that fit up to row `through`: what is written meanwhile is left out. */
export async function* readAuditThrough(source: AuditSource, filter: Filter, through: number): AsyncGenerator<string> {
  for await (const line of readAudit(source, { ...filter, ...WHOLE })) {
    if ((parseRow(line)?.seq ?? 0) > through) return;
    yield line;
  }
}

/** The last `count` lines that fit, in order. */
export async function readLatestAudit(source: AuditSource, filter: Filter, count: number): Promise<string[]> {
  const lines: string[] = [];
  for (let next = Number.MAX_SAFE_INTEGER; lines.length < count; ) {
    const page = await source.auditPage({ ...filter, before: next });
    lines.push(...page.lines);
    if (page.next === null || page.next >= next) break;
    next = page.next;
  }
  return lines.slice(0, count).reverse();
}

export interface CheckedAudit extends AuditVerdict {
  head: AuditHeadView['head'];
}

/** Reads and verifies everything up to the head; rows written meanwhile are ignored. */
export async function checkAudit(source: AuditSource, expected?: Partial<AuditPosition>): Promise<CheckedAudit> {
  const check = new AuditCheck(expected);
  for await (const line of readAudit(source, WHOLE)) check.push(line);
  let view = await source.auditHead();
  // Rows were added since: up to the head they belong to it.
  for (let last = check.lastSeq; last < view.live.seq; last = check.lastSeq) {
    const { lines } = await source.auditPage({ ...WHOLE, after: last });
    for (const line of lines) check.push(line);
    if (check.lastSeq === last) break;
    view = await source.auditHead();
  }
  return { ...check.finish(view), head: view.head };
}
