/** Options that `run` and `broadcast` share: how a command is to be run. */
import type { SubmitJobRequest } from '../../protocol/job-messages.ts';
import { environmentFault, MAX_COMMAND_BYTES } from '../../protocol/limits.ts';
import type { Priority } from '../../protocol/priority.ts';
import { FleetError } from '../../shared/errors.ts';
import { exactVariable, parsePositiveDuration } from '../args/values.ts';
import type { OptionTable, OptionValues } from '../context/command.ts';
import type { CliContext } from '../context/context.ts';
import { formatError } from '../output/print.ts';
import { randomIdempotencyKey } from './conduct-job.ts';

export const TRUNCATION_OPTION = {
  'allow-truncation': {
    type: 'boolean',
    describe: 'Incomplete output is not a failure (255) when stdout is no terminal',
  },
} as const satisfies OptionTable;

export const JOB_OPTIONS = {
  timeout: { type: 'string', placeholder: 'DURATION', describe: 'End the command after this time (30s, 5m, 1h30m)' },
  expires: { type: 'string', placeholder: 'DURATION', describe: 'Wait so long for a node that is offline' },
  cwd: { type: 'string', placeholder: 'DIR', describe: 'Folder on the node in which the command runs' },
  env: { type: 'list', placeholder: 'K=V', describe: 'Environment variable; K alone passes on your own' },
  user: { type: 'string', placeholder: 'USER', describe: 'Run as this user; the node must allow it' },
  lane: { type: 'string', placeholder: 'LANE', describe: 'Runs of one lane on a node come one after another' },
  priority: {
    type: 'string',
    describe: 'Who goes first among those that wait (normal)',
    choices: ['high', 'normal', 'low'],
  },
  async: { type: 'boolean', describe: "Print the job's id and do not wait" },
  'idempotency-key': {
    type: 'string',
    placeholder: 'KEY',
    describe: 'Submitting again with this key gives the same job',
  },
  jsonl: { type: 'boolean', describe: 'Print one JSON object a line as things happen' },
  ...TRUNCATION_OPTION,
} as const satisfies OptionTable;

/** The request but for its target. @throws FleetError `usage`. */
export function buildRequest(
  context: CliContext,
  options: OptionValues<typeof JOB_OPTIONS>,
  words: readonly string[],
): Omit<SubmitJobRequest, 'target'> & { idempotencyKey: string } {
  const { timeout, expires, cwd, user, lane, priority } = options;
  const env = parseEnvironment(options.env, context);
  return {
    kind: 'shell',
    command: joinWords(words),
    idempotencyKey: options['idempotency-key'] ?? randomIdempotencyKey(context),
    ...(timeout === undefined ? {} : { timeoutMs: parsePositiveDuration(timeout, '--timeout') }),
    ...(expires === undefined ? {} : { expiresMs: parsePositiveDuration(expires, '--expires') }),
    ...(cwd === undefined ? {} : { cwd }),
    ...(user === undefined ? {} : { user }),
    ...(lane === undefined ? {} : { lane }),
    ...(priority === undefined ? {} : { priority: priority as Priority }),
    ...(Object.keys(env).length === 0 ? {} : { env }),
  };
}

/** As ssh does it. @throws FleetError `usage` when there are none. */
function joinWords(words: readonly string[]): string {
  const command = words.join(' ');
  const bytes = Buffer.byteLength(command);
  if (bytes > MAX_COMMAND_BYTES) {
    throw new FleetError(
      'usage',
      `a command or prompt may take ${MAX_COMMAND_BYTES} bytes, and this one takes ${bytes}`,
      {
        hint: 'Send a long script through stdin: fleet run --stdin NODE sh < FILE',
      },
    );
  }
  if (command.trim() !== '') return command;
  throw new FleetError('usage', 'there is no command to run', {
    hint: "Write it last, for example: fleet run node-1 'uname -a'",
  });
}

/** `K=V`, and `K` for the value that it has here; one that is not set here is not set there, as docker does. */
function parseEnvironment(pairs: readonly string[], own: Pick<CliContext, 'env' | 'osBytes'>): Record<string, string> {
  const result: Record<string, string> = {};
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    const name = equals < 0 ? pair : pair.slice(0, equals);
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      // Never the value: it may be a secret.
      throw new FleetError('usage', `--env is not a variable: ${JSON.stringify(name)}`, {
        hint: 'Write it like --env K=V.',
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

/** Says that input which somebody seems to have meant for the command stays here. A pipe may be inherited, so only a person hears of that. */
export function noteUnsentStdin({ stdinKind, err }: CliContext, advice: string): void {
  const kind = stdinKind?.();
  if (kind === 'file' || (kind === 'pipe' && err.isTerminal)) {
    err.write(formatError({ message: `stdin was not sent; ${advice}`, hint: undefined }));
  }
}

/** Both at once would be two formats in one output. @throws FleetError `usage`. */
export function refuseTwoFormats(context: CliContext, jsonl: boolean): void {
  if (context.json && jsonl) throw new FleetError('usage', 'give either --json or --jsonl');
}
