/** `fleet logout`: this home forgets a gateway. */
import { defineCommand } from '../context/command.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

export const logoutCommand = defineCommand({
  name: 'logout',
  usage: '[HOST[:PORT]]',
  describe:
    'Forgets the token and host key of a gateway in this home. The gateway still knows your key; an admin ends that there,\nwith `fleet keys revoke`.',
  positionals: [{ name: 'HOST', describe: 'Which one (the default gateway)', optional: true }],
  options: {},
  examples: [
    ['fleet logout', 'the default gateway'],
    ['fleet logout gw2.example.org:2222', 'another one'],
  ],
  async execute(context, { positionals }) {
    const { home, services } = context;
    const gateway = await services.logout({ home, gateway: positionals.HOST ?? context.gateway });
    if (context.json) printJson(context, { gateway });
    else context.out.write(`logged out of ${gateway}\n`);
    return EXIT_OK;
  },
});
