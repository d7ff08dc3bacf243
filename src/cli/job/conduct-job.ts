/** Runs one job from this side: submits and follows it, sends stdin, and cancels it when the person or the reader of stdout leaves. */
import { followJob, RECONNECT_BACKOFF } from '../../client/follow-job.ts';
import type { GatewayClient } from '../../client/gateway-client.ts';
import type { RunState } from '../../domain/states.ts';
import type { JobEvent, RunView, SubmitJobRequest } from '../../protocol/job-messages.ts';
import { Backoff, type Clock, sleep, type Timer } from '../../shared/clock.ts';
import { FleetError, toFleetError } from '../../shared/errors.ts';
import type { CliContext, SignalName } from '../context/command.ts';
import { describeHeld } from '../output/describe-run.ts';
import type { JobOutput } from '../output/job-output.ts';
import { formatError } from '../output/print.ts';

/** Longest wait for the command's confirmed end after SIGTERM or SIGHUP, ms. Their sender waits for this process. */
const LAST_WAIT_MS = 3_000;
/** Longest wait for the gateway to accept the cancel after a second signal, ms. */
const CANCEL_WAIT_MS = 1_000;
/** Longest wait for slow readers of stdout and stderr when leaving, ms. */
const FLUSH_WAIT_MS = 500;

export interface ConductedJob {
  job: string;
  /** Runs that have ended, in that order. */
  ended: RunView[];
  /** Offline nodes that a job for all connected nodes skips. */
  notTried: string[];
  /**
   * How it was left: at its end; at its end after a signal; before its end, after a second Ctrl-C or another signal; or because stdout
   * has lost its reader.
   */
  leave: 'end' | 'interrupted' | 'abandoned' | 'unread';
  /** The latest signal received. */
  signal?: SignalName;
}

interface ConductOptions {
  client: GatewayClient;
  request: SubmitJobRequest & { idempotencyKey: string };
  /** Each gets every event. */
  outputs: readonly JobOutput[];
  /** Receive all output, even beyond what is kept: a slow reader of ours then slows the command. */
  whole?: boolean;
  /** Send stdin to the command. */
  stdin?: boolean;
}

export async function conductJob(context: CliContext, options: ConductOptions): Promise<ConductedJob> {
  return await new JobFollower(context, options).follow();
}

class JobFollower {
  readonly #context: CliContext;
  readonly #options: ConductOptions;
  readonly #result: ConductedJob = { job: '', ended: [], notTried: [], leave: 'end' };
  /** Ends every request and wait of this job. */
  readonly #stop = new AbortController();
  readonly #waiting: WaitingNote;
  #canceling: Promise<void> | undefined;
  #cancelAccepted = false;

  constructor(context: CliContext, options: ConductOptions) {
    this.#context = context;
    this.#options = options;
    this.#waiting = new WaitingNote(context.clock, (text) => this.#note(text));
  }

  async follow(): Promise<ConductedJob> {
    const { out, signals } = this.#context;
    const hangup: SignalName[] = signals.hangupIgnored?.() ? [] : ['SIGHUP'];
    const unlisten = signals.listen(['SIGINT', 'SIGTERM', ...hangup], (name) => this.#interrupt(name));
    const unread = (): void => this.#unread();
    out.gone.addEventListener('abort', unread, { once: true });
    const stopped = new Promise<void>((resolve) => {
      this.#stop.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    try {
      // A blocked reader of stdout must not keep us from leaving.
      await Promise.race([this.#followEvents(), stopped]);
      return this.#result;
    } finally {
      unlisten();
      this.#waiting.close();
      out.gone.removeEventListener('abort', unread);
      this.#stop.abort();
    }
  }

  async #followEvents(): Promise<void> {
    const { context, options } = { context: this.#context, options: this.#options };
    const events = followJob(
      options.client,
      { request: options.request, whole: options.whole ?? false },
      {
        clock: context.clock,
        random: context.random,
        signal: this.#stop.signal,
        onLost: (failure) => this.#note(`${failure.message}; trying again`),
      },
    );
    for await (const event of events) {
      if (event.type === 'job') this.#accepted(event);
      // A person who is leaving already knows what is going on.
      if (this.#result.leave === 'end') this.#waiting.see(event);
      for (const output of options.outputs) output.handle(event);
      if (event.type === 'end') {
        const { type: _type, next: _next, whole: _whole, ...run } = event;
        this.#result.ended.push(run);
      }
      await Promise.all([context.out.ready(), context.err.ready()]);
    }
  }

  #accepted({ job, notTried = [] }: Extract<JobEvent, { type: 'job' }>): void {
    Object.assign(this.#result, { job, notTried });
    if (this.#result.leave !== 'end') this.#cancel();
    if (this.#options.stdin) void this.#sendStdin(job);
  }

  async #sendStdin(job: string): Promise<void> {
    const stdin = this.#context.openStdin();
    try {
      await this.#options.client.sendStdin(job, stdin, this.#stop.signal);
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      const { message } = toFleetError(error);
      this.#context.err.write(formatError({ message: `stdin was not delivered to the command: ${message}` }));
      // The gateway cancels a job whose stdin breaks, but does not notice one that broke before the request was sent.
      if (stdin.errored) this.#cancel();
    }
  }

  /** The first Ctrl-C waits for the command's end, any other signal only a moment. */
  #interrupt(signal: SignalName): void {
    const { clock } = this.#context;
    const isFirst = this.#result.signal === undefined;
    this.#result.signal = signal;
    this.#waiting.close();
    if (this.#result.leave === 'end') this.#result.leave = 'interrupted';
    if (this.#result.job !== '') this.#cancel();
    if (!isFirst) {
      const canceled = this.#cancelAccepted || this.#result.job === '' ? undefined : this.#canceling;
      clock.after(canceled === undefined ? 0 : CANCEL_WAIT_MS, () => this.#abandon());
      void canceled?.then(() => this.#abandon());
    } else if (signal === 'SIGINT') {
      this.#note('canceling the command; press Ctrl-C again to exit without waiting');
    } else {
      clock.after(LAST_WAIT_MS, () => this.#abandon());
    }
  }

  #abandon(): void {
    if (this.#stop.signal.aborted) return;
    const { out, err, clock } = this.#context;
    this.#result.leave = 'abandoned';
    err.write(formatError(this.#describeLeaving()));
    for (const port of [out, err]) port.giveUp(clock, FLUSH_WAIT_MS);
    this.#stop.abort();
  }

  #describeLeaving(): { message: string; hint: string } {
    const { job } = this.#result;
    if (job === '')
      return { message: 'exiting before the gateway confirmed that it accepted the job', hint: 'Check: fleet jobs' };
    return this.#cancelAccepted
      ? {
          message: `exiting while job ${job} is being canceled; the cancellation continues`,
          hint: `Check: fleet jobs show ${job}`,
        }
      : {
          message: `exiting before the gateway accepted the cancellation of job ${job}, which may continue`,
          hint: `Cancel it: fleet jobs cancel ${job}`,
        };
  }

  /** As with ssh: a command whose output is not read is canceled. */
  #unread(): void {
    if (this.#result.leave !== 'end') return;
    this.#result.leave = 'unread';
    if (this.#result.job !== '') this.#cancel();
  }

  #cancel(): void {
    this.#canceling ??= this.#cancelUntilAccepted();
  }

  async #cancelUntilAccepted(): Promise<void> {
    const { clock, random, err } = this.#context;
    const backoff = new Backoff({ ...RECONNECT_BACKOFF, random });
    while (!this.#stop.signal.aborted) {
      try {
        await this.#options.client.cancelJob(this.#result.job);
        this.#cancelAccepted = true;
        // The gateway does the rest; output can no longer be shown.
        if (this.#result.leave === 'unread') this.#stop.abort();
        return;
      } catch (error) {
        const failure = toFleetError(error);
        if (!failure.retryable) {
          const message = `cannot cancel job ${this.#result.job}: ${failure.message}`;
          err.write(formatError({ message, hint: failure.hint }));
          if (this.#result.leave === 'unread') this.#stop.abort();
          return;
        }
        await sleep(clock, backoff.next(), this.#stop.signal);
      }
    }
  }

  /** Progress, for a person only. */
  #note(text: string): void {
    const { err } = this.#context;
    if (err.isTerminal) err.write(formatError({ message: text }));
  }
}

/** Unique, not secret: the submitter is authenticated by other means, and loading node:crypto takes 5 ms. */
export function randomIdempotencyKey({ clock, random, pid }: Pick<CliContext, 'clock' | 'random' | 'pid'>): string {
  const digits = (): string => random().toString(36).slice(2);
  return ['cli', clock.now().toString(36), pid.toString(36), digits(), digits()].join('-');
}

/** @throws FleetError `internal` when the stream of events ended without the end of a run: a defect of the gateway. */
export function onlyRun({ ended, job }: ConductedJob): RunView {
  const [run] = ended;
  if (run === undefined) throw new FleetError('internal', `job ${job} ended without a run`);
  return run;
}

/** Delay before the note about nodes that have not started, ms. */
const WAITING_MS = 3000;

/** Delay before the note about held output, ms; the node reports it one second after the exit. */
const HELD_MS = 2000;

const NOT_STARTED: ReadonlySet<RunState> = new Set(['queued', 'delivered']);

export class WaitingNote {
  readonly #clock: Clock;
  readonly #note: (text: string) => void;
  /** Nodes that have not started, by index of the run. */
  readonly #waiting = new Map<number, string>();
  /** By index of the run. */
  readonly #held = new Map<number, Timer>();
  #runs = 0;
  #timer: Timer | undefined;

  constructor(clock: Clock, note: (text: string) => void) {
    this.#clock = clock;
    this.#note = note;
  }

  /** Takes every event of the job, in order. */
  see(event: JobEvent): void {
    if (event.type === 'job') {
      this.#runs = event.runs.length;
      for (const { index, node, state } of event.runs) if (NOT_STARTED.has(state)) this.#waiting.set(index, node);
      if (this.#waiting.size > 0) this.#timer ??= this.#clock.after(WAITING_MS, () => this.#noteWaiting());
    } else if ('index' in event && !(event.type === 'state' && NOT_STARTED.has(event.state))) {
      this.#waiting.delete(event.index);
      if (this.#waiting.size === 0) this.#timer?.cancel();
    }
    if (event.type === 'exited') {
      const words = `${event.node}: ${describeHeld(event)}`;
      this.#held.get(event.index)?.cancel();
      this.#held.set(
        event.index,
        this.#clock.after(HELD_MS, () => this.#note(words)),
      );
    } else if (event.type === 'end') {
      this.#held.get(event.index)?.cancel();
    }
  }

  /** Idempotent. */
  close(): void {
    this.#timer?.cancel();
    for (const timer of this.#held.values()) timer.cancel();
  }

  #noteWaiting(): void {
    const [node] = this.#waiting.values();
    const what = this.#runs === 1 ? node : `${this.#waiting.size} of ${this.#runs} nodes`;
    this.#note(`still waiting for ${what} to start; Ctrl-C cancels the job`);
  }
}
