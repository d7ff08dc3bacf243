/** Says to a person, once each, why nothing happens: a node has not begun, or something holds the output of a command that is over. */
import type { JobEvent } from '../../protocol/job-messages.ts';
import type { RunState } from '../../protocol/run-state.ts';
import type { Clock, Timer } from '../../shared/clock.ts';
import { describeHeld } from '../output/describe-run.ts';

/** A job that waits for longer is worth a word, ms. */
const WAITING_MS = 3000;

/** The node reports held output a second after the exit; that it lasts is worth a word two seconds later, ms. */
const HELD_MS = 2000;

const NOT_BEGUN: ReadonlySet<RunState> = new Set(['queued', 'delivered']);

export class WaitingNote {
  readonly #clock: Clock;
  readonly #tell: (text: string) => void;
  /** Nodes of the runs that have not begun, by index of the run. */
  readonly #waiting = new Map<number, string>();
  /** By index of the run. */
  readonly #held = new Map<number, Timer>();
  #runs = 0;
  #timer: Timer | undefined;

  constructor(clock: Clock, tell: (text: string) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** To be shown every event of the job, in order. */
  see(event: JobEvent): void {
    if (event.type === 'job') {
      this.#runs = event.runs.length;
      for (const { index, node, state } of event.runs) if (NOT_BEGUN.has(state)) this.#waiting.set(index, node);
      if (this.#waiting.size > 0) this.#timer ??= this.#clock.after(WAITING_MS, () => this.#tellOfWaiting());
    } else if ('index' in event && !(event.type === 'state' && NOT_BEGUN.has(event.state))) {
      this.#waiting.delete(event.index);
      if (this.#waiting.size === 0) this.#timer?.cancel();
    }
    if (event.type === 'exited') {
      const words = `${event.node}: ${describeHeld(event)}`;
      this.#held.get(event.index)?.cancel();
      this.#held.set(
        event.index,
        this.#clock.after(HELD_MS, () => this.#tell(words)),
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

  #tellOfWaiting(): void {
    const [node] = this.#waiting.values();
    const what = this.#runs === 1 ? node : `${this.#waiting.size} of ${this.#runs} nodes`;
    this.#tell(`still waiting for ${what} to begin; Ctrl-C cancels the job`);
  }
}
