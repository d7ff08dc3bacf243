/** `fleet jobs cancel`: ends what a job still has open. */
import { isTerminal } from '../../protocol/run-state.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { describeJob } from '../output/describe-run.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

export const jobsCancelCommand = defineCommand({
  name: 'jobs cancel',
  usage: 'JOB',
  describe:
    'Ends every run of a job that has not ended: SIGTERM, and five seconds later SIGKILL. Does not wait for it.',
  positionals: [{ name: 'JOB', describe: 'Its id, or the unique beginning of it' }],
  options: {},
  examples: [
    ['fleet jobs cancel 7k3f', 'ask for its end'],
    ['fleet jobs cancel 7k3f && fleet jobs wait 7k3f', 'and wait until it is confirmed'],
  ],
  async execute(context, { positionals }) {
    const job = await openGateway(context).cancelJob(positionals.JOB);
    if (context.json) {
      printJson(context, job);
      return EXIT_OK;
    }
    const open = job.runs.filter((run) => !isTerminal(run.state)).length;
    const words = open === 0 ? describeJob(job) : `${open} of ${job.runs.length} runs are being ended`;
    context.out.write(`job ${job.job}: ${words}\n`);
    return EXIT_OK;
  },
});
