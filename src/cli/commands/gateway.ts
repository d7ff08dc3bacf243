/** `fleet gateway …`: the gateway of this home, from start to stop. */
import type { ConfigStateView } from '../../protocol/views.ts';
import { formatAddress } from '../../shared/address.ts';
import { formatRelativeTime } from '../../shared/duration.ts';
import { FleetError } from '../../shared/errors.ts';
import { gatewayPaths } from '../../shared/home.ts';
import { given } from '../args/values.ts';
import { assertOwnGateway, defineCommand, openGateway, openOwnGateway } from '../context/command.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson, printResult } from '../output/print.ts';
import { formatFacts } from '../output/table.ts';
import { LOG_OPTIONS, showLog } from '../service/logs.ts';
import { stopProcess } from '../service/process.ts';
import { detach, serve } from '../service/serve.ts';

const up = defineCommand({
  name: 'gateway up',
  describe:
    'Starts the gateway of this home: SSH for nodes, and the API on HOME/gateway.sock. Ctrl-C shuts it down cleanly.',
  options: {
    listen: { type: 'string', placeholder: 'ADDR:PORT', describe: 'Where nodes connect (0.0.0.0:18790)' },
    api: { type: 'string', placeholder: 'ADDR:PORT', describe: 'Also open the API on TCP (off; loopback 18789)' },
    advertise: { type: 'string', placeholder: 'HOST[:PORT]', describe: 'How nodes reach this gateway, for invites' },
    'log-level': { type: 'string', describe: 'Log level (info)', choices: ['debug', 'info', 'warn', 'error'] },
    'new-database': { type: 'boolean', describe: 'Start with an empty database if the old one is lost' },
    'adopt-home': { type: 'boolean', describe: 'Take over a home that another machine has used' },
    detach: { type: 'boolean', describe: 'Go to the background once ready' },
  },
  examples: [
    ['fleet gateway up', 'in the foreground, until Ctrl-C'],
    ['fleet gateway up --detach', 'in the background'],
    ['fleet gateway up --listen 0.0.0.0:2222 --advertise gw.example.org:2222', 'on another port'],
  ],
  async execute(context, { options }) {
    assertOwnGateway(context, 'gateway up');
    if (options.detach) return await detach(context, gatewayPaths(context.home).log);
    const { listen, api, advertise } = options;
    const flags = given({ listen, api, advertise, logLevel: options['log-level'] });
    const { home, configFile } = context;
    const [newDatabase, adoptHome] = [options['new-database'], options['adopt-home']];
    return await serve(context, {
      start: (signal, console) =>
        context.services.startGateway({ home, configFile, flags, newDatabase, adoptHome, console, signal }),
      onHangup: 'reload',
    });
  },
});

const down = defineCommand({
  name: 'gateway down',
  describe:
    'Shuts the gateway of this home down cleanly, and waits until it has stopped. Jobs are kept, and continue when it is back.',
  examples: [
    ['fleet gateway down', 'stop it'],
    ['fleet gateway down && fleet gateway up --detach', 'restart it'],
  ],
  async execute(context) {
    let pid: number | null = null;
    try {
      const gateway = openOwnGateway(context, 'gateway down');
      pid = await stopProcess(context, () => gateway.shutdown(), 'the gateway');
    } catch (error) {
      // Already stopped is what was asked for.
      if (!(error instanceof FleetError) || error.code !== 'gateway_unreachable') throw error;
      if (!context.json) context.err.write(`no gateway is running in ${context.home}\n`);
    }
    if (context.json) printJson(context, { pid });
    return EXIT_OK;
  },
});

const status = defineCommand({
  name: 'gateway status',
  describe:
    'Shows version, addresses, host key and load of the gateway of this home. Exit code 255 if it is not running.',
  examples: [
    ['fleet gateway status', 'for people'],
    ['fleet gateway status --json | jq -r .hostKeyFingerprint', 'for scripts'],
  ],
  async execute(context) {
    return printResult(context, await openGateway(context).gateway(), (view) => {
      const now = context.clock.now();
      return formatFacts([
        ['version', view.version],
        ['pid', String(view.pid)],
        ['started', formatRelativeTime(view.startedAt, now)],
        ['ssh', formatAddress(view.listen)],
        ['advertised as', view.advertise ?? ''],
        ['api', view.api === null ? 'unix socket only' : formatAddress(view.api)],
        ['host key', view.hostKeyFingerprint],
        ['nodes', `${view.nodes.connected} of ${view.nodes.paired} connected, ${view.nodes.pending} pending`],
        ['open runs', String(view.runs.open)],
        ['config', describeConfig(view.config, now)],
        ...(view.faults ?? []).map((fault) => ['FAULT', fault] as const),
      ]);
    });
  },
});

function describeConfig({ readAt, fault, restartNeeded }: ConfigStateView, now: number): string {
  const read = `read ${formatRelativeTime(readAt, now)}`;
  const restart = restartNeeded.length === 0 ? '' : `, needs a restart: ${restartNeeded.join(', ')}`;
  return `${read}${restart}${fault === null ? '' : `; INVALID since then, and not in effect: ${fault}`}`;
}

const logs = defineCommand({
  name: 'gateway logs',
  describe: 'Shows the end of the gateway log of this home, whether the gateway is running or not.',
  options: LOG_OPTIONS,
  examples: [
    ['fleet gateway logs -f', 'follow it'],
    ['fleet gateway logs -n 1000 --json | jq \'select(.level == "error")\'', 'for scripts'],
  ],
  async execute(context, { options }) {
    assertOwnGateway(context, 'gateway logs');
    return await showLog(context, gatewayPaths(context.home).log, options);
  },
});

const reload = defineCommand({
  name: 'gateway reload',
  describe: [
    'Makes the gateway reload config.yaml, as SIGHUP does. Changes of gateway.alerts (rules, receivers, groupWait) take effect at once;',
    'for any other change it says that a restart is needed. An invalid file changes nothing: exit code 78.',
  ],
  examples: [
    ['fleet gateway reload', 'after changing the alert rules'],
    ['fleet gateway reload && fleet alerts test', 'after changing the receivers'],
  ],
  async execute(context) {
    const { changed, restartNeeded } = await openGateway(context).reload();
    return printResult(context, { changed, restartNeeded }, () => {
      const active = changed.length === 0 ? 'no change took effect' : `in effect: ${changed.join(', ')}`;
      return `${active}\n${restartNeeded.length === 0 ? '' : `needs a restart: ${restartNeeded.join(', ')}\n`}`;
    });
  },
});

const rotateKey = defineCommand({
  name: 'gateway rotate-key',
  describe: [
    'Replaces the key that signs node tokens and run tickets. Nodes learn the new key with their next heartbeat or connection.',
    'Signatures of the old key stay valid for gateway.keyGrace (48 h). The SSH host key, which nodes have pinned, does not change.',
  ],
  examples: [
    ['fleet gateway rotate-key', 'once a year, or when an admin leaves'],
    ['fleet gateway rotate-key --json | jq -r .graceEndsAt', 'when the old key expires'],
  ],
  async execute(context) {
    return printResult(
      context,
      await openGateway(context).rotateKey(),
      ({ key, graceEndsAt }) => `the signing key is now ${key}; the previous one is accepted until ${graceEndsAt}\n`,
    );
  },
});

export const commands = [up, down, status, logs, reload, rotateKey];
