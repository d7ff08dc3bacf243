/**
 * What of one run must survive this process: facts in the journal, frames in the log, and above all its end.
 *
 * The outcome goes into the journal first and then, as the end frame, into the log. Killed in between, the next process writes the
 * end frame from the journal. The other way round a reader could have seen an end that the journal does not know, and a torn
 * end frame would have lost an exit code that was known.
 */
import type { StartedAgent } from '../../protocol/agent/agent-spec.ts';
import { encodeFrame, FRAME_TYPE } from '../../protocol/frames.ts';
import type { RunOutcome, RunSpec } from '../../protocol/run-spec.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Journal } from './journal.ts';
import { composeOutcome, type RunEnding } from './outcome.ts';
import type { RunOutput } from './run-output.ts';
import { untilStored } from './until-stored.ts';

export interface RunRecordOptions {
  spec: RunSpec;
  /** Undefined unless it is a run of an agent. */
  agent: StartedAgent | undefined;
  journal: Journal;
  output: RunOutput;
  /** Whether a former process was killed while it took the output. */
  outputInDoubt: boolean;
  clock: Clock;
  /** Gateway's time, ms. */
  now(): number;
  logger: Logger;
  /** Ends the attempts to write onto a full disk. */
  signal: AbortSignal;
}

export class RunRecord {
  readonly #options: RunRecordOptions;
  #outcome: RunOutcome | null = null;

  constructor(options: RunRecordOptions) {
    this.#options = options;
  }

  /** Null until it is durable. */
  get outcome(): RunOutcome | null {
    return this.#outcome;
  }

  /** Writes what only makes a later restart wiser; without it that one says `unknown`. */
  note(write: (journal: Journal) => void): void {
    try {
      write(this.#options.journal);
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'the journal refused a fact about a run');
    }
  }

  /** The process exists: the log's first frame says so. */
  started(facts: { pid: number; identity: string | undefined; startedAt: number }): void {
    const { spec, agent, journal, output } = this.#options;
    const { startedAt, pid } = facts;
    void this.#persist('started', () => journal.started(spec.run, facts));
    output.log.append(
      encodeFrame(FRAME_TYPE.started, Buffer.from(JSON.stringify({ startedAt, pid, agent }))),
      () => {},
    );
  }

  /** Makes the end durable, and completes the log. False if the signal came before that. */
  async end(ending: RunEnding, startedAt: number | null): Promise<boolean> {
    const { spec, journal, output, outputInDoubt, now } = this.#options;
    const { log } = output;
    await output.finish();
    const { counters } = output;
    // The outcome counts these bytes, so they must not be less durable than it.
    if (counters.stdoutBytes + counters.stderrBytes > 0) await this.#attempt('bring onto the disk', () => log.sync());
    const outcome = composeOutcome(ending, {
      startedAt,
      endedAt: Math.round(now()),
      timeoutMs: spec.timeoutMs,
      counters,
      outputInDoubt,
      spoolError: output.error,
    });
    const frame = encodeFrame(FRAME_TYPE.end, Buffer.from(JSON.stringify(outcome)));
    const logBytes = log.bytes + frame.length;
    if (!(await this.#persist('outcome', () => journal.ended(spec.run, outcome, logBytes)))) return false;
    this.#outcome = outcome;
    if (!(await this.#persist('end frame', () => log.appendEnd(frame)))) return false;
    await this.closeLog();
    return true;
  }

  async closeLog(): Promise<void> {
    await this.#attempt('close', () => this.#options.output.log.close());
  }

  async #attempt(what: string, action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      this.#options.logger.warn({ err: error, what }, 'a fault of the log of a run');
    }
  }

  #persist(what: string, write: () => void | Promise<void>): Promise<boolean> {
    const { clock, signal, logger } = this.#options;
    const onFailure = (error: unknown): void => {
      logger.error({ err: error, what }, 'a run cannot be recorded; trying on');
    };
    return untilStored(write, { clock, signal, onFailure });
  }
}
