/** `fleet invite` and `fleet invites …`: codes with which a machine or a person joins. */
import { isIP } from 'node:net';
import { DEFAULT_GATEWAY_PORT } from '../../domain/limits.ts';
import { ROLES, type Role } from '../../domain/vocabulary.ts';
import { INVITE_LENGTHS, parseInviteCode } from '../../protocol/pairing.ts';
import type { GatewayView } from '../../protocol/views.ts';
import { formatAddress, parseAddress } from '../../shared/address.ts';
import { normalizeBase32 } from '../../shared/base32.ts';
import { formatDuration, formatRelativeTime } from '../../shared/duration.ts';
import { shellQuote } from '../../shared/text.ts';
import { given, parseCount, parsePairs, parsePositiveDuration } from '../args/values.ts';
import { chooseRemote, defineCommand, openGateway } from '../context/command.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { formatError, printJson, printResult } from '../output/print.ts';
import { printTable } from '../output/table.ts';
import { formatLabels } from './nodes.ts';

const invite = defineCommand({
  name: 'invite',
  describe: [
    'Creates a code with which a machine joins as a node, or a person logs in, and prints the whole command to run there.',
    'A code is shown once; `fleet invites list` shows which are open. Five failed attempts invalidate it.',
  ],
  options: {
    name: { type: 'string', placeholder: 'NAME', describe: 'Name for the node or person' },
    role: { type: 'string', describe: 'What joins (node)', choices: ROLES },
    ttl: { type: 'string', placeholder: 'DURATION', describe: 'How long the code is valid (5m)' },
    uses: { type: 'string', placeholder: 'N', describe: 'How often the code can be used (1)' },
    ephemeral: {
      type: 'boolean',
      describe: 'Forget nodes that join with it after an hour offline (ephemeralGrace)',
    },
    label: { type: 'list', placeholder: 'K=V', describe: 'Label for the node; repeatable' },
  },
  examples: [
    ['fleet invite', 'one machine, within five minutes'],
    ['fleet invite --name pi-7 --label site=berlin', 'with a name and a label'],
    ['fleet invite --role operator --name anna', 'a person who may run commands'],
    ['fleet invite --uses 100 --ttl 30d --ephemeral --json', 'for a machine image with many instances'],
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
      ...given({ name: options.name, ephemeral: options.ephemeral || undefined }),
    });
    const gateway = await client.gateway();
    const address = gatewayAddress(gateway, context.hostname(), chooseRemote(context));
    const words =
      role === 'node'
        ? ['fleet', 'node', 'up', '--gateway', address, '--code', code, '--detach']
        : ['fleet', 'login', address, '--code', code];
    const command = words.map(shellQuote).join(' ');
    const doubt = gateway.advertise === null ? doubtOf(address, gateway.listen.port) : undefined;
    if (context.json) printJson(context, { code, expiresAt, command });
    else {
      context.out.write(`${code}\n\n  ${command}\n\n`);
      const times = uses === 1 ? 'single use' : `${uses} uses`;
      const where = role === 'node' ? 'on the machine you want to add' : `on the ${role}'s computer`;
      context.err.write(`Valid for ${formatDuration(ttlMs)}, ${times}. Run this ${where}.\n`);
      if (role === 'node') context.err.write('--detach keeps the node running after the terminal closes.\n');
    }
    if (doubt !== undefined) context.err.write(formatError(doubt));
    return EXIT_OK;
  },
});

/** Why other machines may not reach the gateway at that address; undefined if it looks fine. */
export function doubtOf(address: string, port: number): { message: string; hint: string } | undefined {
  const { host } = parseAddress(address, port);
  const isLocal = /^(localhost|127\..*|::1)$/.test(host);
  const isBare = !isIP(host) && (!host.includes('.') || /\.(local|localdomain|lan|home|internal)$/.test(host));
  if (!isLocal && !isBare) return undefined;
  return {
    message: isLocal ? `${host} is only reachable from this machine` : `${host} may not resolve on other machines`,
    hint: 'Set the name or address that they can reach: gateway.advertise in config.yaml, or fleet gateway up --advertise HOST',
  };
}

/** The shortest address to dial: the advertised one, else the one we dialled, else where the gateway listens, else this machine's name. */
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

const list = defineCommand({
  name: 'invites list',
  describe: 'Lists the invites that can still be used, each by the first four characters of its code.',
  examples: [
    ['fleet invites list', 'what is open'],
    ["fleet invites list --json | jq -r '.[].id'", 'for scripts'],
  ],
  async execute(context) {
    const invites = await openGateway(context).invites();
    return printTable(context, invites, 'There are no open invites. Create one: fleet invite', {
      ID: ({ id }) => id,
      ROLE: ({ role, ephemeral }) => (ephemeral ? `${role} (ephemeral)` : role),
      NAME: ({ name }) => name ?? '',
      'USES LEFT': ({ usesLeft }) => String(usesLeft),
      'FAILED ATTEMPTS': ({ failures }) => String(failures),
      LABELS: ({ labels }) => formatLabels(labels),
      'CREATED BY': ({ createdBy }) => createdBy,
      CREATED: ({ createdAt }, now) => formatRelativeTime(createdAt, now),
      EXPIRES: ({ expiresAt }) => expiresAt.slice(0, 16).replace('T', ' '),
    });
  },
});

const revoke = defineCommand({
  name: 'invites revoke',
  describe: 'Invalidates an invite. Nodes and people that have joined with it stay.',
  positionals: [{ name: 'INVITE', describe: 'Its id, or the whole code' }],
  examples: [
    ['fleet invites revoke 7k3f', 'by its id'],
    ['fleet invites revoke 7k3f-9m2q-x0zt-4hcv', 'by a code that has leaked'],
  ],
  async execute(context, { positionals }) {
    const typed = normalizeBase32(positionals.INVITE) ?? positionals.INVITE.toLowerCase();
    const id = typed.length > INVITE_LENGTHS.id ? parseInviteCode(typed).id : typed;
    await openGateway(context).revokeInvite(id);
    return printResult(context, { id }, () => `invite ${id} is revoked\n`);
  },
});

export const commands = [invite, list, revoke];
