/** Turns the events of an agent's job into what the agent does: the raw output stays in the log, and this reads it. */
import type { AgentAdapter, AgentEvent, AgentOutputEvent } from '../domain/agent/agent-adapters.ts';
import { createAdapter, TextAdapter } from '../domain/agent/agent-adapters.ts';
import { decodeData } from '../protocol/frames.ts';
import type { JobEvent, RunView } from '../protocol/job-messages.ts';

type Run = Pick<AgentEvent, 'job' | 'run' | 'node' | 'agent'>;
type Body = Unattributed<AgentEvent>;
/** Without the fields that say whose event it is; distributes over the union, which Omit does not. */
type Unattributed<E> = E extends AgentEvent ? Omit<E, keyof Run> : never;

/** Reads the one run of one job. Bytes that are not UTF-8 become U+FFFD here; the log has them as they were. */
export class AgentReader {
  readonly #agent: string;
  readonly #decoders = { stdout: new TextDecoder('utf-8', { ignoreBOM: true }), stderr: new TextDecoder() };
  #job = '';
  #adapter: AgentAdapter = new TextAdapter();
  #verdict: { failed: boolean; text: string | null } | undefined;
  #lastFault: string | undefined;

  constructor(agent: string) {
    this.#agent = agent;
  }

  /** The agent's own result, once it has given one. */
  get result(): string | null {
    return this.#verdict?.failed === false ? this.#verdict.text : null;
  }

  handle(event: JobEvent): AgentEvent[] {
    switch (event.type) {
      case 'job':
        this.#job = event.job;
        return [];
      case 'agent':
        this.#adapter = createAdapter(event.agent.events);
        return this.#of(event, [{ type: 'agent-start' }]);
      case 'stdout':
        return this.#of(event, this.#translate(this.#adapter.push(this.#decode(event))));
      case 'stderr':
        return this.#of(event, streamed('stderr', this.#decode(event)));
      case 'gap':
        return this.#of(event, this.#gap(event.stdoutBytes + event.stderrBytes));
      case 'end':
        return this.#of(event, this.#end(event));
      default:
        return [];
    }
  }

  #end(run: RunView): Body[] {
    return [...this.#heldBack(), this.#last(run)];
  }

  /** The text before a gap must not join the text after it into one line. */
  #gap(bytes: number): Body[] {
    const message = `${bytes} bytes of the output were not kept here`;
    return [...this.#heldBack(), { type: 'agent-error', final: false, message }];
  }

  #heldBack(): Body[] {
    const rest = this.#adapter.push(this.#decoders.stdout.decode());
    return [
      ...this.#translate([...rest, ...this.#adapter.finish()]),
      ...streamed('stderr', this.#decoders.stderr.decode()),
    ];
  }

  #last(run: RunView): Body {
    const { state, exitCode, signal, reason, durationMs } = run;
    const result = this.#verdict?.text ?? null;
    if (state === 'exited' && exitCode === 0 && !this.#verdict?.failed) {
      return { type: 'agent-complete', exitCode, durationMs, result };
    }
    const verdict = this.#verdict?.failed ? this.#verdict.text : undefined;
    const message =
      verdict ?? this.#lastFault ?? (state === 'exited' ? `exited with code ${exitCode}` : (reason ?? state));
    return { type: 'agent-error', final: true, message, state, exitCode, signal, reason, durationMs, result };
  }

  #translate(events: readonly AgentOutputEvent[]): Body[] {
    return events.flatMap((event): Body[] => {
      switch (event.type) {
        case 'agent-stream':
          return streamed('stdout', event.text);
        case 'fault':
          this.#lastFault = event.message;
          return [{ type: 'agent-error', final: false, message: event.message }];
        case 'verdict':
          this.#verdict = event;
          return [];
        default:
          return [event];
      }
    });
  }

  #decode(event: Extract<JobEvent, { type: 'stdout' | 'stderr' }>): string {
    return this.#decoders[event.type].decode(decodeData(event), { stream: true });
  }

  #of({ run, node }: { run: string; node: string }, bodies: readonly Body[]): AgentEvent[] {
    return bodies.map((body) => ({ ...body, job: this.#job, run, node, agent: this.#agent }));
  }
}

function streamed(stream: 'stdout' | 'stderr', text: string): Body[] {
  return text === '' ? [] : [{ type: 'agent-stream', stream, text }];
}
