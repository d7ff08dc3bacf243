/** `fleet node up`: makes this machine a node, and keeps it one. */
import { nodesFolder } from '../../shared/home.ts';
import { trimPasted } from '../../shared/pasted.ts';
import { parsePairs } from '../args/values.ts';
import { defineCommand } from '../context/command.ts';
import type { CliContext, PendingInfo } from '../context/context.ts';
import { formatError } from '../output/print.ts';
import { detach, serve } from '../service/serve.ts';

export const nodeUpCommand = defineCommand({
  name: 'node up',
  usage: '--gateway HOST[:PORT] [--code CODE] [OPTIONS]',
  describe: [
    'Pairs this machine with a gateway when it must, then keeps a tunnel to it and takes jobs from it.',
    'Without a code, it waits until somebody approves it on the gateway. Ctrl-C ends it in order.',
  ].join('\n'),
  positionals: [],
  options: {
    gateway: {
      type: 'string',
      placeholder: 'HOST[:PORT]',
      describe: 'The gateway (FLEET_GATEWAY); needed once, to pair',
    },
    code: { type: 'string', placeholder: 'CODE', describe: 'From `fleet invite` (FLEET_CODE)' },
    name: { type: 'string', placeholder: 'NAME', describe: 'Name of this node (FLEET_NAME, else the hostname)' },
    label: { type: 'list', placeholder: 'K=V', describe: 'Label of this node; may be given more than once' },
    'adopt-home': { type: 'boolean', describe: 'Take over a home that another machine has used before' },
    detach: { type: 'boolean', describe: 'Go to the background once it is online' },
  },
  examples: [
    ['fleet node up --gateway gw.example.org --code 7k3f-9m2q-x0zt-4hcv', 'join with an invite'],
    ['fleet node up --gateway gw.example.org:2222 --name pi-7 --label site=berlin', 'ask to be approved'],
    ['fleet node up --detach', 'come back with what is already known'],
  ],
  async execute(context, { options }) {
    if (options.detach) return await detach(context, `${nodesFolder(context.home)}/*/node.log`);
    const { home, configFile, env } = context;
    const gateway = options.gateway ?? (env.FLEET_GATEWAY || undefined);
    const code = options.code ?? (env.FLEET_CODE || undefined);
    const name = options.name ?? (trimPasted(env.FLEET_NAME ?? '') || undefined);
    const flags = {
      ...(gateway === undefined ? {} : { gateway }),
      ...(code === undefined ? {} : { code }),
      ...(name === undefined ? {} : { name }),
      ...(options.label.length === 0 ? {} : { labels: parsePairs(options.label, '--label') }),
    };
    const adoptHome = options['adopt-home'];
    const onPending = (info: PendingInfo): void => tellPending(context, info);
    return await serve(context, {
      start: (signal, console, onBegun) =>
        context.services.startNode({ home, configFile, flags, adoptHome, console, onPending, onBegun, signal }),
      onHangup: 'reconnect',
    });
  },
});

function tellPending(context: CliContext, { code, gateway, name }: PendingInfo): void {
  const text = formatError({
    message: `${name} waits for approval by ${gateway}; its code is ${code}`,
    hint: `On the gateway, compare the code and type: fleet nodes approve ${code}`,
  });
  context.err.write(text);
  void context.tellParent?.({ note: text });
}
