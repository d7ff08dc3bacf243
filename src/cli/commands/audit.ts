/** `fleet audit`: who did what, when and from where. */
import { readAudit, readLatestAudit } from '../../client/read-audit.ts';
import { escapeJson } from '../../shared/strip-control.ts';
import { parseCount, parsePositiveDuration } from '../args/values.ts';
import { AUDIT_COLUMNS, describeRow } from '../audit/describe-row.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { formatTable, tableOptions } from '../output/table.ts';

const DEFAULT_LIMIT = 100;

export const auditCommand = defineCommand({
  name: 'audit',
  usage: '[OPTIONS]',
  describe: [
    'Shows who did what, when, from where and with which outcome; the newest last.',
    'Without --since, the latest rows only. docs/audit.md lists the actions and what is recorded of each.',
  ].join('\n'),
  positionals: [],
  options: {
    since: { type: 'string', placeholder: 'DURATION', describe: 'Only what was done since so long ago, such as 24h' },
    actor: { type: 'string', placeholder: 'NAME', describe: 'Only what this person or node, or the key SHA256:…, did' },
    action: {
      type: 'string',
      placeholder: 'ACTION',
      describe: 'Only this action; `job` means all that begin with `job.`',
    },
    limit: {
      type: 'string',
      placeholder: 'N',
      describe: `At most so many, the latest (${DEFAULT_LIMIT} without --since)`,
    },
    jsonl: { type: 'boolean', describe: 'One JSON object a line' },
  },
  examples: [
    ['fleet audit --since 24h', 'what was done since yesterday'],
    ['fleet audit --action node --actor local', 'who changed nodes on the gateway itself'],
    ['fleet audit --since 7d --jsonl | jq -r \'select(.action=="job.submit") | .details.command\'', 'for scripts'],
  ],
  async execute(context, { options }) {
    const { since, actor, action, limit } = options;
    const filter = {
      actor,
      action,
      since:
        since === undefined ? undefined : Math.max(0, context.clock.now() - parsePositiveDuration(since, '--since')),
    };
    const gateway = openGateway(context);
    const count = limit === undefined ? undefined : parseCount(limit, '--limit');
    if (options.jsonl && count === undefined && since !== undefined) {
      for await (const line of readAudit(gateway, filter)) {
        context.out.write(`${escapeJson(line)}\n`);
        await context.out.ready();
      }
      return EXIT_OK;
    }
    const lines =
      count === undefined && since !== undefined
        ? await collect(readAudit(gateway, filter))
        : await readLatestAudit(gateway, filter, count ?? DEFAULT_LIMIT);
    // As they are stored, but for what a terminal would obey; `audit export` has the very bytes.
    if (options.jsonl) for (const line of lines) context.out.write(`${escapeJson(line)}\n`);
    else if (context.json) {
      lines.forEach((line, index) => void context.out.write(`${index === 0 ? '[' : ',\n'}${escapeJson(line)}`));
      context.out.write(lines.length === 0 ? '[]\n' : ']\n');
    } else if (lines.length === 0) context.err.write('There are no such rows.\n');
    else {
      context.out.write(formatTable(AUDIT_COLUMNS, lines.map(describeRow), tableOptions(context.out)));
    }
    return EXIT_OK;
  },
});

async function collect(lines: AsyncIterable<string>): Promise<string[]> {
  const all: string[] = [];
  for await (const line of lines) all.push(line);
  return all;
}
