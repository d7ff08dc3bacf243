/** `fleet keys revoke`: a key is refused from now on. */
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

export const keysRevokeCommand = defineCommand({
  name: 'keys revoke',
  usage: 'KEY',
  describe: 'Refuses the key of a person or a node from now on, and cuts its connections at once. Jobs that run go on.',
  positionals: [{ name: 'KEY', describe: 'Name, fingerprint, id or unique beginning of an id' }],
  options: {},
  examples: [
    ['fleet keys revoke anna', 'a person who left'],
    ['fleet keys revoke SHA256:9UfWnGg7wK0sC3mJrNv5bQ2xYtZe8hLkPd4oAiS6uVE', 'by what ssh-keygen -l says'],
  ],
  async execute(context, { positionals }) {
    const key = await openGateway(context).revokeKey(positionals.KEY);
    if (context.json) printJson(context, key);
    else context.out.write(`the key of ${key.kind} ${key.name} is revoked\n`);
    return EXIT_OK;
  },
});
