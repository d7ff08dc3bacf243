/** A prompt for an agent: where it runs, what is tried after an attempt that never started, and its events for people or as JSON. */
import { AgentReader } from '../../client/agent-reader.ts';
import type { GatewayClient } from '../../client/gateway-client.ts';
import type { AgentEvent } from '../../domain/agent/agent-adapters.ts';
import type { JobEvent, RunView, SubmitJobRequest } from '../../protocol/job-messages.ts';
import { FleetError, toFleetError } from '../../shared/errors.ts';
import { harmlessJson, stripControl } from '../../shared/text.ts';
import type { CliContext } from '../context/command.ts';
import { describeRun } from '../output/describe-run.ts';
import type { JobOutput } from '../output/job-output.ts';
import { formatError, type OutputPort } from '../output/print.ts';
import { type ConductedJob, conductJob, onlyRun } from './conduct-job.ts';

/** A job for one agent. */
export interface AgentRequest extends Omit<SubmitJobRequest, 'target'> {
  agent: string;
  idempotencyKey: string;
  target: { node: string } | { any: string };
}

interface ConductAgentOptions<O extends JobOutput> {
  client: GatewayClient;
  request: AgentRequest;
  /** Tried if `request.agent` did not start on any node. */
  fallback: string | undefined;
  /** One for each attempt, which is a job of its own. */
  createOutput(agent: string): O;
}

/** The last attempt. @throws FleetError of the first, if the gateway accepted none. */
export async function conductAgent<O extends JobOutput>(context: CliContext, options: ConductAgentOptions<O>) {
  const { request, fallback } = options;
  const agents = fallback === undefined ? [request.agent] : [request.agent, fallback];
  let last: { job: ConductedJob; agent: string; output: O } | undefined;
  let refusal: FleetError | undefined;
  let attempts = 0;
  /** Why the previous attempt failed, to be shown once there is another. */
  let before: string | undefined;
  const noteFailover = (): void => {
    if (before !== undefined) context.err.write(formatError({ message: before }));
    before = undefined;
  };
  for (const agent of agents) {
    const tried: string[] = [];
    for (;;) {
      const output = options.createOutput(agent);
      // So that submitting again finds each attempt again.
      const idempotencyKey = attempts === 0 ? request.idempotencyKey : `${request.idempotencyKey}-${attempts}`;
      const target = 'any' in request.target ? { ...request.target, exclude: tried } : request.target;
      attempts += 1;
      try {
        const job = await conductJob(context, {
          client: options.client,
          request: { ...request, agent, target, idempotencyKey },
          outputs: [{ handle: noteFailover }, output],
        });
        last = { job, agent, output };
      } catch (error) {
        const failure = toFleetError(error);
        if (failure.code !== 'node_offline') throw failure;
        refusal ??= failure;
        break;
      }
      if (last.job.leave !== 'end') return last;
      const run = onlyRun(last.job);
      if (!neverStarted(run)) return last;
      tried.push(run.node);
      before = `${run.node}: ${agent} did not start: ${describeRun(run)}; trying another`;
      if (!('any' in request.target)) break;
    }
  }
  if (last !== undefined) return last;
  throw refusal ?? new FleetError('internal', 'no agent was tried');
}

/** Not `unknown` or `canceled`: there the agent may have done something. */
function neverStarted({ state }: RunView): boolean {
  return state === 'rejected' || state === 'expired' || state === 'failed_to_start';
}

/** Every node with a live tunnel; the gateway skips those that accept no work. */
const ANYWHERE = '@online,@limited';

interface AgentAddress {
  agent: string;
  target: Exclude<SubmitJobRequest['target'], { selector: string }>;
  /** Words of the prompt. */
  prompt: readonly string[];
}

/** With --any there is no NODE, so the words shift by one. @throws FleetError `usage`. */
export function addressAgent(
  { NODE, AGENT }: { NODE: string; AGENT: string },
  words: readonly string[],
  { any = false, on }: { any?: boolean | undefined; on?: string | undefined },
): AgentAddress {
  if (on !== undefined && !any) {
    throw new FleetError('usage', '--on requires --any: an agent runs on one node', {
      hint: "For example: fleet agent run --any --on @all coder 'PROMPT'",
    });
  }
  const prompt = any ? [AGENT, ...words] : words;
  if (prompt.join(' ').trim() === '') {
    throw new FleetError('usage', 'there is no prompt', {
      hint: "Put it last, for example: fleet agent run node-1 coder 'fix the test'",
    });
  }
  return any
    ? { agent: NODE, target: { any: on ?? ANYWHERE }, prompt }
    : { agent: AGENT, target: { node: NODE }, prompt };
}

/** A longer tool input is shortened, characters. */
const MAX_INPUT_LENGTH = 160;

export class AgentJsonlOutput implements JobOutput {
  readonly #out: OutputPort;
  readonly #reader: AgentReader;

  constructor(agent: string, out: OutputPort) {
    this.#reader = new AgentReader(agent);
    this.#out = out;
  }

  handle(event: JobEvent): void {
    for (const agentEvent of this.#reader.handle(event)) this.#out.write(`${harmlessJson(agentEvent)}\n`);
  }
}

export class AgentTextOutput implements JobOutput {
  readonly #ports: { out: OutputPort; err: OutputPort };
  readonly #reader: AgentReader;
  #hasOutput = false;
  /** Whether stdout is in the middle of a line. */
  #inLine = false;

  constructor(agent: string, ports: { out: OutputPort; err: OutputPort }) {
    this.#reader = new AgentReader(agent);
    this.#ports = ports;
  }

  handle(event: JobEvent): void {
    for (const agentEvent of this.#reader.handle(event)) this.#show(agentEvent);
  }

  #show(event: AgentEvent): void {
    switch (event.type) {
      case 'agent-stream':
        if (event.stream === 'stderr') this.#ports.err.write(event.text);
        else this.#writeText(event.text);
        break;
      case 'tool-start':
        this.#note(`> ${event.name}${describeInput(event.input)}`);
        break;
      case 'tool-end':
        this.#note(`${event.ok ? '<' : '! failed:'} ${event.name ?? 'tool'}`);
        break;
      case 'agent-complete':
        // Some agents report only their result.
        if (!this.#hasOutput && event.result !== null) this.#writeText(`${event.result.replace(/\n$/, '')}\n`);
        break;
      case 'agent-error':
        if (!event.final || event.state === 'exited') this.#note(`fleet: ${event.node}: ${event.message}`);
        break;
      case 'agent-start':
        break;
    }
  }

  #writeText(text: string): void {
    this.#ports.out.write(text);
    this.#hasOutput = true;
    this.#inLine = !text.endsWith('\n');
  }

  #note(line: string): void {
    const { out, err } = this.#ports;
    const newline = this.#inLine && out.isTerminal && err.isTerminal ? '\n' : '';
    if (newline !== '') this.#inLine = false;
    err.write(`${newline}${stripControl(line)}\n`);
  }
}

function describeInput(input: unknown): string {
  if (input === null || input === undefined) return '';
  const text = typeof input === 'string' ? input : JSON.stringify(input);
  return ` ${text.length > MAX_INPUT_LENGTH ? `${text.slice(0, MAX_INPUT_LENGTH)}…` : text}`;
}
