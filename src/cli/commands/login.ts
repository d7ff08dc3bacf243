/** `fleet login` and `fleet logout`: which remote gateway this home uses, and as whom. */
import { existsSync } from 'node:fs';
import { sanitizeName } from '../../domain/vocabulary.ts';
import { gatewayPaths } from '../../shared/home.ts';
import { shellQuote } from '../../shared/text.ts';
import { defineCommand } from '../context/command.ts';
import { printResult } from '../output/print.ts';

const login = defineCommand({
  name: 'login',
  usage: '[HOST[:PORT]] [--code CODE]',
  describe: [
    'Pairs your key with a gateway, using a code from `fleet invite --role viewer|operator|admin`. From then on the commands of this home',
    'go there over SSH. Without a code it renews the login. The key is HOME/person/id_ed25519.',
  ],
  positionals: [
    { name: 'HOST', describe: 'The gateway: host or host:port (--gateway, FLEET_GATEWAY)', optional: true },
  ],
  options: {
    code: { type: 'string', placeholder: 'CODE', describe: 'From `fleet invite` (FLEET_CODE)' },
    name: { type: 'string', placeholder: 'NAME', describe: 'Your name on the gateway (your account name)' },
  },
  examples: [
    ['fleet login gw.example.org --code 7k3f-9m2q-x0zt-4hcv', 'the first time'],
    ['fleet login', 'check that the default gateway still accepts you'],
    ['fleet --gateway gw2.example.org:2222 nodes', 'use a gateway other than the default, once logged in'],
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
    const exitCode = printResult(
      context,
      result,
      ({ gateway, name, role }) => `logged in to ${gateway} as ${name} (${role})\n`,
    );
    if (!context.json && existsSync(gatewayPaths(home).folder)) {
      const flag = `--gateway ${shellQuote(result.gateway)}`;
      context.err.write(`This home has a gateway of its own; to use the one you logged in to: ${flag}\n`);
    }
    return exitCode;
  },
});

const logout = defineCommand({
  name: 'logout',
  usage: '[HOST[:PORT]]',
  describe: [
    'Removes the token and host key of a gateway from this home. The gateway still knows your key; an admin revokes it there',
    'with `fleet keys revoke`.',
  ],
  positionals: [{ name: 'HOST', describe: 'Which gateway (the default one)', optional: true }],
  examples: [
    ['fleet logout', 'the default gateway'],
    ['fleet logout gw2.example.org:2222', 'another one'],
  ],
  async execute(context, { positionals }) {
    const { home, services } = context;
    const gateway = await services.logout({ home, gateway: positionals.HOST ?? context.gateway });
    return printResult(context, { gateway }, () => `logged out of ${gateway}\n`);
  },
});

export const commands = [login, logout];
