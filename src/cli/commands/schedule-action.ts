/** The command of `fleet schedule add`, read by the same parser as if it ran now, as a typed action instead of a shell line. */
import type { REPORT_FORMATS } from '../../domain/vocabulary.ts';
import type { SubmitJobRequest } from '../../protocol/job-messages.ts';
import type { ScheduledAction } from '../../protocol/schedule.ts';
import { FleetError } from '../../shared/errors.ts';
import { parseCommandLine } from '../args/parse-command-line.ts';
import { parsePositiveDuration } from '../args/values.ts';
import type { AnyInvocation, CommandRegistry, OptionValues } from '../context/command.ts';
import type { CliContext } from '../context/context.ts';
import { addressAgent } from '../job/conduct-agent.ts';
import { buildRequest, type JOB_OPTIONS } from '../job/job-options.ts';
import { buildFlow, selectorOf } from './broadcast.ts';

const HOW_TO_RUN = ['timeout', 'expires', 'cwd', 'env', 'user', 'lane', 'priority'];
/** Commands that can be scheduled, and those of their options that make sense unattended. */
const SCHEDULABLE: Readonly<Record<string, readonly string[]>> = {
  run: HOW_TO_RUN,
  broadcast: [...HOW_TO_RUN, 'on', 'all', 'exclude', 'fanout', 'ramp', 'max-errors'],
  'agent run': [...HOW_TO_RUN, 'any', 'on'],
  'health report': ['since', 'format', 'out'],
};

const HINT = "For example: fleet schedule add '0 7 * * *' -- broadcast uptime";

/** @throws FleetError `usage`. */
export async function parseAction(
  context: CliContext,
  words: readonly string[],
  registry: CommandRegistry,
): Promise<ScheduledAction> {
  if (words.length === 0) throw new FleetError('usage', 'there is nothing to schedule', { hint: HINT });
  const parsed = await parseCommandLine(words, registry);
  const name = parsed.kind === 'command' ? parsed.command.name : words.join(' ');
  const allowed = Object.hasOwn(SCHEDULABLE, name) ? SCHEDULABLE[name] : undefined;
  if (parsed.kind !== 'command' || allowed === undefined) {
    throw new FleetError('usage', `${JSON.stringify(name)} cannot be scheduled`, {
      hint: `These can: ${Object.keys(SCHEDULABLE).join(', ')}`,
    });
  }
  const { invocation } = parsed;
  refuseOthers(name, invocation.options, allowed);
  if (name === 'health report') return reportAction(invocation);
  // The parser has checked the type of each option.
  const options = invocation.options as OptionValues<typeof JOB_OPTIONS> & Parameters<typeof buildFlow>[0];
  return name === 'agent run'
    ? agentAction(context, invocation, options)
    : shellAction(context, name, invocation, options);
}

type JobOptionValues = OptionValues<typeof JOB_OPTIONS>;

function shellAction(
  context: CliContext,
  name: string,
  invocation: AnyInvocation,
  options: JobOptionValues & Parameters<typeof buildFlow>[0],
): ScheduledAction {
  const target = name === 'run' ? { node: textOf(invocation.positionals.NODE) ?? '' } : targetOf(invocation);
  const { idempotencyKey: _key, ...request } = buildRequest(context, options, invocation.words);
  const flow = name === 'run' ? {} : buildFlow(options);
  return { kind: 'job', request: { ...request, target, ...(Object.keys(flow).length === 0 ? {} : { flow }) } };
}

/** With --any, the gateway picks a node each time. */
function agentAction(context: CliContext, invocation: AnyInvocation, options: JobOptionValues): ScheduledAction {
  const { positionals, words } = invocation;
  const names = { NODE: textOf(positionals.NODE) ?? '', AGENT: textOf(positionals.AGENT) ?? '' };
  const { agent, target, prompt } = addressAgent(names, words, {
    any: invocation.options.any === true,
    on: textOf(invocation.options.on),
  });
  const { idempotencyKey: _key, ...request } = buildRequest(context, options, prompt);
  return { kind: 'job', request: { ...request, kind: 'agent', agent, target } };
}

function refuseOthers(name: string, options: AnyInvocation['options'], allowed: readonly string[]): void {
  for (const [option, value] of Object.entries(options)) {
    const isGiven = Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false;
    if (!isGiven || allowed.includes(option)) continue;
    throw new FleetError('usage', `--${option} cannot be used with a scheduled ${name}`, {
      hint: `Options of fleet schedule add come before CRON. Allowed for ${name}: --${allowed.join(', --')}`,
    });
  }
}

function targetOf({ options }: AnyInvocation): Exclude<SubmitJobRequest['target'], { node: string } | { any: string }> {
  const exclude = textOf(options.exclude);
  return {
    selector: selectorOf({ on: textOf(options.on), all: options.all === true }),
    ...(exclude === undefined ? {} : { exclude }),
  };
}

function reportAction({ options }: AnyInvocation): ScheduledAction {
  const out = textOf(options.out);
  if (out === undefined) {
    throw new FleetError('usage', 'health report: a scheduled report needs --out FILE', {
      hint: "A path on the gateway's machine: absolute, or below HOME/reports.",
    });
  }
  return {
    kind: 'report',
    // The parser accepts no other.
    format: (textOf(options.format) ?? 'text') as (typeof REPORT_FORMATS)[number],
    sinceMs: parsePositiveDuration(textOf(options.since) ?? '24h', '--since'),
    out,
  };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
