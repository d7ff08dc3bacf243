/** `fleet broadcast`: one command on many nodes at once. */
import { foldNodeNames } from '../../domain/node-set.ts';
import { ALL, ALL_CONNECTED } from '../../domain/selector.ts';
import type { Flow, SubmitJobRequest } from '../../protocol/job-messages.ts';
import { FleetError } from '../../shared/errors.ts';
import { given, parseCount } from '../args/values.ts';
import { type CliContext, defineCommand, type OptionValues, openGateway } from '../context/command.ts';
import { type ConductedJob, conductJob } from '../job/conduct-job.ts';
import { buildRequest, JOB_OPTIONS, noteUnsentStdin, refuseTwoFormats } from '../job/job-options.ts';
import { countOutcomes, printEnd, summarizeRuns } from '../output/describe-run.ts';
import { EXIT_OK, exitCodeOfBroadcast } from '../output/exit-code.ts';
import { GatheredOutput, printDiff, printGroups } from '../output/gather.ts';
import { FolderOutput, type JobOutput, JsonlOutput, MissingOutput, ResultCollector } from '../output/job-output.ts';
import { LiveOutput } from '../output/live-output.ts';
import { printJson } from '../output/print.ts';
import { exitCodeOfLeaving, submitOnly } from './run.ts';

const OPTIONS = {
  on: { type: 'string', placeholder: 'SELECTOR', describe: 'Which nodes (all that are connected)' },
  all: { type: 'boolean', describe: 'All nodes: offline nodes count as failed, or are waited for with --expires' },
  exclude: { type: 'string', alias: 'x', placeholder: 'SELECTOR', describe: 'Except these' },
  'dry-run': { type: 'boolean', describe: 'Only show which nodes match' },
  fanout: { type: 'string', alias: 'f', placeholder: 'N', describe: 'Maximum number of nodes at once' },
  ramp: { type: 'boolean', describe: 'Start with one node, then 2, 4, …, each batch after the previous one' },
  'max-errors': { type: 'string', placeholder: 'N|N%', describe: 'Start no more runs after more failures than this' },
  gather: { type: 'boolean', alias: 'b', describe: 'Show identical output once, at the end' },
  diff: { type: 'boolean', describe: 'Show how outputs differ from the most common one' },
  'no-label': { type: 'boolean', alias: 'N', describe: 'Do not prefix lines with the node name' },
  outdir: { type: 'string', placeholder: 'DIR', describe: 'Also write the output to DIR/NODE.out and DIR/NODE.err' },
  'exit-zero': { type: 'boolean', describe: 'Exit with 0 whatever the results' },
  ...JOB_OPTIONS,
} as const;

type Options = OptionValues<typeof OPTIONS>;

const broadcast = defineCommand({
  name: 'broadcast',
  usage: '[OPTIONS] [--] COMMAND…',
  describe: [
    'Runs a command on many nodes at once; by default on all connected nodes.',
    'A selector has names, * and ?, sets such as web-[1-20], @label:K=V, @online, @all; "," union, "&" intersection,',
    '"!" difference. The exit code is the largest of all runs.',
  ],
  passthrough: true,
  options: OPTIONS,
  examples: [
    ['fleet broadcast uptime', 'on all connected nodes'],
    ["fleet broadcast --on 'web-[1-20],@site=berlin' -b uname -r", 'on some, identical output shown once'],
    ['fleet broadcast --ramp --max-errors 5% -- systemctl restart app', 'carefully'],
  ],
  async execute(context, { options, words }) {
    refuseTwoFormats(context, options.jsonl);
    const selector = selectorOf(options);
    if (options['dry-run']) return await dryRun(context, selector, options.exclude);
    const flow = buildFlow(options);
    const request = {
      ...buildRequest(context, options, words),
      target: { selector, ...given({ exclude: options.exclude }) },
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
  const ports = { stdout: out, stderr: err };
  const isForPeople = !context.json && !options.jsonl;
  const isGathered = options.gather || options.diff;
  const collector = new ResultCollector();
  const gathered = new GatheredOutput();
  const live = new LiveOutput({ ports, unlabeled: options['no-label'], clock: context.clock });
  const missing = new MissingOutput(context, options);
  const outputs: JobOutput[] = [
    context.json ? collector : options.jsonl ? new JsonlOutput(out) : isGathered ? gathered : live,
    missing,
  ];
  if (options.outdir !== undefined) {
    const folder = new FolderOutput(options.outdir);
    folder.open();
    outputs.push(folder);
  }
  const job = await conductJob(context, { client: openGateway(context), request, outputs });
  const runs = job.ended.toSorted((a, b) => a.index - b.index);
  live.close();
  if (context.json) {
    const results = runs.map((run) => collector.resultOf(run));
    printJson(context, { job: job.job, runs: results, counts: countOutcomes(runs), notTried: job.notTried });
  } else if (isForPeople && isGathered) {
    gathered.close();
    if (options.gather) printGroups(gathered, ports, out.style.cyan);
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
  const truncated = runs.filter((run) => run.truncated && run.state === 'exited' && !missing.isReported(run.run));
  for (const run of truncated) printEnd(err, run, timeoutMs);
  const allWell = exitCodeOfBroadcast(runs) === 0;
  if (runs.length === 0 || (allWell && notTried.length === 0 && !err.isTerminal)) return;
  for (const line of summarizeRuns(runs, notTried)) err.write(`${line}\n`);
}

/** @throws FleetError `usage`. */
export function selectorOf({ on, all }: { on?: string | undefined; all?: boolean | undefined }): string {
  if (on !== undefined && all) throw new FleetError('usage', 'use either --on or --all');
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
  context.err.write(names.length === 0 ? 'no nodes match\n' : `${folded} (${names.length})\n`);
  context.out.write(names.map((name) => `${name}\n`).join(''));
  return EXIT_OK;
}

/** @throws FleetError `usage`. */
export function buildFlow(options: Pick<Options, 'fanout' | 'ramp' | 'max-errors'>): Flow {
  const maxErrors = options['max-errors'];
  if (maxErrors !== undefined && !/^\d{1,9}%?$/.test(maxErrors)) {
    throw new FleetError('usage', `--max-errors must be a number or a percentage: ${maxErrors}`, {
      hint: 'For example: --max-errors 3 or --max-errors 5%.',
    });
  }
  return given({
    fanout: parseCount(options.fanout, '--fanout'),
    ramp: options.ramp || undefined,
    maxErrors,
  });
}

export const commands = [broadcast];
