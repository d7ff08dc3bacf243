/** `fleet keys …`: the keys of people and nodes that the gateway knows. */
import { formatRelativeTime } from '../../shared/duration.ts';
import { defineCommand, openGateway } from '../context/command.ts';
import { printResult } from '../output/print.ts';
import { printTable } from '../output/table.ts';

const list = defineCommand({
  name: 'keys list',
  describe: 'Lists the keys of people and nodes that the gateway knows: roles, and when each was last seen.',
  options: {
    all: { type: 'boolean', describe: 'Include revoked keys' },
    kind: { type: 'string', describe: 'Only keys of people, or of nodes', choices: ['person', 'node'] },
  },
  examples: [
    ['fleet keys list', 'who has access'],
    ['fleet keys list --kind person --all', 'which people have or had access'],
    ["fleet keys list --json | jq -r '.[].fingerprint'", 'for scripts'],
  ],
  async execute(context, { options }) {
    const known = await openGateway(context).keys();
    const keys = known.filter(
      ({ kind, revokedAt }) =>
        (options.kind === undefined || kind === options.kind) && (options.all || revokedAt === null),
    );
    return printTable(context, keys, 'No keys match. Invite a node or person: fleet invite', {
      NAME: ({ name }) => name,
      ROLE: ({ role, revokedAt }) => (revokedAt === null ? role : `${role} (revoked)`),
      FINGERPRINT: ({ fingerprint }) => fingerprint,
      CREATED: ({ createdAt }, now) => formatRelativeTime(createdAt, now),
      'LAST SEEN': ({ connected, lastSeenAt }, now) => (connected ? 'connected' : formatRelativeTime(lastSeenAt, now)),
      ID: ({ id }) => id,
    });
  },
});

const revoke = defineCommand({
  name: 'keys revoke',
  describe: 'Revokes the key of a person or node, and cuts its connections at once. Running jobs continue.',
  positionals: [{ name: 'KEY', describe: 'Name, fingerprint, id or unique id prefix' }],
  examples: [
    ['fleet keys revoke anna', 'a person who left'],
    [
      'fleet keys revoke SHA256:9UfWnGg7wK0sC3mJrNv5bQ2xYtZe8hLkPd4oAiS6uVE',
      'by its fingerprint, as ssh-keygen -l prints it',
    ],
  ],
  async execute(context, { positionals }) {
    const key = await openGateway(context).revokeKey(positionals.KEY);
    return printResult(context, key, ({ kind, name }) => `the key of ${kind} ${name} is revoked\n`);
  },
});

export const commands = [list, revoke];
