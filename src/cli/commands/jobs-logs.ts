/** `fleet jobs logs`: the output of a job, from any place on. */
import type { JobView, RunView } from '../../protocol/job-messages.ts';
import { closest } from '../../shared/closest.ts';
import { FleetError } from '../../shared/errors.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { refuseTwoFormats, TRUNCATION_OPTION } from '../job/job-options.ts';
import { readJob } from '../job/read-job.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { JsonlOutput, MissingOutput, RawOutput, ResultCollector } from '../output/job-output.ts';
import { LiveOutput } from '../output/live-output.ts';
import { printJson } from '../output/print.ts';

export const jobsLogsCommand = defineCommand({
  name: 'jobs logs',
  usage: 'JOB [NODE] [OPTIONS]',
  describe: 'Prints the output of a job: that of one run as it is, that of several behind the names of their nodes.',
  positionals: [
    { name: 'JOB', describe: 'Its id, or the unique beginning of it; or the id of a run' },
    { name: 'NODE', describe: 'Only that of this node', optional: true },
  ],
  options: {
    follow: { type: 'boolean', alias: 'f', describe: 'Go on until the job has ended' },
    from: { type: 'string', placeholder: 'OFFSET', describe: 'Begin behind this place: `next` of a line of --jsonl' },
    jsonl: { type: 'boolean', describe: 'Print one JSON object a line' },
    ...TRUNCATION_OPTION,
  },
  examples: [
    ['fleet jobs logs 7k3f', 'what there is so far'],
    ['fleet jobs logs -f 7k3f node-1', 'of one node, to the end'],
  ],
  async execute(context, { options, positionals }) {
    refuseTwoFormats(context, options.jsonl);
    const client = openGateway(context);
    const job = await client.job(positionals.JOB);
    const runs = chooseRuns(job, positionals.JOB, positionals.NODE);
    const from = options.from === undefined ? 0 : parseOffset(options.from);
    if (from > 0 && runs.length > 1) {
      throw new FleetError('usage', '--from is a place in the output of one run, and this job has several', {
        hint: 'Name the node, too.',
      });
    }
    const collector = new ResultCollector();
    const { out, err } = context;
    const live = new LiveOutput({ ports: { stdout: out, stderr: err }, unlabeled: false, clock: context.clock });
    const raw = new RawOutput({ stdout: out, stderr: err });
    const output = context.json ? collector : options.jsonl ? new JsonlOutput(out) : runs.length === 1 ? raw : live;
    const machine = context.json || options.jsonl;
    const missing = new MissingOutput({ out, err, allowed: options['allow-truncation'], machine });
    const ended = await readJob(context, {
      client,
      job,
      runs,
      from,
      follow: options.follow,
      output: {
        handle(event) {
          output.handle(event);
          missing.handle(event);
        },
      },
    });
    live.close();
    if (context.json) {
      const latest = runs.map((run) => ended.find(({ index }) => index === run.index) ?? run);
      printJson(context, { job: job.job, runs: latest.map((run) => collector.resultOf(run)) });
    }
    return missing.exitCode(EXIT_OK);
  },
});

/** @throws FleetError `not_found`. */
function chooseRuns(job: JobView, typed: string, node: string | undefined): RunView[] {
  if (node === undefined) {
    const named = job.runs.filter(({ index }) => typed.endsWith(`.${index}`) && typed.includes('.'));
    return named.length === 0 ? job.runs : named;
  }
  const exact = job.runs.filter((run) => run.run === node);
  const chosen = exact.length > 0 ? exact : job.runs.filter((run) => run.node === node);
  if (chosen.length > 0) return chosen;
  const meant = closest(
    node.toLowerCase(),
    job.runs.map((run) => run.node),
  );
  throw new FleetError('not_found', `job ${job.job} has no run on ${node}`, {
    hint: `${meant === undefined ? '' : `Did you mean ${meant}? `}See its runs: fleet jobs show ${job.job}`,
  });
}

function parseOffset(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new FleetError('usage', `--from is not an offset: ${text}`);
  return Number(text);
}
