/** `fleet audit …`: who did what, when and from where; and whether the log is intact. */
import { Readable } from 'node:stream';
import type { GatewayClient } from '../../client/gateway-client.ts';
import {
  type CheckedAudit,
  checkAudit,
  readAudit,
  readAuditThrough,
  readLatestAudit,
  WHOLE,
} from '../../client/read-audit.ts';
import type { AuditHead, AuditPosition, AuditRow } from '../../domain/audit.ts';
import { parseRow } from '../../domain/audit-check.ts';
import { FleetError } from '../../shared/errors.ts';
import { escapeJson, isTooDeep } from '../../shared/text.ts';
import { writeAtomically } from '../../shared/write-file.ts';
import { parseCount, parseSince } from '../args/values.ts';
import { type CliContext, defineCommand, openGateway } from '../context/command.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printResult } from '../output/print.ts';
import { formatTable } from '../output/table.ts';
import { parseExpect, verifyFile } from './audit-file.ts';

const DEFAULT_LIMIT = 100;
const EXIT_DAMAGED = 1;
/** Longer details are shortened in the table, characters; `--json` has them all. */
const MAX_DETAILS_LENGTH = 100;

const list = defineCommand({
  name: 'audit',
  describe: [
    'Shows who did what, when, from where and with which outcome; newest last.',
    'Without --since, only the latest rows. docs/audit.md lists the actions and what is recorded for each.',
  ],
  options: {
    since: { type: 'string', placeholder: 'DURATION', describe: 'Only rows of this last period, such as 24h' },
    actor: { type: 'string', placeholder: 'NAME', describe: 'Only actions of this person or node, or key SHA256:…' },
    action: { type: 'string', placeholder: 'ACTION', describe: 'Only this action; `job` matches every `job.…`' },
    limit: {
      type: 'string',
      placeholder: 'N',
      describe: `Maximum number of rows, the latest (${DEFAULT_LIMIT} without --since)`,
    },
    jsonl: { type: 'boolean', describe: 'Print one JSON object a line' },
  },
  examples: [
    ['fleet audit --since 24h', 'the last day'],
    ['fleet audit --action node --actor local', 'changes of nodes made on the gateway itself'],
    ['fleet audit --since 7d --jsonl | jq -r \'select(.action=="job.submit") | .details.command\'', 'for scripts'],
  ],
  async execute(context, { options }) {
    const { actor, action } = options;
    const since = parseSince(options.since, context.clock.now());
    const filter = { actor, action, since };
    const gateway = openGateway(context);
    const count = parseCount(options.limit, '--limit');
    const isAll = count === undefined && since !== undefined;
    if (options.jsonl && isAll) {
      for await (const line of readAudit(gateway, filter)) {
        context.out.write(`${escapeJson(line)}\n`);
        await context.out.ready();
      }
      return EXIT_OK;
    }
    const lines = isAll
      ? ((await Readable.from(readAudit(gateway, filter)).toArray()) as string[])
      : await readLatestAudit(gateway, filter, count ?? DEFAULT_LIMIT);
    // As stored, except for what a terminal would obey; `audit export` has the exact bytes.
    if (options.jsonl) for (const line of lines) context.out.write(`${escapeJson(line)}\n`);
    else if (context.json) {
      lines.forEach((line, index) => void context.out.write(`${index === 0 ? '[' : ',\n'}${escapeJson(line)}`));
      context.out.write(lines.length === 0 ? '[]\n' : ']\n');
    } else if (lines.length === 0) context.err.write('No rows match.\n');
    else {
      const columns = ['TIME', 'ACTOR', 'FROM', 'ACTION', 'OUTCOME', 'DETAILS'];
      context.out.write(formatTable(columns, lines.map(describeRow), context.out));
    }
    return EXIT_OK;
  },
});

/** An unreadable row is shown as such: it must neither be hidden nor hide others. */
function describeRow(line: string): string[] {
  const row = parseRow(line);
  if (row === undefined || !isShowable(row)) return ['', '', '', 'unreadable', '', 'See: fleet audit verify'];
  const { at, actor, action, outcome, details } = row;
  const who = actor.role === actor.name || actor.role === 'unknown' ? actor.name : `${actor.name} (${actor.role})`;
  return [at, who, actor.address ?? actor.via, action, outcome, describeDetails(details)];
}

/** Anyone who can change the database, or the gateway, can put anything into a row. */
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

const verify = defineCommand({
  name: 'audit verify',
  describe: [
    'Reads the whole audit log and checks every row and the signed head. Finds rows that were changed, removed, inserted or',
    'moved. Exit code 0: intact, 1: damaged. Keep the head that it prints on another machine: with --expect it also finds a log that',
    'was replaced as a whole by an older or different one. --file checks an export, on any machine.',
  ],
  options: {
    expect: {
      type: 'string',
      placeholder: 'SEQ:HASH',
      describe: 'The log must contain this row, an earlier head',
    },
    file: { type: 'string', placeholder: 'FILE', describe: 'Check this export instead, without a gateway' },
    head: {
      type: 'string',
      placeholder: 'FILE',
      describe: 'With --file: its signed head, written by audit export --head',
    },
    key: {
      type: 'list',
      dashed: true,
      placeholder: 'KEY',
      describe: 'With --head: a public key of the gateway that you have from elsewhere',
    },
    partial: { type: 'boolean', describe: 'With --file: it starts mid-log, as an export with --since does' },
  },
  examples: [
    ['fleet audit verify', 'check, and print the head'],
    [
      'fleet audit verify --expect 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
      'against a head that you kept',
    ],
    ['fleet audit verify --json', 'for scripts'],
    ['fleet audit verify --file audit.jsonl --head audit.head --key "$KEY"', 'an export, on any machine'],
  ],
  async execute(context, { options }) {
    const expected = options.expect === undefined ? undefined : parseExpect(options.expect);
    const { file, head, key: keys, partial } = options;
    const verdict = await (file === undefined
      ? checkGateway(context, options, expected)
      : verifyFile({ file, headFile: head, keys, isPartial: partial, expected }));
    printResult(context, verdict, () => describeVerdict(verdict, partial));
    if (!context.json && file !== undefined) {
      if (verdict.head === null) {
        context.err.write('Only a signed head can show whether rows at the end are missing: --head FILE\n');
      } else if (keys.length === 0) {
        context.err.write("It is not known whether this is the gateway's key: --key KEY, which you keep elsewhere\n");
      }
    }
    return verdict.intact ? EXIT_OK : EXIT_DAMAGED;
  },
});

function describeVerdict(verdict: CheckedAudit, isPartial: boolean): string {
  const { intact, rows, first, head, problems, problemCount } = verdict;
  const lines: string[] = [];
  if (intact) {
    const before = isPartial ? 'earlier rows were not checked' : 'older rows have been deleted by age';
    const range = first === null || first.seq === 1 ? '' : `, from row ${first.seq}; ${before}`;
    lines.push(`intact: ${rows} rows${range}`);
  } else {
    lines.push(`damaged: ${problemCount} ${problemCount === 1 ? 'problem' : 'problems'} in ${rows} rows`);
    lines.push(...problems.map(({ message }) => `  ${message}`));
    if (problemCount > problems.length) lines.push(`  and ${problemCount - problems.length} more`);
  }
  if (head !== null) lines.push(`head: ${head.seq}:${head.hash}`, `key: ${head.key}`);
  return `${lines.join('\n')}\n`;
}

function checkGateway(
  context: CliContext,
  { head, key, partial }: { head: string | undefined; key: readonly string[]; partial: boolean },
  expected: Partial<AuditPosition> | undefined,
): Promise<CheckedAudit> {
  if (head !== undefined || key.length > 0 || partial) {
    throw new FleetError('usage', '--head, --key and --partial require --file');
  }
  return checkAudit(openGateway(context), expected);
}

const exportLog = defineCommand({
  name: 'audit export',
  describe: [
    'Writes the rows as JSON, one a line, oldest first, byte for byte as stored: the hash of a row is the SHA-256 of',
    'its line without `,"hash":"…"`, and `prev` is the hash of the previous row, so that anyone can check it.',
  ],
  options: {
    jsonl: { type: 'boolean', describe: 'One JSON object a line; the only format' },
    since: { type: 'string', placeholder: 'DURATION', describe: 'Only rows of this last period (all)' },
    out: { type: 'string', placeholder: 'FILE', describe: 'Write to this file instead of stdout' },
    head: {
      type: 'string',
      placeholder: 'FILE',
      describe: 'Write the signed head of the export to this file, for audit verify --file',
    },
  },
  examples: [
    ['fleet audit export --out /backup/audit.jsonl --head /backup/audit.head', 'in a crontab'],
    ['fleet audit export --since 24h | logger -t fleet-audit', 'to syslog'],
  ],
  async execute(context, { options }) {
    const client = openGateway(context);
    const filter = { since: parseSince(options.since, context.clock.now()) };
    const head = options.head === undefined ? undefined : await signedHead(client);
    const lines =
      head === undefined ? readAudit(client, { ...filter, ...WHOLE }) : readAuditThrough(client, filter, head.seq);
    if (options.out !== undefined) await writeAtomically(options.out, Readable.from(withNewlines(lines)), 0o600);
    else {
      for await (const line of withNewlines(lines)) {
        context.out.write(context.out.isTerminal ? escapeJson(line) : line);
        await context.out.ready();
        if (context.out.gone.aborted) break;
      }
    }
    if (head !== undefined && options.head !== undefined) {
      await writeAtomically(options.head, Readable.from([`${JSON.stringify(head)}\n`]), 0o600);
    }
    return EXIT_OK;
  },
});

/** Requested before the rows, which then end at it. */
async function signedHead(client: GatewayClient): Promise<AuditHead> {
  const { head } = await client.auditHead();
  if (head !== null) return head;
  throw new FleetError('not_found', 'the audit log has no signed head', { hint: 'See why: fleet audit verify' });
}

async function* withNewlines(lines: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const line of lines) yield `${line}\n`;
}

export const commands = [list, verify, exportLog];
