/** `fleet invite`: makes a code, and the whole command to type on the other machine. */
import { DEFAULT_GATEWAY_PORT } from '../../protocol/limits.ts';
import type { GatewayView } from '../../protocol/views.ts';
import { formatAddress, parseAddress } from '../../shared/address.ts';
import { formatDuration } from '../../shared/duration.ts';
import { parseCount } from '../args/count.ts';
import { parsePairs } from '../args/pairs.ts';
import { defineCommand } from '../command.ts';
import { openGateway, printJson } from '../context.ts';
import { EXIT_OK } from '../exit-code.ts';
import { parsePositiveDuration } from '../job/job-options.ts';

export const inviteCommand = defineCommand({
  name: 'invite',
  usage: '[OPTIONS]',
  describe: 'Makes a code with which a machine joins as a node, and prints the whole command to type there.',
  positionals: [],
  options: {
    name: { type: 'string', placeholder: 'NAME', describe: 'Name that the node will have' },
    role: { type: 'string', describe: 'What joins (node)', choices: ['node'] },
    ttl: { type: 'string', placeholder: 'DURATION', describe: 'How long the code is good for (5m)' },
    uses: { type: 'string', placeholder: 'N', describe: 'How many machines may use it (1)' },
    label: { type: 'list', placeholder: 'K=V', describe: 'Label that the node will have; may be given more than once' },
  },
  examples: [
    ['fleet invite', 'one machine, within five minutes'],
    ['fleet invite --name pi-7 --label site=berlin', 'with a name and a label'],
    ['fleet invite --uses 20 --ttl 1h --json', 'for a script that installs many machines'],
  ],
  async execute(context, { options }) {
    const client = openGateway(context);
    const ttlMs = parsePositiveDuration(options.ttl ?? '5m', '--ttl');
    const uses = parseCount(options.uses ?? '1', '--uses');
    const { code, expiresAt } = await client.invite({
      role: 'node',
      ttlMs,
      uses,
      labels: parsePairs(options.label, '--label'),
      ...(options.name === undefined ? {} : { name: options.name }),
    });
    const address = gatewayAddress(await client.gateway(), context.hostname());
    const command = `fleet node up --gateway ${address} --code ${code}`;
    if (context.json) {
      printJson(context, { code, expiresAt, command });
      return EXIT_OK;
    }
    context.out.write(`${code}\n\n  ${command}\n\n`);
    const times = uses === 1 ? 'once' : `${uses} times`;
    context.err.write(
      `Good for ${formatDuration(ttlMs)}, ${times}. Type the command on the machine that shall join.\n`,
    );
    return EXIT_OK;
  },
});

/** Where nodes dial, as short as it can be said: what the gateway advertises, else where it listens, else this machine's name. */
export function gatewayAddress(
  { advertise, listen }: Pick<GatewayView, 'advertise' | 'listen'>,
  hostname: string,
): string {
  const isAny = listen.host === '0.0.0.0' || listen.host === '::';
  const address =
    advertise === null
      ? { host: isAny ? hostname : listen.host, port: listen.port }
      : parseAddress(advertise, listen.port);
  return address.port === DEFAULT_GATEWAY_PORT && !address.host.includes(':') ? address.host : formatAddress(address);
}
