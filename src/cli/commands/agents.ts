/** `fleet agents` and `fleet agent run`: AI programs on nodes, and prompts for them. */
import { AgentReader } from '../../client/agent-reader.ts';
import { agentsOf } from '../../domain/vocabulary.ts';
import type { JobEvent } from '../../protocol/job-messages.ts';
import { defineCommand, NODE, openGateway } from '../context/command.ts';
import { AgentJsonlOutput, type AgentRequest, AgentTextOutput, addressAgent, conductAgent } from '../job/agent.ts';
import { onlyRun } from '../job/conduct-job.ts';
import { buildRequest, JOB_OPTIONS, noteUnsentStdin, refuseTwoFormats } from '../job/job-options.ts';
import { printEnd } from '../output/describe-run.ts';
import { exitCodeOfRun } from '../output/exit-code.ts';
import { type JobOutput, MissingOutput, ResultCollector } from '../output/job-output.ts';
import { paintStatus, printJson } from '../output/print.ts';
import { printTable } from '../output/table.ts';
import { exitCodeOfLeaving, submitOnly } from './run.ts';

const list = defineCommand({
  name: 'agents',
  describe: 'Lists the agents: programs that take prompts, as configured on each node.',
  positionals: [{ name: 'NODE', describe: 'Only agents of this node', optional: true }],
  examples: [
    ['fleet agents', 'all agents'],
    ['fleet agents --json | jq -r \'.[] | select(.agent == "coder") | .node\'', 'nodes that have the coder'],
  ],
  async execute(context, { positionals }) {
    const client = openGateway(context);
    const nodes = positionals.NODE === undefined ? await client.nodes() : [await client.node(positionals.NODE)];
    const agents = nodes
      .filter(({ status }) => status !== 'revoked')
      .flatMap(({ name, status, capabilities }) =>
        agentsOf(capabilities).map((agent) => ({ node: name, status, agent })),
      );
    return printTable(context, agents, 'There are no agents. Configure them on a node: node.agents in config.yaml', {
      NODE: ({ node }) => node,
      STATUS: ({ status }) => paintStatus(status, context.out.style),
      AGENT: ({ agent }) => agent,
    });
  },
});

const run = defineCommand({
  name: 'agent run',
  usage: '[OPTIONS] NODE AGENT [--] PROMPT…  or  [OPTIONS] --any [--on SELECTOR] AGENT [--] PROMPT…',
  describe: [
    "Sends a prompt to an agent: a program named in the node's config. Its words are joined with spaces.",
    "The agent's text goes to stdout, its actions to stderr; --jsonl prints typed events.",
    "The exit code is the program's; 124: timed out, 126: refused by the node, 130: canceled, 255: the fleet failed.",
  ],
  positionals: [
    { name: 'NODE', describe: `${NODE.describe}; omit it with --any` },
    { name: 'AGENT', describe: 'Name of the agent, as fleet agents shows it' },
  ],
  passthrough: true,
  options: {
    any: { type: 'boolean', describe: 'Use the least busy node that has the agent; try another if it never started' },
    on: { type: 'string', placeholder: 'SELECTOR', describe: 'With --any: only one of these nodes' },
    fallback: { type: 'string', placeholder: 'AGENT', describe: 'Try this agent if the first one did not start' },
    ...JOB_OPTIONS,
  },
  examples: [
    ["fleet agent run node-1 coder 'fix the failing test'", 'one agent on one node'],
    ["fleet agent run --any --on @gpu=yes coder 'sum up README.md'", 'on the least busy node'],
    ["fleet agent run --fallback helper --jsonl node-1 coder 'tidy up' | jq .type", 'events for a script'],
  ],
  async execute(context, { options, positionals, words }) {
    refuseTwoFormats(context, options.jsonl);
    const { prompt, ...address } = addressAgent(positionals, words, options);
    const request: AgentRequest = { ...buildRequest(context, options, prompt), kind: 'agent', ...address };
    noteUnsentStdin(context, 'only fleet run --stdin sends it');
    if (options.async) return await submitOnly(context, request);
    const { json, out, err } = context;
    const { job, agent, output } = await conductAgent(context, {
      client: openGateway(context),
      request,
      fallback: options.fallback,
      createOutput: (name) => {
        const missing = new MissingOutput(context, options);
        const collector = new ResultCollector();
        const reader = new AgentReader(name);
        const shown = options.jsonl ? new AgentJsonlOutput(name, out) : new AgentTextOutput(name, context);
        const outputs: JobOutput[] = json ? [collector, reader, missing] : [shown, missing];
        const handle = (event: JobEvent): void => {
          for (const one of outputs) one.handle(event);
        };
        return { missing, collector, reader, handle };
      },
    });
    const left = exitCodeOfLeaving(job);
    if (left !== undefined && job.leave !== 'interrupted') return left;
    const ended = onlyRun(job);
    const { collector, reader, missing } = output;
    if (json) printJson(context, { ...collector.resultOf(ended), agent, result: reader.result });
    else if (!options.jsonl) printEnd(err, ended, request.timeoutMs, missing.isReported(ended.run));
    return left ?? missing.exitCode(exitCodeOfRun(ended));
  },
});

export const commands = [list, run];
