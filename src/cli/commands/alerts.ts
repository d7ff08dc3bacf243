/** `fleet alerts`: what is wrong or was, and who was told. */

import { harmlessJson } from '../../shared/strip-control.ts';
import { formatAlerts } from '../alerts/format-alerts.ts';
import { parseCount } from '../args/values.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { refuseTwoFormats } from '../job/job-options.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

export const alertsCommand = defineCommand({
  name: 'alerts',
  usage: '[OPTIONS]',
  describe: [
    'Lists alerts of now and before, the newest first, and who was told of them. The rules and receivers are gateway.alerts in',
    'config.yaml. docs/alerts.md',
  ].join('\n'),
  positionals: [],
  options: {
    active: { type: 'boolean', describe: 'Only those that are not over, the worst first' },
    limit: { type: 'string', placeholder: 'N', describe: 'At most so many (100)' },
    jsonl: { type: 'boolean', describe: 'Print one JSON object a line' },
  },
  examples: [
    ['fleet alerts --active', 'what is wrong now'],
    ['fleet alerts --jsonl | jq -r \'select(.state=="firing") | .node\'', 'for scripts'],
  ],
  async execute(context, { options }) {
    refuseTwoFormats(context, options.jsonl);
    const alerts = await openGateway(context).alerts({
      ...(options.active ? { active: true } : {}),
      ...(options.limit === undefined ? {} : { limit: parseCount(options.limit, '--limit') }),
    });
    if (context.json) printJson(context, alerts);
    else if (options.jsonl) context.out.write(alerts.map((alert) => `${harmlessJson(alert)}\n`).join(''));
    else if (alerts.length === 0) context.err.write(options.active ? 'Nothing is wrong.\n' : 'There were no alerts.\n');
    else context.out.write(formatAlerts(alerts, context.clock.now(), context.out));
    return EXIT_OK;
  },
});
