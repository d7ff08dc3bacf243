/** `fleet jobs show`: what became of a job, run by run. */
import { formatDuration, formatRelativeTime } from '../../shared/duration.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { TRUNCATION_OPTION } from '../job/job-options.ts';
import { readJob } from '../job/read-job.ts';
import { describeJob, describeRun } from '../output/describe-run.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { formatBytes } from '../output/figures.ts';
import { GatheredOutput, printGroups } from '../output/gather.ts';
import { type JobOutput, MissingOutput } from '../output/job-output.ts';
import { printJson } from '../output/print.ts';
import { formatFacts, formatTable, tableOptions } from '../output/table.ts';

export const jobsShowCommand = defineCommand({
  name: 'jobs show',
  usage: 'JOB [-b]',
  describe: 'Shows what became of a job, run by run; with -b also the output, where it is equal only once.',
  positionals: [{ name: 'JOB', describe: 'Its id, or the unique beginning of it' }],
  options: {
    gather: { type: 'boolean', alias: 'b', describe: 'Show the output, equal output once' },
    ...TRUNCATION_OPTION,
  },
  examples: [
    ['fleet jobs show 7k3f', 'how it went'],
    ['fleet jobs show -b 7k3f', 'and what was said'],
  ],
  async execute(context, { options, positionals }) {
    const client = openGateway(context);
    const job = await client.job(positionals.JOB);
    if (context.json) {
      printJson(context, job);
      return EXIT_OK;
    }
    const now = context.clock.now();
    const facts = formatFacts([
      ['job', job.job],
      ...(job.agent === undefined ? [] : [['agent', job.agent] as const]),
      [job.kind === 'agent' ? 'prompt' : 'command', job.command],
      ['on', job.target],
      ['created', `${formatRelativeTime(job.createdAt, now)} by ${job.createdBy}`],
      ['state', describeJob(job)],
    ]);
    const columns = [
      { header: 'RUN' },
      { header: 'NODE' },
      { header: 'STATE' },
      { header: 'TOOK', align: 'right' },
      { header: 'OUTPUT', align: 'right' },
    ] as const;
    const rows = job.runs.map((run) => [
      run.run,
      run.node,
      describeRun(run),
      run.durationMs === null ? '' : formatDuration(run.durationMs),
      `${formatBytes(run.stdoutBytes + run.stderrBytes)}${run.truncated ? ' (truncated)' : ''}`,
    ]);
    context.out.write(`${facts}\n${formatTable(columns, rows, tableOptions(context.out))}`);
    if (options.gather) {
      const output = new GatheredOutput();
      const missing = new MissingOutput({ ...context, allowed: options['allow-truncation'], machine: false });
      const both: JobOutput = {
        handle(event) {
          output.handle(event);
          missing.handle(event);
        },
      };
      await readJob(context, { client, job, runs: job.runs, follow: false, output: both });
      output.close();
      printGroups(output, { stdout: context.out, stderr: context.err }, context.out.style.cyan);
      return missing.exitCode(EXIT_OK);
    }
    return EXIT_OK;
  },
});
