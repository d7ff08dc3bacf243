/**
 * Records what must survive this process: facts about a run in the journal, and above all its end.
 *
 * The outcome goes into the journal first and then, as the end frame, into the log; if the process is killed in between, the next one
 * writes the end frame from the journal. In the other order a reader could see an end that the journal does not know, and a torn end
 * frame would lose a known exit code.
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
  /** Whether a former shim was killed while it read the output. */
  outputInDoubt: boolean;
  clock: Clock;
  /** Gateway's time, ms. */
  now(): number;
  logger: Logger;
  /** Ends the retries on a full disk. */
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

  /** Writes a fact whose loss only makes a later restart end the run as `unknown`. */
  note(write: (journal: Journal) => void): void {
    try {
      write(this.#options.journal);
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'cannot note a fact about a run in the journal');
    }
  }

  /** The process exists. */
  started(facts: StartedCommand & { startedAt: number }): void {
    const { spec, journal } = this.#options;
    void this.#persist('started', () => journal.started(spec.run, facts));
  }

  /**
   * Makes the end durable and completes the log, which has no other writer any more. `end` is null if the command was never started.
   * False if the signal aborts before that.
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

  #persist(what: string, write: () => void): Promise<boolean> {
    const { clock, signal, logger, journal } = this.#options;
    const onFailure = (error: unknown): void => {
      logger.error({ err: error, what }, 'cannot record a run; retrying');
      journal.makeRoom();
    };
    return untilStored(write, { clock, signal, onFailure });
  }
}

/** Without jitter: no other machine uses this disk. */
const RETRY = { initialMs: 100, maxMs: 5_000, random: () => 1 };

interface UntilStoredOptions {
  clock: Clock;
  /** Ends the retries. */
  signal: AbortSignal;
  /** Called for the first failure only. */
  onFailure: (error: unknown) => void;
}

/** Retries until `write` succeeds; the first attempt is made at once and in any case. False if `signal` aborts before. */
export async function untilStored(
  write: () => void,
  { clock, signal, onFailure }: UntilStoredOptions,
): Promise<boolean> {
  for (let failures = 1; ; failures += 1) {
    try {
      write();
      return true;
    } catch (error) {
      if (failures === 1) onFailure(error);
      await sleep(clock, backoffMs(failures, RETRY), signal);
      if (signal.aborted) return false;
    }
  }
}
