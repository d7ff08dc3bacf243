/** `fleet node …`: the node on this machine, from pairing to leaving. */
import { NodeControlClient } from '../../client/node-control-client.ts';
import type { NodePolicyView, NodeStatusView } from '../../protocol/node-control.ts';
import { formatRelativeTime } from '../../shared/duration.ts';
import { FleetError } from '../../shared/errors.ts';
import { nodesFolder } from '../../shared/home.ts';
import { trimPasted } from '../../shared/text.ts';
import { given, parsePairs } from '../args/values.ts';
import { type CliContext, defineCommand } from '../context/command.ts';
import type { PendingInfo } from '../context/services.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { formatError, formatMs, printJson, printResult } from '../output/print.ts';
import { formatFacts } from '../output/table.ts';
import { LOG_OPTIONS, showLog } from '../service/logs.ts';
import { findNodeProfile } from '../service/node-profile.ts';
import { stopProcess, untilGone } from '../service/process.ts';
import { detach, serve } from '../service/serve.ts';

const NAME = { type: 'string', placeholder: 'NAME', describe: 'Which node, if there are several' } as const;

function openNode({ home }: CliContext, name: string | undefined) {
  const { profile, paths } = findNodeProfile(home, name);
  return { profile, control: new NodeControlClient({ socketPath: paths.socket, profile }) };
}

const up = defineCommand({
  name: 'node up',
  usage: '--gateway HOST[:PORT] [--code CODE] [OPTIONS]',
  describe: [
    'Pairs this machine with a gateway if needed, then keeps a tunnel to it and runs the jobs it sends.',
    'Without a code, the node waits until an operator approves it on the gateway. Ctrl-C shuts it down cleanly.',
  ],
  options: {
    gateway: { type: 'string', placeholder: 'HOST[:PORT]', describe: 'The gateway (FLEET_GATEWAY); only for pairing' },
    code: { type: 'string', placeholder: 'CODE', describe: 'From `fleet invite` (FLEET_CODE)' },
    name: { type: 'string', placeholder: 'NAME', describe: 'Name of this node (FLEET_NAME, else the hostname)' },
    label: { type: 'list', placeholder: 'K=V', describe: 'Label of this node; repeatable' },
    'adopt-home': { type: 'boolean', describe: 'Take over a home that another machine has used' },
    detach: { type: 'boolean', describe: 'Go to the background once online' },
  },
  examples: [
    ['fleet node up --gateway gw.example.org --code 7k3f-9m2q-x0zt-4hcv', 'join with an invite'],
    ['fleet node up --gateway gw.example.org:2222 --name pi-7 --label site=berlin', 'ask for approval'],
    ['fleet node up --detach', 'reconnect after pairing'],
  ],
  async execute(context, { options }) {
    if (options.detach) return await detach(context, `${nodesFolder(context.home)}/*/node.log`);
    const { home, configFile, env } = context;
    const flags = given({
      gateway: options.gateway ?? (env.FLEET_GATEWAY || undefined),
      code: options.code ?? (env.FLEET_CODE || undefined),
      name: options.name ?? (trimPasted(env.FLEET_NAME ?? '') || undefined),
      labels: options.label.length === 0 ? undefined : parsePairs(options.label, '--label'),
    });
    const adoptHome = options['adopt-home'];
    const onPending = (info: PendingInfo): void => reportPending(context, info);
    return await serve(context, {
      start: (signal, console, onBegun) =>
        context.services.startNode({ home, configFile, flags, adoptHome, console, onPending, onBegun, signal }),
      onHangup: 'reconnect',
    });
  },
});

function reportPending(context: CliContext, { code, gateway, name }: PendingInfo): void {
  const text = formatError({
    message: `${name} is waiting for approval by ${gateway}; its code is ${code}`,
    hint: `On the gateway, compare the code and run: fleet nodes approve ${code}`,
  });
  context.err.write(text);
  void context.reportToParent?.({ note: text });
}

const down = defineCommand({
  name: 'node down',
  describe: 'Shuts the node on this machine down cleanly, and waits until it has stopped. Running commands continue.',
  options: {
    name: NAME,
    forget: { type: 'boolean', describe: 'Leave the fleet: the gateway forgets this node and its key' },
  },
  examples: [
    ['fleet node down', 'the only node'],
    ['fleet node down --name pi-7', 'one of several'],
    ['fleet node down --forget', 'for good, for example when a container ends'],
  ],
  async execute(context, { options }) {
    let pid: number | null = null;
    try {
      const { profile, control } = openNode(context, options.name);
      if (options.forget) {
        // Not repeated: after a lost connection it is unknown whether the gateway has heard.
        pid = (await control.leave()).pid;
        await untilGone(context, pid, `node ${profile}`);
      } else {
        pid = await stopProcess(context, () => control.shutdown(), `node ${profile}`);
      }
    } catch (error) {
      // Already stopped is what was asked for; a name that does not exist is still a mistake.
      const isDown =
        error instanceof FleetError &&
        !options.forget &&
        (error.code === 'not_running' || (error.code === 'not_found' && options.name === undefined));
      if (!isDown) throw error;
      if (!context.json) context.err.write('node is not running\n');
    }
    if (context.json) printJson(context, { pid });
    return EXIT_OK;
  },
});

const status = defineCommand({
  name: 'node status',
  describe: 'Shows whether the node on this machine is connected, and if not, why. Exit code 255 if it is not running.',
  options: { name: NAME },
  examples: [
    ['fleet node status', 'for people'],
    ['fleet node status --json | jq -r .state', 'for scripts'],
  ],
  async execute(context, { options }) {
    const view = await openNode(context, options.name).control.status();
    return printResult(context, view, () => formatFacts(describeNode(view, context.clock.now())));
  },
});

function describeNode(view: NodeStatusView, now: number): [string, string][] {
  const ago = (time: string | null): string | null => (time === null ? null : formatRelativeTime(time, now));
  const facts: [string, string | null | undefined][] = [
    ['node', view.name ?? `${view.profile} (not paired)`],
    ['state', view.state],
    ['gateway', view.gateway],
    ['code to compare', view.pendingCode],
    ['last error', view.lastError?.message],
    ['what to do', view.lastError?.hint],
    ['next attempt', ago(view.retryAt)],
    ['connected', ago(view.connectedSince)],
    ['round trip', view.rttMs === null ? null : formatMs(view.rttMs)],
    ['clock skew', view.skewMs === null ? null : formatMs(view.skewMs)],
    ...view.faults.map((fault): [string, string] => ['fault', fault]),
    ...describePolicy(view.policy),
    ['runs', String(view.runsActive)],
    ['connects', String(view.connects)],
    ['version', view.version],
    ['pid', String(view.pid)],
    ['started', ago(view.startedAt)],
  ];
  return facts.filter((fact): fact is [string, string] => typeof fact[1] === 'string');
}

/** One line a rule, and what it means where the policy says nothing. */
function describePolicy(policy: NodePolicyView | null): [string, string][] {
  if (policy === null) return [['policy', 'none: the gateway may request anything']];
  const { kinds, commands, deny, users, env, folders, maxConcurrency } = policy;
  const facts: [string, readonly string[]][] = [
    ['kinds', [listOf(kinds)]],
    ['commands', commands === null ? ['any'] : []],
    ['allow', commands?.allow ?? []],
    ['exact', (commands?.exact ?? []).map((line) => JSON.stringify(line))],
    ['deny', deny.map((pattern) => JSON.stringify(pattern))],
    ['users', [users === null ? 'any' : listOf(["the node's own", ...users])]],
    ['env', [env === null ? 'any that cannot make another program run' : listOf(env)]],
    ['folders', [folders === null ? 'any' : listOf(['the home folder', ...folders])]],
    ['at once', [maxConcurrency === null ? 'no limit' : String(maxConcurrency)]],
  ];
  return facts.flatMap(([rule, values]) => values.map((value): [string, string] => [`policy: ${rule}`, value]));
}

function listOf(words: readonly string[]): string {
  return words.join(', ') || 'none';
}

const logs = defineCommand({
  name: 'node logs',
  describe: 'Shows the end of the node log on this machine, whether the node is running or not.',
  options: { ...LOG_OPTIONS, name: NAME },
  examples: [
    ['fleet node logs -f', 'follow it'],
    ['fleet node logs -n 1000 --json | jq \'select(.level == "error")\'', 'for scripts'],
  ],
  async execute(context, { options }) {
    return await showLog(context, findNodeProfile(context.home, options.name).paths.log, options);
  },
});

const rotateKey = defineCommand({
  name: 'node rotate-key',
  describe: [
    'Replaces the key of the node on this machine, now or at its next connection. It remains the same node, and its commands continue.',
    'From then on the gateway refuses the old key and every copy of it.',
  ],
  options: { name: NAME },
  examples: [
    ['fleet node rotate-key', 'the only node'],
    ['fleet node rotate-key --name pi-7 --json | jq -r .fingerprint', 'one of several'],
  ],
  async execute(context, { options }) {
    const view = await openNode(context, options.name).control.rotateKey();
    return printResult(context, view, ({ state, fingerprint }) =>
      state === 'rotated'
        ? `the key is now ${fingerprint}\n`
        : `the node is not connected; from its next connection the key will be ${fingerprint}\n`,
    );
  },
});

export const commands = [up, down, status, logs, rotateKey];
