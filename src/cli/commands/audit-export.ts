/** `fleet audit export`: the whole audit log as it is stored, to be kept elsewhere. */
import { Readable } from 'node:stream';
import type { GatewayClient } from '../../client/gateway-client.ts';
import { readAudit, readAuditThrough, WHOLE } from '../../client/read-audit.ts';
import type { AuditHead } from '../../protocol/audit.ts';
import { FleetError } from '../../shared/errors.ts';
import { escapeJson } from '../../shared/strip-control.ts';
import { writeAtomically } from '../../shared/write-atomically.ts';
import { parsePositiveDuration } from '../args/values.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';

export const auditExportCommand = defineCommand({
  name: 'audit export',
  usage: '[OPTIONS]',
  describe: [
    'Writes the rows one a line, oldest first, as JSON and byte for byte as they are stored: the hash of a row is the SHA-256 of',
    'its line without `,"hash":"…"`, and `prev` is the hash of the row before, so that anybody can check it.',
  ].join('\n'),
  positionals: [],
  options: {
    jsonl: { type: 'boolean', describe: 'One JSON object a line; it is the only format' },
    since: { type: 'string', placeholder: 'DURATION', describe: 'Only what was done since so long ago (all)' },
    out: { type: 'string', placeholder: 'FILE', describe: 'Write into this file, and nothing to stdout' },
    head: {
      type: 'string',
      placeholder: 'FILE',
      describe: 'Write the signed head of what is exported into this file, for audit verify --file',
    },
  },
  examples: [
    ['fleet audit export --out /backup/audit.jsonl --head /backup/audit.head', 'in a crontab'],
    ['fleet audit export --since 24h | logger -t fleet-audit', 'to syslog'],
  ],
  async execute(context, { options }) {
    const { since, out } = options;
    const client = openGateway(context);
    const filter = {
      since:
        since === undefined ? undefined : Math.max(0, context.clock.now() - parsePositiveDuration(since, '--since')),
    };
    const head = options.head === undefined ? undefined : await signedHead(client);
    const lines =
      head === undefined ? readAudit(client, { ...filter, ...WHOLE }) : readAuditThrough(client, filter, head.seq);
    if (out !== undefined) await writeAtomically(out, Readable.from(withNewlines(lines)), 0o600);
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

/** Asked for before the rows, which then end with it. */
async function signedHead(client: GatewayClient): Promise<AuditHead> {
  const { head } = await client.auditHead();
  if (head !== null) return head;
  throw new FleetError('not_found', 'the audit log has no signed head', { hint: 'See why: fleet audit verify' });
}

async function* withNewlines(lines: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const line of lines) yield `${line}\n`;
}
