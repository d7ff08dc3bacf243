/** `fleet jobs`: the latest jobs. */
import { readJobs } from '../../client/read-jobs.ts';
import type { JobView } from '../../protocol/job-messages.ts';
import { RUN_STATES } from '../../protocol/run-state.ts';
import { formatRelativeTime } from '../../shared/duration.ts';
import { parseCount, parsePositiveDuration } from '../args/values.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { describeJob } from '../output/describe-run.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJsonList } from '../output/print.ts';
import { formatTable, tableOptions } from '../output/table.ts';

/** A longer command is cut in the table, characters. */
const MAX_COMMAND_LENGTH = 60;

export const jobsCommand = defineCommand({
  name: 'jobs',
  usage: '[OPTIONS]',
  describe: 'Lists jobs, the newest first.',
  positionals: [],
  options: {
    node: { type: 'string', placeholder: 'NODE', describe: 'Only those with a run on this node' },
    state: { type: 'string', describe: 'Only those with a run in this state', choices: RUN_STATES },
    since: { type: 'string', placeholder: 'DURATION', describe: 'Only those since so long ago, such as 24h (all)' },
    limit: { type: 'string', placeholder: 'N', describe: 'At most so many (100)' },
  },
  examples: [
    ['fleet jobs', 'the latest'],
    ['fleet jobs --node node-1 --state unknown --since 7d', 'what to look after'],
    ["fleet jobs --json | jq -r '.[].job'", 'for scripts'],
  ],
  async execute(context, { options }) {
    const pages = readJobs(openGateway(context), {
      node: options.node,
      state: options.state,
      ...(options.since === undefined
        ? {}
        : { since: context.clock.now() - parsePositiveDuration(options.since, '--since') }),
      ...(options.limit === undefined ? {} : { limit: parseCount(options.limit, '--limit') }),
    });
    if (context.json) {
      await printJsonList(context, pages);
      return EXIT_OK;
    }
    const rows: string[][] = [];
    for await (const jobs of pages) rows.push(...jobs.map((job) => describe(job, context.clock.now())));
    if (rows.length === 0) {
      context.err.write('There are no such jobs.\n');
      return EXIT_OK;
    }
    const columns = [
      { header: 'JOB' },
      { header: 'CREATED' },
      { header: 'ON' },
      { header: 'STATE' },
      { header: 'COMMAND' },
    ];
    context.out.write(formatTable(columns, rows, tableOptions(context.out)));
    return EXIT_OK;
  },
});

function describe(job: JobView, now: number): string[] {
  const created = formatRelativeTime(job.createdAt, now);
  return [job.job, created, job.target, describeJob(job), shorten(job.command)];
}

function shorten(command: string): string {
  const line = command.replace(/\s+/g, ' ');
  return line.length > MAX_COMMAND_LENGTH ? `${line.slice(0, MAX_COMMAND_LENGTH - 1)}…` : line;
}
