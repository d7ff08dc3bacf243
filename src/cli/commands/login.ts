/** `fleet login`: makes this person known to a gateway elsewhere, and that gateway to this home. */
import { existsSync } from 'node:fs';
import { sanitizeName } from '../../protocol/sanitize-name.ts';
import { gatewayPaths } from '../../shared/home.ts';
import { shellQuote } from '../../shared/pasted.ts';
import { defineCommand } from '../context/command.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

export const loginCommand = defineCommand({
  name: 'login',
  usage: '[HOST[:PORT]] [--code CODE]',
  describe: [
    "Pairs this person's key with a gateway, by a code from `fleet invite --role viewer|operator|admin`. From then on",
    'commands of this home go there over SSH. Without a code it renews what is there. The key is HOME/person/id_ed25519.',
  ].join('\n'),
  positionals: [
    { name: 'HOST', describe: 'The gateway: host or host:port (--gateway, FLEET_GATEWAY)', optional: true },
  ],
  options: {
    code: { type: 'string', placeholder: 'CODE', describe: 'From `fleet invite` (FLEET_CODE)' },
    name: { type: 'string', placeholder: 'NAME', describe: 'Your name on the gateway (the one of your account here)' },
  },
  examples: [
    ['fleet login gw.example.org --code 7k3f-9m2q-x0zt-4hcv', 'the first time'],
    ['fleet login', 'look whether the default gateway still lets you in'],
    ['fleet --gateway gw2.example.org:2222 nodes', 'use another one than the default, once logged in there'],
  ],
  async execute(context, { options, positionals }) {
    const { home, env, services } = context;
    const account = sanitizeName(env.USER || env.LOGNAME || 'person');
    const result = await services.login({
      home,
      gateway: positionals.HOST ?? context.gateway ?? (env.FLEET_GATEWAY || undefined),
      code: options.code ?? (env.FLEET_CODE || undefined),
      name: options.name,
      suggestedName: account,
      keyComment: `${account}@${context.hostname()} (fleet)`,
    });
    if (context.json) printJson(context, result);
    else {
      context.out.write(`logged in at ${result.gateway} as ${result.name} (${result.role})\n`);
      if (existsSync(gatewayPaths(home).folder)) {
        context.err.write(
          `This home has a gateway of its own; reach this one with --gateway ${shellQuote(result.gateway)}\n`,
        );
      }
    }
    return EXIT_OK;
  },
});
