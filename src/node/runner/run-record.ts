/**
 * What of one run must survive this process: facts in the journal, and above all its end.
 *
 * The outcome goes into the journal first and then, as the end frame, into the log. Killed in between, the next process writes the
 * end frame from the journal. The other way round a reader could have seen an end that the journal does not know, and a torn
 * end frame would have lost an exit code that was known.
 */
import { encodeFrame, FRAME_TYPE } from '../../protocol/frames.ts';
import type { RunOutcome, RunSpec } from '../../protocol/run-spec.ts';
import { backoffMs, type Clock, sleep } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { CommandEnd, StartedCommand } from '../shim/messages.ts';
import type { Journal } from './journal.ts';
import { composeOutcome, type RunEnding } from './outcome.ts';
import type { RunLog } from './run-log.ts';

interface RunRecordOptions {
  spec: RunSpec;
  journal: Journal;
  log: RunLog;
  /** Whether a former shim was killed while it took the output. */
  outputInDoubt: boolean;
  clock: Clock;
  /** Gateway's time, ms. */
  now(): number;
  logger: Logger;
  /** Ends the attempts to write onto a full disk. */
  signal: AbortSignal;
}

const NO_COUNTERS = { stdoutBytes: 0, stderrBytes: 0, droppedBytes: 0 };

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

  /** The process exists. */
  started(facts: StartedCommand & { startedAt: number }): void {
    const { spec, journal } = this.#options;
    void this.#persist('started', () => journal.started(spec.run, facts));
  }

  /**
   * Makes the end durable, and completes the log, to which nobody else writes any more. `end` is undefined if the command was never
   * started. False if the signal came before that.
   */
  async end(ending: RunEnding, startedAt: number | null, end: CommandEnd | null): Promise<boolean> {
    const { spec, journal, log, outputInDoubt, now } = this.#options;
    if (end !== null) log.advance(end.logBytes);
    const outcome = composeOutcome(ending, {
      startedAt,
      endedAt: Math.round(now()),
      timeoutMs: spec.timeoutMs,
      counters: end?.counters ?? NO_COUNTERS,
      outputInDoubt,
      spoolError: end?.error ?? null,
    });
    const frame = encodeFrame(FRAME_TYPE.end, Buffer.from(JSON.stringify(outcome)));
    const logBytes = log.bytes + frame.length;
    if (!(await this.#persist('outcome', () => journal.ended(spec.run, outcome, logBytes)))) return false;
    this.#outcome = outcome;
    return await this.#persist('end frame', () => log.appendEnd(frame));
  }

  #persist(what: string, write: () => void | Promise<void>): Promise<boolean> {
    const { clock, signal, logger, journal } = this.#options;
    const onFailure = (error: unknown): void => {
      logger.error({ err: error, what }, 'a run cannot be recorded; trying on');
      journal.makeRoom();
    };
    return untilStored(write, { clock, signal, onFailure });
  }
}

/** Without jitter: nobody else waits for this disk. */
const RETRY = { initialMs: 100, maxMs: 5_000, random: () => 1 };

interface UntilStoredOptions {
  clock: Clock;
  /** Ends the attempts. */
  signal: AbortSignal;
  /** Called with the first failure only; the others are the same. */
  onFailure: (error: unknown) => void;
}

/** Tries, the first time at once and in any case, until `write` succeeds. False if `signal` aborted before that. */
export async function untilStored(write: () => void | Promise<void>, options: UntilStoredOptions): Promise<boolean> {
  const { clock, signal, onFailure } = options;
  for (let failures = 1; ; failures += 1) {
    try {
      await write();
      return true;
    } catch (error) {
      if (failures === 1) onFailure(error);
      await sleep(clock, backoffMs(failures, RETRY), signal);
      if (signal.aborted) return false;
    }
  }
}
