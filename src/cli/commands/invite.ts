/** `fleet invite`: makes a code, and the whole command to type on the other machine. */
import { isIP } from 'node:net';
import { DEFAULT_GATEWAY_PORT } from '../../protocol/limits.ts';
import { ROLES, type Role } from '../../protocol/roles.ts';
import type { GatewayView } from '../../protocol/views.ts';
import { formatAddress, parseAddress } from '../../shared/address.ts';
import { formatDuration } from '../../shared/duration.ts';
import { shellQuote } from '../../shared/pasted.ts';
import { parseCount, parsePairs, parsePositiveDuration } from '../args/values.ts';
import { defineCommand } from '../context/command.ts';
import { chooseRemote, openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { formatError, printJson } from '../output/print.ts';

export const inviteCommand = defineCommand({
  name: 'invite',
  usage: '[OPTIONS]',
  describe: [
    'Makes a code with which a machine joins as a node, or a person logs in, and prints the whole command to type there.',
    'A code is shown once; `fleet invites list` tells which are open. Five wrong proofs make it void.',
  ].join('\n'),
  positionals: [],
  options: {
    name: { type: 'string', placeholder: 'NAME', describe: 'Name that the node or person will have' },
    role: { type: 'string', describe: 'What joins (node)', choices: ROLES },
    ttl: { type: 'string', placeholder: 'DURATION', describe: 'How long the code is good for (5m)' },
    uses: { type: 'string', placeholder: 'N', describe: 'How many may use it (1)' },
    ephemeral: {
      type: 'boolean',
      describe: 'Nodes that join by it are forgotten after an hour offline (ephemeralGrace)',
    },
    label: { type: 'list', placeholder: 'K=V', describe: 'Label that the node will have; may be given more than once' },
  },
  examples: [
    ['fleet invite', 'one machine, within five minutes'],
    ['fleet invite --name pi-7 --label site=berlin', 'with a name and a label'],
    ['fleet invite --role operator --name anna', 'a person who may run commands'],
    ['fleet invite --uses 100 --ttl 30d --ephemeral --json', 'for an image of which many machines are made'],
  ],
  async execute(context, { options }) {
    const client = openGateway(context);
    const ttlMs = parsePositiveDuration(options.ttl ?? '5m', '--ttl');
    const uses = parseCount(options.uses ?? '1', '--uses');
    const role = (options.role ?? 'node') as Role;
    const { code, expiresAt } = await client.invite({
      role,
      ttlMs,
      uses,
      labels: parsePairs(options.label, '--label'),
      ...(options.name === undefined ? {} : { name: options.name }),
      ...(options.ephemeral ? { ephemeral: true } : {}),
    });
    const gateway = await client.gateway();
    const remote = chooseRemote(context);
    const address = gatewayAddress(gateway, context.hostname(), remote);
    const words =
      role === 'node'
        ? ['fleet', 'node', 'up', '--gateway', address, '--code', code, '--detach']
        : ['fleet', 'login', address, '--code', code];
    const command = words.map(shellQuote).join(' ');
    const doubt = gateway.advertise === null ? doubtOf(address, gateway.listen.port) : undefined;
    if (context.json) {
      printJson(context, { code, expiresAt, command });
    } else {
      context.out.write(`${code}\n\n  ${command}\n\n`);
      const times = uses === 1 ? 'once' : `${uses} times`;
      const where = role === 'node' ? 'on the machine that shall join' : `where the new ${role} works`;
      context.err.write(`Good for ${formatDuration(ttlMs)}, ${times}. Type the command ${where}.\n`);
      if (role === 'node') context.err.write('--detach keeps the node running when the terminal closes.\n');
    }
    if (doubt !== undefined) context.err.write(formatError(doubt));
    return EXIT_OK;
  },
});

/** Why other machines may not reach the gateway by that address; undefined when nothing speaks against it. */
export function doubtOf(address: string, port: number): { message: string; hint: string } | undefined {
  const { host } = parseAddress(address, port);
  const isLocal = /^(localhost|127\..*|::1)$/.test(host);
  const isBare = !isIP(host) && (!host.includes('.') || /\.(local|localdomain|lan|home|internal)$/.test(host));
  if (!isLocal && !isBare) return undefined;
  return {
    message: isLocal ? `${host} means this machine only` : `${host} may not resolve on other machines`,
    hint: 'Set the name or address by which they reach the gateway: gateway.advertise in config.yaml, or fleet gateway up --advertise HOST',
  };
}

/** Where to dial, as short as it can be said: what the gateway advertises, else where we dialled it, else where it listens, else this machine's name. */
export function gatewayAddress(
  { advertise, listen }: Pick<GatewayView, 'advertise' | 'listen'>,
  hostname: string,
  remote?: string,
): string {
  if (advertise === null && remote !== undefined) return remote.slice(remote.lastIndexOf('@') + 1);
  const isAny = listen.host === '0.0.0.0' || listen.host === '::';
  const address =
    advertise === null
      ? { host: isAny ? hostname : listen.host, port: listen.port }
      : parseAddress(advertise, listen.port);
  return address.port === DEFAULT_GATEWAY_PORT && !address.host.includes(':') ? address.host : formatAddress(address);
}
