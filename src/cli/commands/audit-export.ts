/** `fleet audit export`: the whole audit log as it is stored, to be kept elsewhere. */
import { Readable } from 'node:stream';
import { readAudit } from '../../client/read-audit.ts';
import { writeAtomically } from '../../shared/write-atomically.ts';
import { defineCommand } from '../command.ts';
import { openGateway } from '../context.ts';
import { EXIT_OK } from '../exit-code.ts';
import { parsePositiveDuration } from '../job/job-options.ts';

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
  },
  examples: [
    ['fleet audit export --out /backup/audit.jsonl', 'in a crontab'],
    ['fleet audit export --since 24h | logger -t fleet-audit', 'to syslog'],
  ],
  async execute(context, { options }) {
    const { since, out } = options;
    const lines = readAudit(openGateway(context), {
      since:
        since === undefined ? undefined : Math.max(0, context.clock.now() - parsePositiveDuration(since, '--since')),
    });
    if (out !== undefined) await writeAtomically(out, Readable.from(withNewlines(lines)), 0o600);
    else {
      for await (const line of withNewlines(lines)) {
        context.out.write(line);
        await context.out.ready();
        if (context.out.gone.aborted) break;
      }
    }
    return EXIT_OK;
  },
});

async function* withNewlines(lines: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const line of lines) yield `${line}\n`;
}
