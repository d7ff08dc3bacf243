/** What an agent does, for a person: its text on stdout, and on stderr its tools and its troubles. Or as JSON, one event a line. */
import { AgentReader } from '../../client/agent-reader.ts';
import type { AgentEvent } from '../../protocol/agent/agent-events.ts';
import type { JobEvent } from '../../protocol/job-messages.ts';
import { harmlessJson, stripControl } from '../../shared/strip-control.ts';
import type { JobOutput } from '../output/job-output.ts';
import type { OutputPort } from '../output/output-port.ts';

/** Of a tool's input, in a line for a person; characters. */
const MAX_INPUT_LENGTH = 160;

export class AgentJsonlOutput implements JobOutput {
  readonly #out: OutputPort;
  readonly #reader: AgentReader;

  constructor(agent: string, out: OutputPort) {
    this.#reader = new AgentReader(agent);
    this.#out = out;
  }

  handle(event: JobEvent): void {
    for (const told of this.#reader.handle(event)) this.#out.write(`${harmlessJson(told)}\n`);
  }
}

export class AgentTextOutput implements JobOutput {
  readonly #ports: { out: OutputPort; err: OutputPort };
  readonly #reader: AgentReader;
  /** Whether the agent has said anything on stdout, and whether that ends within a line. */
  #spoke = false;
  #inLine = false;

  constructor(agent: string, ports: { out: OutputPort; err: OutputPort }) {
    this.#reader = new AgentReader(agent);
    this.#ports = ports;
  }

  handle(event: JobEvent): void {
    for (const told of this.#reader.handle(event)) this.#tell(told);
  }

  #tell(event: AgentEvent): void {
    switch (event.type) {
      case 'agent-stream':
        if (event.stream === 'stderr') this.#ports.err.write(event.text);
        else this.#say(event.text);
        break;
      case 'tool-start':
        this.#note(`> ${event.name}${describeInput(event.input)}`);
        break;
      case 'tool-end':
        this.#note(`${event.ok ? '<' : '! failed:'} ${event.name ?? 'tool'}`);
        break;
      case 'agent-complete':
        // An agent may tell only what came out of it.
        if (!this.#spoke && event.result !== null) this.#say(`${event.result.replace(/\n$/, '')}\n`);
        break;
      case 'agent-error':
        if (!event.final || event.state === 'exited') this.#note(`fleet: ${event.node}: ${event.message}`);
        break;
      case 'agent-start':
        break;
    }
  }

  #say(text: string): void {
    this.#ports.out.write(text);
    this.#spoke = true;
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
