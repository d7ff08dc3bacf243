/** `fleet keys list`: whose keys the gateway knows. */

import type { KeyView } from '../../protocol/views.ts';
import { formatRelativeTime } from '../../shared/duration.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import type { OutputPort } from '../output/output-port.ts';
import { printJson } from '../output/print.ts';
import { formatTable, tableOptions } from '../output/table.ts';

export const keysListCommand = defineCommand({
  name: 'keys list',
  usage: '[OPTIONS]',
  describe:
    'Lists the keys of people and nodes that the gateway knows: who may come in, as what, and when they last did.',
  positionals: [],
  options: {
    all: { type: 'boolean', describe: 'Revoked ones, too' },
    kind: { type: 'string', describe: 'Only those of people, or of nodes', choices: ['person', 'node'] },
  },
  examples: [
    ['fleet keys list', 'who may come in'],
    ['fleet keys list --kind person --all', 'which people may, or might once'],
    ["fleet keys list --json | jq -r '.[].fingerprint'", 'for scripts'],
  ],
  async execute(context, { options }) {
    const all = await openGateway(context).keys();
    const keys = all.filter(
      ({ kind, revokedAt }) =>
        (options.kind === undefined || kind === options.kind) && (options.all || revokedAt === null),
    );
    if (context.json) printJson(context, keys);
    else if (keys.length === 0) context.err.write('There are no such keys. Make a code for one: fleet invite\n');
    else context.out.write(formatKeys(keys, context.clock.now(), context.out));
    return EXIT_OK;
  },
});

function formatKeys(keys: readonly KeyView[], now: number, out: OutputPort): string {
  const columns = ['NAME', 'ROLE', 'FINGERPRINT', 'CREATED', 'LAST SEEN', 'ID'].map((header) => ({ header }));
  const rows = keys.map((key) => [
    key.name,
    key.revokedAt === null ? key.role : `${key.role} (revoked)`,
    key.fingerprint,
    formatRelativeTime(key.createdAt, now),
    key.connected ? 'connected' : formatRelativeTime(key.lastSeenAt, now),
    key.id,
  ]);
  return formatTable(columns, rows, tableOptions(out));
}
