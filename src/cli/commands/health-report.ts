/** `fleet health report`: how the nodes were over a period; made for cron. */
import { pipeline } from 'node:stream/promises';
import { stripControlInLines } from '../../shared/strip-control.ts';
import { writeAtomically } from '../../shared/write-atomically.ts';
import { parsePositiveDuration } from '../args/values.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { exitCodeOfHealth } from '../health/health-exit-code.ts';
import { unknownWithoutGateway } from '../health/unknown-health.ts';
import { EXIT_OK } from '../output/exit-code.ts';

export const healthReportCommand = defineCommand({
  name: 'health report',
  usage: '[OPTIONS]',
  describe: [
    'Reports how the nodes were over a period. With --out, a crash leaves the old file or the new one.',
    'Exit code, as Nagios has it: 0 all well, 1 limited, 2 error or offline, 3 unknown.',
  ].join('\n'),
  positionals: [],
  options: {
    since: { type: 'string', placeholder: 'DURATION', describe: 'How far back (24h)' },
    format: { type: 'string', describe: 'Format (text)', choices: ['text', 'json', 'md', 'html', 'csv'] },
    out: { type: 'string', placeholder: 'FILE', describe: 'Write into this file, and nothing to stdout' },
    'exit-zero': { type: 'boolean', describe: 'Exit with 0 however the nodes are' },
  },
  examples: [
    ['fleet health report', 'the last 24 hours'],
    ['fleet health report --since 7d --format html --out /var/www/fleet.html', 'in a crontab'],
  ],
  async execute(context, { options }) {
    const periodMs = parsePositiveDuration(options.since ?? '24h', '--since');
    const format = options.format ?? (context.json ? 'json' : 'text');
    return await unknownWithoutGateway(context, async () => {
      const { status, body } = await openGateway(context).healthReport({
        since: context.clock.now() - periodMs,
        format,
      });
      if (options.out !== undefined) await writeAtomically(options.out, body);
      else {
        await pipeline(body, async (chunks: AsyncIterable<Buffer>) => {
          const decoder = new TextDecoder();
          for await (const chunk of chunks) {
            context.out.write(stripControlInLines(decoder.decode(chunk, { stream: true })));
            await context.out.ready();
          }
        });
      }
      return options['exit-zero'] ? EXIT_OK : exitCodeOfHealth(status);
    });
  },
});
