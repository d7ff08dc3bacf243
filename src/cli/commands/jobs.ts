/** `fleet jobs …`: current and past jobs, and their output. */
import { readJobs } from '../../client/gateway-client.ts';
import { isTerminal, RUN_STATES } from '../../domain/states.ts';
import type { JobView, RunView } from '../../protocol/job-messages.ts';
import { formatDuration, formatRelativeTime } from '../../shared/duration.ts';
import { FleetError } from '../../shared/errors.ts';
import { closest } from '../../shared/text.ts';
import { given, parseCount, parseSince } from '../args/values.ts';
import { defineCommand, openGateway } from '../context/command.ts';
import { refuseTwoFormats, TRUNCATION_OPTION } from '../job/job-options.ts';
import { readJob } from '../job/read-job.ts';
import { describeJob, describeRun, printEnd, summarizeRuns } from '../output/describe-run.ts';
import { EXIT_OK, exitCodeOfBroadcast } from '../output/exit-code.ts';
import { GatheredOutput, printGroups } from '../output/gather.ts';
import { JsonlOutput, MissingOutput, RawOutput, ResultCollector } from '../output/job-output.ts';
import { LiveOutput } from '../output/live-output.ts';
import { formatBytes, printJson, printJsonList, printList, printResult } from '../output/print.ts';
import { formatFacts, formatTable, right } from '../output/table.ts';

/** A longer command is shortened in the table, characters. */
const MAX_COMMAND_LENGTH = 60;
const JOB = { name: 'JOB', describe: 'Its id, or a unique prefix of it' } as const;

const list = defineCommand({
  name: 'jobs',
  describe: 'Lists jobs, newest first.',
  options: {
    node: { type: 'string', placeholder: 'NODE', describe: 'Only jobs with a run on this node' },
    state: { type: 'string', describe: 'Only jobs with a run in this state', choices: RUN_STATES },
    since: { type: 'string', placeholder: 'DURATION', describe: 'Only jobs of this last period, such as 24h (all)' },
    limit: { type: 'string', placeholder: 'N', describe: 'Maximum number of jobs (100)' },
  },
  examples: [
    ['fleet jobs', 'the latest'],
    ['fleet jobs --node node-1 --state unknown --since 7d', 'what needs a look'],
    ["fleet jobs --json | jq -r '.[].job'", 'for scripts'],
  ],
  async execute(context, { options }) {
    const pages = readJobs(openGateway(context), {
      node: options.node,
      state: options.state,
      ...given({ since: parseSince(options.since, context.clock.now()), limit: parseCount(options.limit, '--limit') }),
    });
    if (context.json) {
      await printJsonList(context, pages);
      return EXIT_OK;
    }
    const rows: string[][] = [];
    for await (const jobs of pages) {
      for (const job of jobs) {
        const created = formatRelativeTime(job.createdAt, context.clock.now());
        rows.push([job.job, created, job.target, describeJob(job), shorten(job.command)]);
      }
    }
    return printList(context, rows, 'No jobs match.', () =>
      formatTable(['JOB', 'CREATED', 'ON', 'STATE', 'COMMAND'], rows, context.out),
    );
  },
});

function shorten(command: string): string {
  const line = command.replace(/\s+/g, ' ');
  return line.length > MAX_COMMAND_LENGTH ? `${line.slice(0, MAX_COMMAND_LENGTH - 1)}…` : line;
}

const show = defineCommand({
  name: 'jobs show',
  usage: 'JOB [-b]',
  describe: 'Shows a job and its runs; with -b also their output, identical output once.',
  positionals: [JOB],
  options: {
    gather: { type: 'boolean', alias: 'b', describe: 'Show the output, identical output once' },
    ...TRUNCATION_OPTION,
  },
  examples: [
    ['fleet jobs show 7k3f', 'states and durations'],
    ['fleet jobs show -b 7k3f', 'and the output'],
  ],
  async execute(context, { options, positionals }) {
    const client = openGateway(context);
    const job = await client.job(positionals.JOB);
    const { out, err } = context;
    const exitCode = printResult(context, job, () => {
      const facts = formatFacts([
        ['job', job.job],
        ...(job.agent === undefined ? [] : [['agent', job.agent] as const]),
        [job.kind === 'agent' ? 'prompt' : 'command', job.command],
        ['on', job.target],
        ['created', `${formatRelativeTime(job.createdAt, context.clock.now())} by ${job.createdBy}`],
        ['state', describeJob(job)],
      ]);
      const rows = job.runs.map((run) => [
        run.run,
        run.node,
        describeRun(run),
        run.durationMs === null ? '' : formatDuration(run.durationMs),
        `${formatBytes(run.stdoutBytes + run.stderrBytes)}${run.truncated ? ' (truncated)' : ''}`,
      ]);
      return `${facts}\n${formatTable(['RUN', 'NODE', 'STATE', right('TOOK'), right('OUTPUT')], rows, out)}`;
    });
    if (context.json || !options.gather) return exitCode;
    const gathered = new GatheredOutput();
    const missing = new MissingOutput(context, options);
    await readJob(context, { client, job, runs: job.runs, follow: false, outputs: [gathered, missing] });
    gathered.close();
    printGroups(gathered, { stdout: out, stderr: err }, out.style.cyan);
    return missing.exitCode(EXIT_OK);
  },
});

const logs = defineCommand({
  name: 'jobs logs',
  usage: 'JOB [NODE] [OPTIONS]',
  describe:
    'Prints the output of a job: that of one run as it is, that of several with the node name before each line.',
  positionals: [
    { name: 'JOB', describe: `${JOB.describe}; or the id of a run` },
    { name: 'NODE', describe: 'Only the output of this node', optional: true },
  ],
  options: {
    follow: { type: 'boolean', alias: 'f', describe: 'Follow the output until the job ends' },
    from: { type: 'string', placeholder: 'OFFSET', describe: 'Start after this offset: `next` of a --jsonl line' },
    jsonl: { type: 'boolean', describe: 'Print one JSON object a line' },
    ...TRUNCATION_OPTION,
  },
  examples: [
    ['fleet jobs logs 7k3f', 'the output so far'],
    ['fleet jobs logs -f 7k3f node-1', 'of one node, to the end'],
  ],
  async execute(context, { options, positionals }) {
    refuseTwoFormats(context, options.jsonl);
    const client = openGateway(context);
    const job = await client.job(positionals.JOB);
    const runs = chooseRuns(job, positionals.JOB, positionals.NODE);
    const from = options.from === undefined ? 0 : parseOffset(options.from);
    if (from > 0 && runs.length > 1) {
      throw new FleetError('usage', '--from is an offset into the output of one run, and this job has several', {
        hint: 'Name the node as well.',
      });
    }
    const { out, err, clock, json } = context;
    const ports = { stdout: out, stderr: err };
    const collector = new ResultCollector();
    const live = new LiveOutput({ ports, unlabeled: false, clock });
    const readable = runs.length === 1 ? new RawOutput(ports) : live;
    const missing = new MissingOutput(context, options);
    const output = json ? collector : options.jsonl ? new JsonlOutput(out) : readable;
    const ended = await readJob(context, {
      client,
      job,
      runs,
      from,
      follow: options.follow,
      outputs: [output, missing],
    });
    live.close();
    if (json) {
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
    hint: `${meant === undefined ? '' : `Did you mean ${meant}? `}List its runs: fleet jobs show ${job.job}`,
  });
}

function parseOffset(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new FleetError('usage', `--from is not an offset: ${text}`);
  return Number(text);
}

const wait = defineCommand({
  name: 'jobs wait',
  describe: 'Waits until a job has ended. The exit code is that of its command; of several runs, the largest.',
  positionals: [JOB],
  examples: [
    ['fleet jobs wait 7k3f', 'until it has ended'],
    ['job=$(fleet run --async node-1 make); fleet jobs wait $job && echo built', 'in a script'],
  ],
  async execute(context, { positionals }) {
    const client = openGateway(context);
    const job = await client.job(positionals.JOB);
    const from = Number.MAX_SAFE_INTEGER;
    const runs = await readJob(context, { client, job, runs: job.runs, from, follow: true, outputs: [] });
    if (context.json) printJson(context, await client.job(job.job));
    else {
      const [only, second] = runs;
      if (only !== undefined && second === undefined) printEnd(context.err, only);
      else
        context.err.write(
          summarizeRuns(runs)
            .map((line) => `${line}\n`)
            .join(''),
        );
    }
    return exitCodeOfBroadcast(runs);
  },
});

const cancel = defineCommand({
  name: 'jobs cancel',
  describe:
    'Cancels every unfinished run of a job: SIGTERM, then SIGKILL after five seconds. Does not wait for the end.',
  positionals: [JOB],
  examples: [
    ['fleet jobs cancel 7k3f', 'request the cancellation'],
    ['fleet jobs cancel 7k3f && fleet jobs wait 7k3f', 'and wait until it is confirmed'],
  ],
  async execute(context, { positionals }) {
    const job = await openGateway(context).cancelJob(positionals.JOB);
    return printResult(context, job, () => {
      const open = job.runs.filter((run) => !isTerminal(run.state)).length;
      const words = open === 0 ? describeJob(job) : `canceling ${open} of ${job.runs.length} runs`;
      return `job ${job.job}: ${words}\n`;
    });
  },
});

export const commands = [list, show, logs, wait, cancel];
