/** `fleet run`: one command on one node, as ssh would run it. */
import type { SubmitJobRequest } from '../../protocol/job-messages.ts';
import { FleetError } from '../../shared/errors.ts';
import { defineCommand } from '../context/command.ts';
import type { CliContext } from '../context/context.ts';
import { openGateway } from '../context/open-gateway.ts';
import { type ConductedJob, conductJob, onlyRun } from '../job/conduct-job.ts';
import { buildRequest, JOB_OPTIONS, noteUnsentStdin, refuseTwoFormats } from '../job/job-options.ts';
import { explainEnd } from '../output/describe-run.ts';
import { EXIT_CANCELED, EXIT_OF_SIGNAL, EXIT_OK, EXIT_STDOUT_CLOSED, exitCodeOfRun } from '../output/exit-code.ts';
import { type JobOutput, JsonlOutput, MissingOutput, RawOutput, ResultCollector } from '../output/job-output.ts';
import { formatError, printJson } from '../output/print.ts';

export const runCommand = defineCommand({
  name: 'run',
  usage: '[OPTIONS] NODE [--] COMMAND…',
  describe: [
    'Runs a command on one node. Its words are joined by blanks and given to the shell of the node, as ssh does.',
    "Options of fleet stand before the command's first word. The exit code is that of the command;",
    '124: timed out, 126: the node refused, 130: canceled, 255: the fleet failed, or output is missing.',
  ].join('\n'),
  positionals: [{ name: 'NODE', describe: 'Name, id or unique beginning of an id' }],
  passthrough: true,
  options: {
    ...JOB_OPTIONS,
    stdin: { type: 'boolean', describe: 'Send stdin to the command; without it, stdin is not touched' },
  },
  examples: [
    ["fleet run node-1 'uname -a'", 'one command'],
    ['fleet run --timeout 30s node-1 -- df -h /', 'with a limit'],
    ['fleet run --stdin node-1 tar xf - < site.tar', 'send a file through stdin'],
    ['fleet run --expires 1d --async node-1 reboot', 'wait for a node that is offline, but not here'],
  ],
  async execute(context, { options, positionals, words }) {
    refuseTwoFormats(context, options.jsonl);
    if (options.async && options.stdin) throw new FleetError('usage', '--async does not wait, so it cannot send stdin');
    // To Node, a folder reads as an empty file.
    if (options.stdin && context.stdinKind?.() === 'folder') throw new FleetError('usage', 'stdin is a folder');
    const request = {
      ...buildRequest(context, options, words),
      target: { node: positionals.NODE },
      ...(options.stdin ? { stdin: true } : {}),
    };
    if (!options.stdin) noteUnsentStdin(context, 'use --stdin');
    if (options.async) return await submitOnly(context, request);
    const collector = context.json ? new ResultCollector() : undefined;
    const output: JobOutput =
      collector ??
      (options.jsonl ? new JsonlOutput(context.out) : new RawOutput({ stdout: context.out, stderr: context.err }));
    const machine = context.json || options.jsonl;
    // As through a pipe; a document at the end (--json) has to fit into memory.
    const whole = !context.out.isTerminal && !context.json;
    const missing = new MissingOutput({ ...context, allowed: options['allow-truncation'], machine });
    const job = await conductJob(context, {
      client: openGateway(context),
      request,
      whole,
      output: {
        handle(event) {
          output.handle(event);
          missing.handle(event);
        },
      },
      stdin: options.stdin,
    });
    const left = exitCodeOfLeaving(job);
    if (left !== undefined && job.leave !== 'interrupted') return left;
    const run = onlyRun(job);
    if (collector !== undefined) printJson(context, collector.resultOf(run));
    else if (!options.jsonl) explain(context, explainEnd(run, request.timeoutMs, missing.isTold(run.run)));
    return left ?? missing.exitCode(exitCodeOfRun(run));
  },
});

/** `--async`: the job's id, or all about it with --json. */
export async function submitOnly(context: CliContext, request: SubmitJobRequest): Promise<number> {
  const job = await openGateway(context).submitJob(request);
  if (context.json) printJson(context, job);
  else context.out.write(`${job.job}\n`);
  return EXIT_OK;
}

/** The exit code of a job that was not led to its own end. */
export function exitCodeOfLeaving({ leave, signal }: ConductedJob): number | undefined {
  if (leave === 'end') return undefined;
  if (leave === 'abandoned' && signal !== undefined) return EXIT_OF_SIGNAL[signal];
  return leave === 'unread' ? EXIT_STDOUT_CLOSED : EXIT_CANCELED;
}

function explain(context: CliContext, explanations: readonly { message: string; hint: string | undefined }[]): void {
  for (const explanation of explanations) context.err.write(formatError(explanation));
}
