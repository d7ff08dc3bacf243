/** `fleet agent run`: one prompt for one agent on a node. */
import { AgentReader } from '../../client/agent-reader.ts';
import type { JobEvent } from '../../protocol/job-messages.ts';
import { defineCommand } from '../context/command.ts';
import { openGateway } from '../context/open-gateway.ts';
import { AgentJsonlOutput, AgentTextOutput } from '../job/agent-output.ts';
import { type AgentRequest, addressAgent, conductAgent } from '../job/conduct-agent.ts';
import { onlyRun } from '../job/conduct-job.ts';
import { buildRequest, JOB_OPTIONS, noteUnsentStdin, refuseTwoFormats } from '../job/job-options.ts';
import { explainEnd } from '../output/describe-run.ts';
import { exitCodeOfRun } from '../output/exit-code.ts';
import { type JobOutput, MissingOutput, ResultCollector } from '../output/job-output.ts';
import { formatError, printJson } from '../output/print.ts';
import { exitCodeOfLeaving, submitOnly } from './run.ts';

export const agentRunCommand = defineCommand({
  name: 'agent run',
  usage: '[OPTIONS] NODE AGENT [--] PROMPT…  or  [OPTIONS] --any [--on SELECTOR] AGENT [--] PROMPT…',
  describe: [
    'Gives a prompt to an agent of a node: a program that the config of the node names. Its words are joined by blanks.',
    'The text of the agent goes to stdout, and what it does to stderr; --jsonl prints typed events.',
    'The exit code is that of the program; 124: timed out, 126: the node refused, 130: canceled, 255: the fleet failed.',
  ].join('\n'),
  positionals: [
    { name: 'NODE', describe: 'Name, id or unique beginning of an id; left out with --any' },
    { name: 'AGENT', describe: 'Name of the agent, as fleet agents shows it' },
  ],
  passthrough: true,
  options: {
    any: { type: 'boolean', describe: 'Take the least busy node that has the agent; another if it never began there' },
    on: { type: 'string', placeholder: 'SELECTOR', describe: 'With --any: only one of these nodes' },
    fallback: { type: 'string', placeholder: 'AGENT', describe: 'Try this agent if the other was not begun' },
    ...JOB_OPTIONS,
  },
  examples: [
    ["fleet agent run node-1 coder 'fix the failing test'", 'one agent on one node'],
    ["fleet agent run --any --on @gpu=yes coder 'sum up README.md'", 'whoever has time'],
    ["fleet agent run --fallback helper --jsonl node-1 coder 'tidy up' | jq .type", 'events for a script'],
  ],
  async execute(context, { options, positionals, words }) {
    refuseTwoFormats(context, options.jsonl);
    const { agent, target, prompt } = addressAgent(positionals, words, options);
    const request: AgentRequest = {
      ...buildRequest(context, options, prompt),
      kind: 'agent',
      agent,
      target,
    };
    noteUnsentStdin(context, 'only fleet run --stdin sends it');
    if (options.async) return await submitOnly(context, request);
    const { fallback } = options;
    const client = openGateway(context);
    const machine = context.json || options.jsonl;
    const createMissing = (): MissingOutput =>
      new MissingOutput({ ...context, allowed: options['allow-truncation'], machine });
    if (context.json) {
      const createOutput = (name: string): ResultOutput => new ResultOutput(name, createMissing());
      const { job, agent: taken, output } = await conductAgent(context, { client, request, fallback, createOutput });
      const left = exitCodeOfLeaving(job);
      if (left !== undefined && job.leave !== 'interrupted') return left;
      const run = onlyRun(job);
      printJson(context, { ...output.collector.resultOf(run), agent: taken, result: output.reader.result });
      return left ?? output.missing.exitCode(exitCodeOfRun(run));
    }
    const createOutput = (name: string): WatchedOutput =>
      new WatchedOutput(
        options.jsonl ? new AgentJsonlOutput(name, context.out) : new AgentTextOutput(name, context),
        createMissing(),
      );
    const { job, output } = await conductAgent(context, { client, request, fallback, createOutput });
    const left = exitCodeOfLeaving(job);
    if (left !== undefined && job.leave !== 'interrupted') return left;
    const run = onlyRun(job);
    const explained = options.jsonl ? [] : explainEnd(run, request.timeoutMs, output.missing.isTold(run.run));
    for (const why of explained) context.err.write(formatError(why));
    return left ?? output.missing.exitCode(exitCodeOfRun(run));
  },
});

/** An output, and whether all of it came. */
class WatchedOutput implements JobOutput {
  readonly #output: JobOutput;
  readonly missing: MissingOutput;

  constructor(output: JobOutput, missing: MissingOutput) {
    this.#output = output;
    this.missing = missing;
  }

  handle(event: JobEvent): void {
    this.#output.handle(event);
    this.missing.handle(event);
  }
}

/** `--json`: all output, and what the agent made of it. */
class ResultOutput extends WatchedOutput {
  readonly collector: ResultCollector;
  readonly reader: AgentReader;

  constructor(agent: string, missing: MissingOutput) {
    const collector = new ResultCollector();
    const reader = new AgentReader(agent);
    const both: JobOutput = {
      handle(event) {
        collector.handle(event);
        reader.handle(event);
      },
    };
    super(both, missing);
    this.collector = collector;
    this.reader = reader;
  }
}
