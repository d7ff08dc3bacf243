/** An agent's events: for people, its text on stdout, its tools and errors on stderr; or as JSON, one event a line. */
import { AgentReader } from '../../client/agent-reader.ts';
import type { AgentEvent } from '../../domain/agent/agent-adapters.ts';
import type { JobEvent } from '../../protocol/job-messages.ts';
import { harmlessJson, stripControl } from '../../shared/text.ts';
import type { JobOutput } from '../output/job-output.ts';
import type { OutputPort } from '../output/print.ts';

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
