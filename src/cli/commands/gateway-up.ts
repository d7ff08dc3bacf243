/** `fleet gateway up`: starts the gateway of this home. */
import { gatewayPaths } from '../../shared/home.ts';
import { defineCommand } from '../context/command.ts';
import { assertOwnGateway } from '../context/open-gateway.ts';
import { detach, serve } from '../service/serve.ts';

export const gatewayUpCommand = defineCommand({
  name: 'gateway up',
  usage: '[OPTIONS]',
  describe:
    'Starts the gateway of this home: SSH for nodes, and the API on HOME/gateway.sock. Ctrl-C ends it in order.',
  positionals: [],
  options: {
    listen: { type: 'string', placeholder: 'ADDR:PORT', describe: 'Where nodes connect (0.0.0.0:18790)' },
    api: { type: 'string', placeholder: 'ADDR:PORT', describe: 'Open the API on TCP as well (off; loopback 18789)' },
    advertise: { type: 'string', placeholder: 'HOST[:PORT]', describe: 'How nodes reach this gateway, for invites' },
    'log-level': { type: 'string', describe: 'How much to log (info)', choices: ['debug', 'info', 'warn', 'error'] },
    'new-database': { type: 'boolean', describe: 'Start with an empty database although the old one is lost' },
    'adopt-home': { type: 'boolean', describe: 'Take over a home that another machine has used before' },
    detach: { type: 'boolean', describe: 'Go to the background once it is ready' },
  },
  examples: [
    ['fleet gateway up', 'in the foreground, until Ctrl-C'],
    ['fleet gateway up --detach', 'in the background'],
    ['fleet gateway up --listen 0.0.0.0:2222 --advertise gw.example.org:2222', 'on another port'],
  ],
  async execute(context, { options }) {
    assertOwnGateway(context, 'gateway up');
    if (options.detach) return await detach(context, gatewayPaths(context.home).log);
    const flags = {
      ...(options.listen === undefined ? {} : { listen: options.listen }),
      ...(options.api === undefined ? {} : { api: options.api }),
      ...(options.advertise === undefined ? {} : { advertise: options.advertise }),
      ...(options['log-level'] === undefined ? {} : { logLevel: options['log-level'] }),
    };
    const { home, configFile } = context;
    const [newDatabase, adoptHome] = [options['new-database'], options['adopt-home']];
    return await serve(context, {
      start: (signal, console) =>
        context.services.startGateway({ home, configFile, flags, newDatabase, adoptHome, console, signal }),
      onHangup: 'reload',
    });
  },
});
