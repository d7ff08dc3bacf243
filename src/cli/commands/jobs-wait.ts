/** `fleet jobs wait`: until a job has ended, however that takes. */
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { readJob } from '../job/read-job.ts';
import { explainEnd, summarizeRuns } from '../output/describe-run.ts';
import { exitCodeOfBroadcast } from '../output/exit-code.ts';
import { formatError, printJson } from '../output/print.ts';

export const jobsWaitCommand = defineCommand({
  name: 'jobs wait',
  usage: 'JOB',
  describe: 'Waits until a job has ended. The exit code is that of its command; of several runs, the largest.',
  positionals: [{ name: 'JOB', describe: 'Its id, or the unique beginning of it' }],
  options: {},
  examples: [
    ['fleet jobs wait 7k3f', 'until it has ended'],
    ['job=$(fleet run --async node-1 make); fleet jobs wait $job && echo built', 'in a script'],
  ],
  async execute(context, { positionals }) {
    const client = openGateway(context);
    const job = await client.job(positionals.JOB);
    const from = Number.MAX_SAFE_INTEGER;
    const runs = await readJob(context, { client, job, runs: job.runs, from, follow: true, output: { handle() {} } });
    if (context.json) {
      printJson(context, await client.job(job.job));
    } else {
      const [only, second] = runs;
      const lines =
        only !== undefined && second === undefined
          ? explainEnd(only).map(formatError)
          : summarizeRuns(runs).map((line) => `${line}\n`);
      for (const line of lines) context.err.write(line);
    }
    return exitCodeOfBroadcast(runs);
  },
});
