/** `fleet invites list`: the codes that can still be used. */

import { formatRelativeTime } from '../../shared/duration.ts';
import { formatLabels } from '../args/values.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';
import { formatTable, tableOptions } from '../output/table.ts';

export const invitesListCommand = defineCommand({
  name: 'invites list',
  usage: '',
  describe: 'Lists the invites that can still be used, each by the first four characters of its code.',
  positionals: [],
  options: {},
  examples: [
    ['fleet invites list', 'what is open'],
    ["fleet invites list --json | jq -r '.[].id'", 'for scripts'],
  ],
  async execute(context) {
    const invites = await openGateway(context).invites();
    if (context.json) printJson(context, invites);
    else if (invites.length === 0) context.err.write('No invite is open. Make one: fleet invite\n');
    else {
      const now = context.clock.now();
      const headers = ['ID', 'ROLE', 'NAME', 'USES LEFT', 'WRONG PROOFS', 'LABELS', 'MADE BY', 'MADE', 'UNTIL'];
      const rows = invites.map((invite) => [
        invite.id,
        invite.ephemeral ? `${invite.role} (ephemeral)` : invite.role,
        invite.name ?? '',
        String(invite.usesLeft),
        String(invite.failures),
        formatLabels(invite.labels),
        invite.createdBy,
        formatRelativeTime(invite.createdAt, now),
        invite.expiresAt.slice(0, 16).replace('T', ' '),
      ]);
      const columns = headers.map((header) => ({ header }));
      context.out.write(formatTable(columns, rows, tableOptions(context.out)));
    }
    return EXIT_OK;
  },
});
