/** The command of `fleet schedule add`, read by the same parser as if it ran now, as a typed action instead of a shell line. */
import type { REPORT_FORMATS } from '../../domain/vocabulary.ts';
import type { ScheduledAction } from '../../protocol/schedule.ts';
import { FleetError } from '../../shared/errors.ts';
import { parseCommandLine } from '../args/parse-command-line.ts';
import { parsePositiveDuration } from '../args/values.ts';
import type { AnyInvocation, CliContext, CommandRegistry, OptionValues } from '../context/command.ts';
import { addressAgent } from '../job/agent.ts';
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
  const { options, positionals, words: command } = parsed.invocation;
  refuseOthers(name, options, allowed);
  // The parser has checked the type of each option and positional.
  if (name === 'health report') return reportAction(options as { since?: string; format?: ReportFormat; out?: string });
  const given = options as JobOptions;
  const { NODE = '', AGENT = '' } = positionals as { NODE?: string; AGENT?: string };
  if (name === 'agent run') {
    // With --any, the gateway picks a node each time.
    const { agent, target, prompt } = addressAgent({ NODE, AGENT }, command, given);
    return { kind: 'job', request: { ...unkeyedRequest(context, given, prompt), kind: 'agent', agent, target } };
  }
  const request = unkeyedRequest(context, given, command);
  if (name === 'run') return { kind: 'job', request: { ...request, target: { node: NODE } } };
  const target = { selector: selectorOf(given), ...(given.exclude === undefined ? {} : { exclude: given.exclude }) };
  const flow = buildFlow(given);
  return { kind: 'job', request: { ...request, target, ...(Object.keys(flow).length === 0 ? {} : { flow }) } };
}

type ReportFormat = (typeof REPORT_FORMATS)[number];
type JobOptions = OptionValues<typeof JOB_OPTIONS> &
  Parameters<typeof buildFlow>[0] &
  Parameters<typeof selectorOf>[0] & { any?: boolean; exclude?: string };

function unkeyedRequest(...request: Parameters<typeof buildRequest>) {
  const { idempotencyKey: _key, ...unkeyed } = buildRequest(...request);
  return unkeyed;
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

function reportAction({
  since,
  format,
  out,
}: {
  since?: string;
  format?: ReportFormat;
  out?: string;
}): ScheduledAction {
  if (out === undefined) {
    throw new FleetError('usage', 'health report: a scheduled report needs --out FILE', {
      hint: "A path on the gateway's machine: absolute, or below HOME/reports.",
    });
  }
  return { kind: 'report', format: format ?? 'text', sinceMs: parsePositiveDuration(since ?? '24h', '--since'), out };
}
