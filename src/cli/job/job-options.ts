/** The options that `run`, `broadcast` and `agent run` share, and the request that they make. */
import { environmentFault, MAX_COMMAND_BYTES } from '../../domain/limits.ts';
import type { Priority } from '../../domain/vocabulary.ts';
import type { SubmitJobRequest } from '../../protocol/job-messages.ts';
import { FleetError } from '../../shared/errors.ts';
import { exactVariable, given, parsePositiveDuration } from '../args/values.ts';
import type { CliContext, OptionTable, OptionValues } from '../context/command.ts';
import { formatError } from '../output/print.ts';
import { randomIdempotencyKey } from './conduct-job.ts';

export const TRUNCATION_OPTION = {
  'allow-truncation': {
    type: 'boolean',
    describe: 'Incomplete output is not a failure (255) if stdout is not a terminal',
  },
} as const satisfies OptionTable;

export const JOB_OPTIONS = {
  timeout: { type: 'string', placeholder: 'DURATION', describe: 'Stop the command after this time (30s, 5m, 1h30m)' },
  expires: { type: 'string', placeholder: 'DURATION', describe: 'Wait up to this long for an offline node' },
  cwd: { type: 'string', placeholder: 'DIR', describe: 'Working directory on the node' },
  env: { type: 'list', placeholder: 'K=V', describe: 'Environment variable; K alone passes your value' },
  user: { type: 'string', placeholder: 'USER', describe: 'Run as this user; the node must allow it' },
  lane: { type: 'string', placeholder: 'LANE', describe: 'Runs in the same lane of a node run one at a time' },
  priority: {
    type: 'string',
    describe: 'Priority among waiting runs (normal)',
    choices: ['high', 'normal', 'low'],
  },
  async: { type: 'boolean', describe: "Print the job's id and do not wait" },
  'idempotency-key': {
    type: 'string',
    placeholder: 'KEY',
    describe: 'Submitting again with the same key returns the same job',
  },
  jsonl: { type: 'boolean', describe: 'Print one JSON object a line as things happen' },
  ...TRUNCATION_OPTION,
} as const satisfies OptionTable;

/** The request without its target. @throws FleetError `usage`. */
export function buildRequest(
  context: CliContext,
  options: OptionValues<typeof JOB_OPTIONS>,
  words: readonly string[],
): Omit<SubmitJobRequest, 'target'> & { idempotencyKey: string } {
  const { cwd, user, lane } = options;
  const env = parseEnvironment(options.env, context);
  return {
    kind: 'shell',
    command: joinWords(words),
    idempotencyKey: options['idempotency-key'] ?? randomIdempotencyKey(context),
    ...given({
      timeoutMs: parsePositiveDuration(options.timeout, '--timeout'),
      expiresMs: parsePositiveDuration(options.expires, '--expires'),
      cwd,
      user,
      lane,
      priority: options.priority as Priority | undefined,
      env: Object.keys(env).length === 0 ? undefined : env,
    }),
  };
}

/** As ssh does. @throws FleetError `usage` if there are none. */
function joinWords(words: readonly string[]): string {
  const command = words.join(' ');
  const bytes = Buffer.byteLength(command);
  if (bytes > MAX_COMMAND_BYTES) {
    throw new FleetError('usage', `the command or prompt has ${bytes} bytes; the maximum is ${MAX_COMMAND_BYTES}`, {
      hint: 'Send a long script through stdin: fleet run --stdin NODE sh < FILE',
    });
  }
  if (command.trim() !== '') return command;
  throw new FleetError('usage', 'there is no command to run', {
    hint: "Put it last, for example: fleet run node-1 'uname -a'",
  });
}

/** `K=V`, or `K` for its local value; one that is not set here is not set there, as with docker. */
function parseEnvironment(pairs: readonly string[], own: Pick<CliContext, 'env' | 'osBytes'>): Record<string, string> {
  const result: Record<string, string> = {};
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    const name = equals < 0 ? pair : pair.slice(0, equals);
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      // Never quote the value: it may be a secret.
      throw new FleetError('usage', `--env is not a variable name: ${JSON.stringify(name)}`, {
        hint: 'For example: --env K=V.',
      });
    }
    const value = equals < 0 ? exactVariable(name, own) : pair.slice(equals + 1);
    if (value !== undefined) result[name] = value;
  }
  const fault = environmentFault(result);
  if (fault !== undefined)
    throw new FleetError('usage', `--env: ${fault}`, { hint: 'Send large data through --stdin.' });
  return result;
}

/** Notes that input apparently meant for the command was not sent. A pipe may be inherited, so it is reported on a terminal only. */
export function noteUnsentStdin({ stdinKind, err }: CliContext, advice: string): void {
  const kind = stdinKind?.();
  if (kind === 'file' || (kind === 'pipe' && err.isTerminal)) {
    err.write(formatError({ message: `stdin was not sent; ${advice}` }));
  }
}

/** @throws FleetError `usage` if both --json and --jsonl are given. */
export function refuseTwoFormats(context: CliContext, jsonl: boolean): void {
  if (context.json && jsonl) throw new FleetError('usage', 'use either --json or --jsonl');
}
