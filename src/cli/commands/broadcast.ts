/** `fleet broadcast`: one command on many nodes at once. */
import type { Flow, SubmitJobRequest } from '../../protocol/job-messages.ts';
import { foldNodeNames } from '../../protocol/node-set.ts';
import { ALL, ALL_CONNECTED } from '../../protocol/selector.ts';
import { FleetError } from '../../shared/errors.ts';
import { parseCount } from '../args/values.ts';
import { defineCommand, type OptionValues } from '../context/command.ts';
import type { CliContext } from '../context/context.ts';
import { openGateway } from '../context/open-gateway.ts';
import { type ConductedJob, conductJob } from '../job/conduct-job.ts';
import { buildRequest, JOB_OPTIONS, noteUnsentStdin, refuseTwoFormats } from '../job/job-options.ts';
import { countOutcomes, explainEnd, summarizeRuns } from '../output/describe-run.ts';
import { EXIT_OK, exitCodeOfBroadcast } from '../output/exit-code.ts';
import { GatheredOutput, printDiff, printGroups } from '../output/gather.ts';
import { type JobOutput, JsonlOutput, MissingOutput, ResultCollector } from '../output/job-output.ts';
import { LiveOutput } from '../output/live-output.ts';
import { FolderOutput } from '../output/outdir.ts';
import { formatError, printJson } from '../output/print.ts';
import { exitCodeOfLeaving, submitOnly } from './run.ts';

const OPTIONS = {
  on: { type: 'string', placeholder: 'SELECTOR', describe: 'Which nodes (all that are connected)' },
  all: { type: 'boolean', describe: 'All nodes: those that are offline count as failed, or wait with --expires' },
  exclude: { type: 'string', alias: 'x', placeholder: 'SELECTOR', describe: 'But not these' },
  'dry-run': { type: 'boolean', describe: 'Only say which nodes are meant' },
  fanout: { type: 'string', alias: 'f', placeholder: 'N', describe: 'At most so many at once' },
  ramp: { type: 'boolean', describe: 'First one node, then 2, 4, …, each batch after the one before' },
  'max-errors': { type: 'string', placeholder: 'N|N%', describe: 'After more failures than this, begin no more' },
  gather: { type: 'boolean', alias: 'b', describe: 'Show equal output once, at the end' },
  diff: { type: 'boolean', describe: 'Show how outputs differ from the most common one' },
  'no-label': { type: 'boolean', alias: 'N', describe: 'Lines without the name of their node' },
  outdir: { type: 'string', placeholder: 'DIR', describe: 'Also keep the output in DIR/NODE.out and DIR/NODE.err' },
  'exit-zero': { type: 'boolean', describe: 'Exit with 0 whatever becomes of the runs' },
  ...JOB_OPTIONS,
} as const;

type Options = OptionValues<typeof OPTIONS>;

export const broadcastCommand = defineCommand({
  name: 'broadcast',
  usage: '[OPTIONS] [--] COMMAND…',
  describe: [
    'Runs a command on many nodes at once; by default on all that are connected.',
    'A selector has names, * and ?, sets such as web-[1-20], @label:K=V, @online, @all; "," union, "&" intersection,',
    '"!" difference. The exit code is the largest of all runs.',
  ].join('\n'),
  positionals: [],
  passthrough: true,
  options: OPTIONS,
  examples: [
    ['fleet broadcast uptime', 'on all that are connected'],
    ["fleet broadcast --on 'web-[1-20],@site=berlin' -b uname -r", 'on some, equal output shown once'],
    ['fleet broadcast --ramp --max-errors 5% -- systemctl restart app', 'carefully'],
  ],
  async execute(context, { options, words }) {
    refuseTwoFormats(context, options.jsonl);
    const selector = selectorOf(options);
    if (options['dry-run']) return await dryRun(context, selector, options.exclude);
    const flow = buildFlow(options);
    const request = {
      ...buildRequest(context, options, words),
      target: { selector, ...(options.exclude === undefined ? {} : { exclude: options.exclude }) },
      ...(Object.keys(flow).length === 0 ? {} : { flow }),
    };
    noteUnsentStdin(context, 'only fleet run --stdin sends it');
    if (options.async) return await submitOnly(context, request);
    return await conduct(context, request, options);
  },
});

async function conduct(
  context: CliContext,
  request: SubmitJobRequest & { idempotencyKey: string },
  options: Options,
): Promise<number> {
  const { out, err } = context;
  const isForPeople = !context.json && !options.jsonl;
  const collector = new ResultCollector();
  const gathered = new GatheredOutput();
  const live = new LiveOutput({
    ports: { stdout: out, stderr: err },
    unlabeled: options['no-label'],
    clock: context.clock,
  });
  const isGathered = options.gather || options.diff;
  const outputs: JobOutput[] = [
    context.json ? collector : options.jsonl ? new JsonlOutput(out) : isGathered ? gathered : live,
  ];
  const missing = new MissingOutput({
    out,
    err,
    allowed: options['allow-truncation'],
    machine: !isForPeople,
    files: options.outdir !== undefined,
  });
  outputs.push(missing);
  if (options.outdir !== undefined) {
    const folder = new FolderOutput(options.outdir);
    folder.open();
    outputs.push(folder);
  }
  const job = await conductJob(context, {
    client: openGateway(context),
    request,
    output: {
      handle(event) {
        for (const output of outputs) output.handle(event);
      },
    },
  });
  const runs = job.ended.toSorted((a, b) => a.index - b.index);
  live.close();
  if (context.json) {
    const results = runs.map((run) => collector.resultOf(run));
    printJson(context, { job: job.job, runs: results, counts: countOutcomes(runs), notTried: job.notTried });
  } else if (isForPeople && isGathered) {
    gathered.close();
    if (options.gather) printGroups(gathered, { stdout: out, stderr: err }, out.style.cyan);
    if (options.diff) await printDiff(gathered, context);
  }
  if (isForPeople) summarize(context, { ...job, ended: runs }, missing, request.timeoutMs);
  if (options['exit-zero'] && job.leave === 'end') return EXIT_OK;
  return exitCodeOfLeaving(job) ?? missing.exitCode(exitCodeOfBroadcast(runs));
}

function summarize(
  { err }: CliContext,
  { ended: runs, notTried }: ConductedJob,
  missing: MissingOutput,
  timeoutMs: number | undefined,
): void {
  const truncated = runs.filter((run) => run.truncated && run.state === 'exited' && !missing.isTold(run.run));
  for (const explanation of truncated.flatMap((run) => explainEnd(run, timeoutMs))) err.write(formatError(explanation));
  const allWell = exitCodeOfBroadcast(runs) === 0;
  if (runs.length === 0 || (allWell && notTried.length === 0 && !err.isTerminal)) return;
  for (const line of summarizeRuns(runs, notTried)) err.write(`${line}\n`);
}

/** @throws FleetError `usage`. */
export function selectorOf({ on, all }: { on?: string | undefined; all?: boolean | undefined }): string {
  if (on !== undefined && all) throw new FleetError('usage', 'give either --on or --all');
  return on ?? (all ? ALL : ALL_CONNECTED);
}

async function dryRun(context: CliContext, selector: string, exclude: string | undefined): Promise<number> {
  const nodes = await openGateway(context).nodes({ selector, exclude });
  const names = nodes.map((node) => node.name);
  const folded = foldNodeNames(names);
  if (context.json) {
    printJson(context, { selector, exclude: exclude ?? null, count: names.length, folded, nodes: names });
    return EXIT_OK;
  }
  context.err.write(names.length === 0 ? 'no node\n' : `${folded} (${names.length})\n`);
  context.out.write(names.map((name) => `${name}\n`).join(''));
  return EXIT_OK;
}

/** @throws FleetError `usage`. */
export function buildFlow(options: Pick<Options, 'fanout' | 'ramp' | 'max-errors'>): Flow {
  const { fanout, ramp } = options;
  const maxErrors = options['max-errors'];
  if (maxErrors !== undefined && !/^\d{1,9}%?$/.test(maxErrors)) {
    throw new FleetError('usage', `--max-errors is neither a number nor a percentage: ${maxErrors}`, {
      hint: 'Write it like --max-errors 3 or --max-errors 5%.',
    });
  }
  return {
    ...(fanout === undefined ? {} : { fanout: parseCount(fanout, '--fanout') }),
    ...(ramp ? { ramp } : {}),
    ...(maxErrors === undefined ? {} : { maxErrors }),
  };
}
