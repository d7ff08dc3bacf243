/** `fleet run`: one command on one node, as ssh would run it. */
import type { SubmitJobRequest } from '../../protocol/job-messages.ts';
import { FleetError } from '../../shared/errors.ts';
import { type CliContext, defineCommand, NODE, openGateway } from '../context/command.ts';
import { type ConductedJob, conductJob, onlyRun } from '../job/conduct-job.ts';
import { buildRequest, JOB_OPTIONS, noteUnsentStdin, refuseTwoFormats } from '../job/job-options.ts';
import { printEnd } from '../output/describe-run.ts';
import { EXIT_CANCELED, EXIT_OF_SIGNAL, EXIT_STDOUT_CLOSED, exitCodeOfRun } from '../output/exit-code.ts';
import { JsonlOutput, MissingOutput, RawOutput, ResultCollector } from '../output/job-output.ts';
import { printJson, printResult } from '../output/print.ts';

const run = defineCommand({
  name: 'run',
  usage: '[OPTIONS] NODE [--] COMMAND…',
  describe: [
    "Runs a command on one node. Its words are joined with spaces and passed to the node's shell, as ssh does.",
    "Options of fleet come before the command's first word. The exit code is the command's;",
    '124: timed out, 126: refused by the node, 130: canceled, 255: the fleet failed, or output is missing.',
  ],
  positionals: [NODE],
  passthrough: true,
  options: {
    ...JOB_OPTIONS,
    stdin: { type: 'boolean', describe: 'Send stdin to the command; otherwise stdin is not read' },
  },
  examples: [
    ["fleet run node-1 'uname -a'", 'one command'],
    ['fleet run --timeout 30s node-1 -- df -h /', 'with a time limit'],
    ['fleet run --stdin node-1 tar xf - < site.tar', 'send a file through stdin'],
    ['fleet run --expires 1d --async node-1 reboot', 'for a node that is offline, without waiting'],
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
    const { out, err, json } = context;
    const collector = new ResultCollector();
    const ports = { stdout: out, stderr: err };
    const output = json ? collector : options.jsonl ? new JsonlOutput(out) : new RawOutput(ports);
    const missing = new MissingOutput(context, options);
    const job = await conductJob(context, {
      client: openGateway(context),
      request,
      // As through a pipe; with --json all output has to fit into memory.
      whole: !out.isTerminal && !json,
      outputs: [output, missing],
      stdin: options.stdin,
    });
    const left = exitCodeOfLeaving(job);
    if (left !== undefined && job.leave !== 'interrupted') return left;
    const ended = onlyRun(job);
    if (json) printJson(context, collector.resultOf(ended));
    else if (!options.jsonl) printEnd(err, ended, request.timeoutMs, missing.isReported(ended.run));
    return left ?? missing.exitCode(exitCodeOfRun(ended));
  },
});

/** `--async`: the job's id, or the whole job with --json. */
export async function submitOnly(context: CliContext, request: SubmitJobRequest): Promise<number> {
  return printResult(context, await openGateway(context).submitJob(request), ({ job }) => `${job}\n`);
}

/** The exit code of a job that was left before its end; undefined for one that was not. */
export function exitCodeOfLeaving({ leave, signal }: ConductedJob): number | undefined {
  if (leave === 'end') return undefined;
  if (leave === 'abandoned' && signal !== undefined) return EXIT_OF_SIGNAL[signal];
  return leave === 'unread' ? EXIT_STDOUT_CLOSED : EXIT_CANCELED;
}

export const commands = [run];
